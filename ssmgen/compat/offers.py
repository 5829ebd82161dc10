"""Which names of other packages are offered, and where these have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["OFFERS", "Offer"]


@dataclass(frozen=True)
class Offer:
    """What is offered of a package.

    Attributes:
        package: The name it is imported by.
        distribution: The name it is installed by.
        source: Our module that has the names.
        version: The `__version__` of what stands in for the package; None where nothing can, as it is the package's
            own code that calls what is offered.
        modules: The package's modules, parents before children, and which of the names each has.
    """

    package: str
    distribution: str
    source: str
    version: str | None
    modules: Mapping[str, tuple[str, ...]]

    def holds(self, module: str) -> bool:
        """Whether that is the package or a module of it, offered or not."""
        return module == self.package or module.startswith(f"{self.package}.")

    def names(self) -> Iterator[tuple[str, str]]:
        """Every name with the module that has it."""
        for module, names in self.modules.items():
            for name in names:
                yield module, name

    def __str__(self) -> str:
        return "; ".join(f"{', '.join(names)} in {module}" for module, names in self.modules.items() if names)


_CONVOLUTION = ("causal_conv1d_fn", "causal_conv1d_update")
_MAMBA = (*_CONVOLUTION, "mamba_inner_fn", "mamba_selective_scan", "mamba_selective_state_update")
_MAMBA2 = (
    *_CONVOLUTION,
    "mamba2_split_conv1d_scan_combined",
    "mamba2_chunk_scan",
    "mamba2_selective_state_update",
)

OFFERS = {
    offer.package: offer
    for offer in (
        Offer(
            package="mamba_ssm",
            distribution="mamba-ssm",
            source="ssmgen.compat.mamba_ssm",
            # From version 2 on, code expects the ops of Mamba-2 to be there.
            version="1.2.2+ssmgen",
            modules={
                "mamba_ssm": ("selective_scan_fn", "mamba_inner_fn"),
                "mamba_ssm.ops": (),
                "mamba_ssm.ops.selective_scan_interface": (
                    "selective_scan_fn",
                    "selective_scan_ref",
                    "mamba_inner_fn",
                    "mamba_inner_ref",
                ),
                "mamba_ssm.ops.triton": (),
                "mamba_ssm.ops.triton.selective_state_update": (
                    "selective_state_update",
                    "selective_state_update_ref",
                ),
                "mamba_ssm.ops.triton.ssd_combined": ("mamba_chunk_scan_combined",),
            },
        ),
        Offer(
            package="transformers",
            distribution="transformers",
            source="ssmgen.compat.transformers",
            version=None,
            modules={
                "transformers.models.mamba.modeling_mamba": _MAMBA,
                "transformers.models.mamba2.modeling_mamba2": _MAMBA2,
                "transformers.models.falcon_mamba.modeling_falcon_mamba": _MAMBA,
                "transformers.models.jamba.modeling_jamba": _MAMBA,
            },
        ),
    )
}
