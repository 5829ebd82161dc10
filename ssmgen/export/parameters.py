"""What the names in a launch stand for, as entries of a manifest: buffers, sizes and strides."""

from __future__ import annotations

from typing import Any

import torch

from ssmgen.dtypes import dtype
from ssmgen.kernels import Program, interface
from ssmgen.kernels.c.vectors import STORED
from ssmgen.problem import Problem

__all__ = ["Parameters"]


class Parameters:
    """The parameters of a problem's kernels, with the values that they have where operands are freshly allocated.

    Attributes:
        workspaces: Scratch memory that whoever launches the kernels provides, in the program's order.
    """

    def __init__(self, problem: Problem, program: Program) -> None:
        face = interface(problem.op)
        operands = face.operands(problem)
        tensors = [operand.allocate("meta") for operand in operands]
        self._values = face.bindings(problem, tensors)
        self._axes = {scalar: (x.name, axis) for x in operands for scalar, axis in x.strides}
        self._buffers: dict[str, dict[str, Any]] = {}
        for operand, tensor in zip(operands, tensors, strict=True):
            role = "output" if operand.output else "updated" if operand.updated else "input"
            self._buffers[operand.name] = _buffer(operand.name, role, operand.dtype, tensor)
        for workspace in program.workspaces:
            tensor = torch.empty(workspace.shape, device="meta")
            self._buffers[workspace.name] = _buffer(workspace.name, "workspace", workspace.dtype, tensor)
        self.workspaces = [
            {name: value for name, value in self._buffers[workspace.name].items() if name != "role"}
            for workspace in program.workspaces
        ]

    def is_pointer(self, name: str) -> bool:
        """Whether the parameter is the address of a buffer."""
        return name in self._buffers

    def pointer(self, name: str, multiple_of: int | None = None, within: int | None = None) -> dict[str, Any]:
        """The entry of a buffer's address; by default it is aligned like the numbers that it points to.

        Args:
            name: The buffer.
            multiple_of: What the address must be a multiple of.
            within: Bytes from the address, within which all elements must lie; None for any distance.
        """
        found = self._buffers[name]
        kind = dtype(found["dtype"])
        const = "const " if found["role"] == "input" else ""
        natural = kind.itemsize // 2 if kind.is_complex else kind.itemsize
        return {
            "name": name,
            "c_type": f"{const}{STORED[kind.name]} *",
            "role": found["role"],
            "multiple_of": multiple_of or natural,
            **({} if within is None else {"within": within}),
            **{key: found[key] for key in ("dtype", "shape", "strides", "bytes")},
        }

    def scalar(self, name: str, c_type: str, multiple_of: int | None = None) -> dict[str, Any]:
        """The entry of a size or of a stride, which says of what it is one."""
        entry: dict[str, Any] = {"name": name, "c_type": c_type}
        if name in self._axes:
            operand, axis = self._axes[name]
            entry |= {"role": "stride", "of": operand, "axis": axis}
        else:
            entry["role"] = "size"
        if multiple_of is not None:
            entry["multiple_of"] = multiple_of
        return {**entry, "value": self._values[name]}


def _buffer(name: str, role: str, kind: str, layout: torch.Tensor) -> dict[str, Any]:
    return {
        "name": name,
        "role": role,
        "dtype": kind,
        "shape": list(layout.shape),
        "strides": list(layout.stride()),
        "bytes": layout.numel() * dtype(kind).itemsize,
    }
