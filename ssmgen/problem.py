"""What must be computed: op, direction, sizes, dtype and options, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log2

__all__ = ["RUNTIME_DIMS", "Option", "Problem", "next_power_of_two"]

Option = bool | int | str

# Sizes that a tuned config may be carried across. Every other dim (d_state, poles, groups) changes the kernel.
RUNTIME_DIMS = frozenset({"batch", "dim", "seqlen", "rows", "nodes", "tokens", "heads", "slots", "length"})


@dataclass(frozen=True)
class Problem:
    """One problem, exactly; `problem_class` is the same with the run-time sizes bucketed.

    Attributes:
        op: The op's name, e.g. `selective_scan`.
        dims: (name, size) pairs in the order of the op's interface, e.g. batch, dim, seqlen, d_state, groups.
        dtype: Short name of the inputs' dtype (see `ssmgen.dtypes`); what is accumulated in follows from it.
        options: (name, value) pairs, sorted: what changes the kernel and is no size (`z`, `layout`, ...).
        direction: `forward` or `backward`.
    """

    op: str
    dims: tuple[tuple[str, int], ...]
    dtype: str
    options: tuple[tuple[str, Option], ...] = ()
    direction: str = "forward"

    @staticmethod
    def of(
        op: str,
        dims: Mapping[str, int],
        dtype: str,
        options: Mapping[str, Option] | None = None,
        direction: str = "forward",
    ) -> Problem:
        """A problem from mappings."""
        return Problem(op, tuple(dims.items()), dtype, tuple(sorted((options or {}).items())), direction)

    def __getitem__(self, dim: str) -> int:
        for name, size in self.dims:
            if name == dim:
                return size
        raise KeyError(f"{self.op} has no dim {dim!r}")

    @property
    def function(self) -> str:
        """What kernels call their main function: the op, and the direction unless it is forward."""
        return self.op if self.direction == "forward" else f"{self.op}_{self.direction}"

    def option(self, name: str) -> Option:
        """The value of an option; the interface guarantees that every option of the op is present."""
        for key, value in self.options:
            if key == name:
                return value
        raise KeyError(f"{self.op} has no option {name!r}")

    def has(self, name: str) -> bool:
        """Whether the op knows the option and it is on."""
        return bool(dict(self.options).get(name, False))

    def with_dims(self, **sizes: int) -> Problem:
        """The same problem with other sizes."""
        unknown = set(sizes) - {name for name, _ in self.dims}
        if unknown:
            raise KeyError(f"{self.op} has no dim {sorted(unknown)}")
        return replace(self, dims=tuple((name, sizes.get(name, size)) for name, size in self.dims))

    def with_options(self, **options: Option) -> Problem:
        """The same problem with other options."""
        return replace(self, options=tuple(sorted({**dict(self.options), **options}.items())))

    def problem_class(self) -> Problem:
        """The problem with every run-time size rounded up to a power of two; tuned configs are stored per class."""
        return replace(
            self,
            dims=tuple(
                (name, next_power_of_two(size) if name in RUNTIME_DIMS else size) for name, size in self.dims
            ),
        )

    def distance(self, other: Problem) -> float | None:
        """Sum over the run-time sizes of |log2| of their ratios, or None where anything else differs."""
        if (self.op, self.direction, self.dtype, self.options) != (
            other.op,
            other.direction,
            other.dtype,
            other.options,
        ) or [name for name, _ in self.dims] != [name for name, _ in other.dims]:
            return None
        total = 0.0
        for (name, mine), (_, theirs) in zip(self.dims, other.dims, strict=True):
            if name in RUNTIME_DIMS:
                total += abs(log2(mine) - log2(theirs))
            elif mine != theirs:
                return None
        return total

    def __str__(self) -> str:
        dims = ", ".join(f"{name}={size}" for name, size in self.dims)
        options = ", ".join(_option_text(name, value) for name, value in self.options if value is not False)
        return f"{self.op} {self.direction} ({dims}) {self.dtype}" + (f" [{options}]" if options else "")


def _option_text(name: str, value: Option) -> str:
    return name if value is True else f"{name}={value}"


def next_power_of_two(size: int) -> int:
    """The smallest power of two that is not below the size."""
    return 1 << max(size - 1, 0).bit_length()
