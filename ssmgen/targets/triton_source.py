"""From a rendered Triton source to functions: imported to be compiled, or to be interpreted."""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ssmgen.codegen import Source
from ssmgen.dtypes import dtype
from ssmgen.errors import CompileError, TargetUnavailableError
from ssmgen.kernels import Launch, Program, interface
from ssmgen.problem import Problem

__all__ = [
    "function_of",
    "import_source",
    "interpreted_source",
    "require_triton",
    "source_of",
    "tensor_dtypes",
    "with_workspaces",
]

# What Triton does in Python, one thread at a time: Python 3.11 may fail to build syntax trees in two, and whether
# `triton.jit` interprets is a global setting. The passes that take most of the time run beside one another.
_LOCK = threading.RLock()


def require_triton() -> Any:
    """Triton's module.

    Raises:
        TargetUnavailableError: It is not installed.
    """
    try:
        import triton
    except ImportError as error:
        raise TargetUnavailableError(
            f"GPU targets and the interpreter need Triton, which cannot be imported ({error}); install it "
            "(pip install triton), or use target='cpu'."
        ) from error
    return triton


def import_source(source: Source) -> ModuleType:
    """The source's module, its functions compiled when they are asked to be."""
    require_triton()
    with _LOCK:
        return _module(source.path())


def interpreted_source(source: Source) -> ModuleType:
    """The source's module, its functions run by Triton's interpreter; other modules are not affected."""
    with _LOCK:
        return _interpreted_module(source.path())


@functools.cache
def _module(path: Path) -> ModuleType:
    return _execute(path, "compiled")


@functools.cache
def _interpreted_module(path: Path) -> ModuleType:
    knobs = require_triton().knobs
    # What `triton.jit` returns is decided when it decorates.
    with knobs.runtime.scope():
        knobs.runtime.interpret = True
        return _execute(path, "interpreted")


def _execute(path: Path, how: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ssmgen_{how}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function_of(module: ModuleType, launch: Launch) -> Any:
    """The function of a launch.

    Raises:
        CompileError: Its parameters are not the launch's arguments and constants: a bug of the variant.
    """
    function = getattr(module, launch.function, None)
    wanted = [*launch.arguments, *(name for name, _ in launch.constants)]
    found = None if function is None else list(function.arg_names)
    if found != wanted:
        raise CompileError(
            f"{module.__file__}: the variant launches {launch.function}({', '.join(wanted)}), but the source has "
            + ("no such function" if found is None else f"{launch.function}({', '.join(found)})")
            + "; correct the variant's program or its template."
        )
    return function


def source_of(
    function: Any,
    signature: Mapping[str, str],
    constants: Mapping[str, object],
    attributes: Mapping[Any, object],
) -> Any:
    """What Triton compiles: a function with the types of its parameters, its constants, and what is known of them."""
    return _source_class()(function, dict(signature), dict(constants), dict(attributes))


@functools.cache
def _source_class() -> Any:
    from triton.compiler import ASTSource

    class Source(ASTSource):  # type: ignore[misc]
        """One that several threads may compile at once."""

        def make_ir(self, *args: Any, **kwargs: Any) -> Any:
            with _LOCK:
                return super().make_ir(*args, **kwargs)

        def hash(self) -> Any:
            with _LOCK:
                return super().hash()

    return Source


def tensor_dtypes(problem: Problem, program: Program) -> dict[str, str]:
    """Short dtype names of operands and workspaces, in the order in which launches index them."""
    found = {operand.name: operand.dtype for operand in interface(problem.op).operands(problem)}
    return found | {workspace.name: workspace.dtype for workspace in program.workspaces}


def with_workspaces(program: Program) -> Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]:
    """What appends a program's workspaces, allocated anew on the operands' device, to its operands."""
    made = [(workspace.shape, dtype(workspace.dtype).torch) for workspace in program.workspaces]
    if not made:
        return lambda tensors: tensors
    return lambda tensors: [
        *tensors,
        *(torch.empty(shape, dtype=kind, device=tensors[0].device) for shape, kind in made),
    ]
