"""From what a command line says, in the words of who uses the ops, to the problem of each op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate, dtype
from ssmgen.errors import InvalidInputError, unknown
from ssmgen.kernels import Interface, interface
from ssmgen.problem import Option, Problem

__all__ = ["Request", "sizes_of"]

_SCAN_SIZES = ("batch", "dim", "seqlen")
# The sizes that each op is asked for; rows and nodes follow from those of the S4 layer that they serve.
_SIZES = {
    "selective_scan": (*_SCAN_SIZES, "d_state", "groups"),
    "selective_state_update": ("batch", "dim", "d_state", "groups", "heads", "tokens"),
    "ssd": ("batch", "seqlen", "heads", "dim", "d_state", "groups"),
    "linear_scan": _SCAN_SIZES,
    "causal_conv1d": (*_SCAN_SIZES, "width"),
    "causal_conv1d_update": ("batch", "dim", "tokens", "width", "length"),
    "cauchy_mult": (*_SCAN_SIZES, "poles"),
    "log_vandermonde": (*_SCAN_SIZES, "poles"),
    "log_vandermonde_transpose": (*_SCAN_SIZES, "poles"),
    "dplr_kernel": ("dim", "seqlen", "poles", "rank", "channels"),
}


def sizes_of(op: str) -> tuple[str, ...]:
    """The names of the sizes that an op is asked for."""
    return _SIZES[interface(op).op]


_COMPLEX = {"fp32": "c64", "fp64": "c128"}


@dataclass(frozen=True)
class Request:
    """Sizes, dtype and options as they were asked for; what is missing takes each op's own default.

    Attributes:
        sizes: Of batch, dim, seqlen, d_state, groups, heads, tokens, poles, rank, channels,
            width and length, those that were given.
        dtype: Short name; None for fp32 on a CPU and bf16 on a GPU. A complex op takes the complex dtype of the same
            accumulation precision.
        options: Texts `NAME` or `NAME=VALUE`.
    """

    sizes: Mapping[str, int]
    dtype: str | None = None
    options: Sequence[str] = ()

    def problems(self, ops: Sequence[str], facts: DeviceFacts) -> tuple[Problem, ...]:
        """The problem of each op on a device.

        Raises:
            UnknownNameError: An op, dtype or option does not exist.
            InvalidInputError: An op does not take the dtype, or an option the value.
        """
        faces = [interface(op) for op in dict.fromkeys(ops)]
        options = self._options(faces)
        name = self.dtype or ("bf16" if facts.kind in ("cuda", "hip") else "fp32")
        return tuple(
            Problem.of(face.op, self._dims(face, options[face.op]), _dtype(face, name), options[face.op])
            for face in faces
        )

    def notes(self, ops: Sequence[str]) -> tuple[str, ...]:
        """A sentence for each size that was given and that none of the ops takes."""
        taken = {size for op in ops for size in sizes_of(op)}
        return tuple(_note(size, ops) for size in self.sizes if size not in taken)

    def _dims(self, face: Interface, options: Mapping[str, Option]) -> dict[str, int]:
        dims = dict(face.dims)
        dims |= {name: self.sizes[name] for name in dims if name in self.sizes}
        if options.get("indices"):
            dims["slots"] = dims["batch"]
        if "rows" in dims and {"batch", "dim"} & set(self.sizes):
            dims["rows"] = self.sizes.get("batch", 1) * self.sizes.get("dim", face.dims["rows"])
        if "nodes" in dims and "seqlen" in self.sizes:
            # The nodes are the frequencies of a real transform of that length.
            dims["nodes"] = self.sizes["seqlen"] // 2 + 1
        return dims

    def _options(self, faces: Sequence[Interface]) -> dict[str, dict[str, Option]]:
        """The options of each op: the defaults, and those of the given ones that it has."""
        chosen = {face.op: {name: values[0] for name, values in face.options.items()} for face in faces}
        for text in self.options:
            name, _, value = text.partition("=")
            having = [face for face in faces if name in face.options]
            if not having:
                known = dict.fromkeys(option for face in faces for option in face.options)
                raise unknown(f"option of {' and '.join(face.op for face in faces)}", name, known)
            for face in having:
                chosen[face.op][name] = _option(face, name, value or "true")
        return chosen


def _dtype(face: Interface, name: str) -> str:
    if dtype(name).name in face.dtypes:
        return name
    found = _COMPLEX.get(accumulate(name))
    if found in face.dtypes:
        return found
    raise InvalidInputError(f"{face.op} takes the dtypes {', '.join(face.dtypes)}, not {name}.")


def _option(face: Interface, name: str, text: str) -> Option:
    texts = {str(value).lower(): value for value in face.options[name]}
    if text.lower() not in texts:
        raise InvalidInputError(
            f"option {name} of {face.op} must be one of {', '.join(texts)}; write it as {name}=VALUE."
        )
    return texts[text.lower()]


def _note(size: str, ops: Sequence[str]) -> str:
    flag = f"--{size.replace('_', '-')}"
    taking = [op for op in ops if "poles" in _SIZES[op]]
    if size == "d_state" and taking:
        verb = "takes" if len(taking) == 1 else "take"
        return f"{flag} is not used: {' and '.join(taking)} {verb} --poles, the pole pairs (half of S4's N)."
    return f"{flag} is not used: {' and '.join(ops)} takes no such size."
