"""Who computes the ops: one small file for each provider or family. None imports its package before it is called."""

from __future__ import annotations

from ssmgen.bench.provider import Provider
from ssmgen.bench.providers.compiled_torch import CompiledTorch
from ssmgen.bench.providers.jax_xla import Jax
from ssmgen.bench.providers.keops import Keops
from ssmgen.bench.providers.linear_scans import AcceleratedScan, Fla
from ssmgen.bench.providers.mamba_ssm_cuda import MambaSsm
from ssmgen.bench.providers.mambapy_pscan import Mambapy
from ssmgen.bench.providers.numba_kernels import Numba
from ssmgen.bench.providers.ours import Ours
from ssmgen.bench.providers.plain_c import PlainC
from ssmgen.bench.providers.plain_torch import PlainTorch
from ssmgen.bench.providers.reference import Reference
from ssmgen.bench.providers.s4_extension import S4Extension
from ssmgen.bench.providers.transformers_mamba import Transformers
from ssmgen.bench.providers.vllm_cpu import Vllm
from ssmgen.errors import unknown

__all__ = ["BASELINE", "PROVIDERS", "provider", "providers_for"]

# In the order in which tables show them.
PROVIDERS: dict[str, type[Provider]] = {
    kind.name: kind
    for kind in (
        Ours,
        PlainTorch,
        Reference,
        CompiledTorch,
        Transformers,
        Mambapy,
        Numba,
        Keops,
        Jax,
        PlainC,
        Vllm,
        MambaSsm,
        Fla,
        AcceleratedScan,
        S4Extension,
    )
}
BASELINE = PlainTorch.name  # what speed-ups are measured against


def providers_for(device: str) -> list[str]:
    """The names of those that run on `cpu`, or on `cuda`, whether they are here or not."""
    return [name for name, kind in PROVIDERS.items() if kind.device in ("", device)]


def provider(name: str) -> Provider:
    """The provider of that name."""
    if name not in PROVIDERS:
        raise unknown("provider", name, PROVIDERS)
    return PROVIDERS[name]()
