"""How a rendered source is run: its launches in order, and the scratch memory they share."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Launch", "Program", "Workspace"]


@dataclass(frozen=True)
class Launch:
    """One kernel launch.

    Attributes:
        function: Name of the function in the source.
        arguments: Names of the operands, workspaces and scalars it takes, in the order of its signature.
        grid: Blocks along x, y, z (Triton); unused in C, where the function loops itself.
        constants: (name, value) of its `tl.constexpr` parameters, which follow the arguments in its signature.
        options: (name, value) of compile options such as `num_warps`.
        dense: Of the arguments, strides that GPU targets compile in where operands lie as if freshly allocated: an
            address for each of many rows then is one address with constants added.
    """

    function: str
    arguments: tuple[str, ...]
    grid: tuple[int, int, int] = (1, 1, 1)
    constants: tuple[tuple[str, int], ...] = ()
    options: tuple[tuple[str, int], ...] = ()
    dense: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workspace:
    """Scratch memory that lives for one call, uninitialised at its start."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """The launches of one problem and config, for its exact sizes."""

    launches: tuple[Launch, ...]
    workspaces: tuple[Workspace, ...] = ()
