"""The kernel of a call, launched without the call: for loops that make the same one over and over."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from ssmgen.config import Config
from ssmgen.dispatch import named_target, resolve
from ssmgen.errors import InvalidInputError, unknown
from ssmgen.ops.launch import converter, writing_plan
from ssmgen.ops.library import is_plain
from ssmgen.ops.op import OPS, Op, Options, require_tensor
from ssmgen.problem import Problem
from ssmgen.targets import Target

__all__ = ["Launcher", "launcher"]

# One call in C++ that compares all that `_form` does, and more; private to PyTorch, so that it may be missing.
_Guards: Any = getattr(getattr(torch._C._dynamo, "guards", None), "TensorGuards", None)


def launcher(op: Callable[..., Any], /, *args: Any, check: bool = True, **kwargs: Any) -> Launcher:
    """What launches the kernel of an op for tensors like these, without all that a call does beside.

    The kernel is chosen, compiled and bound here. A launch then takes the tensors that were given here, no others and
    in the order of the op's arguments, and returns what the op returns:

        step = ssmgen.launcher(ssmgen.selective_state_update, state, x, dt, A, B, C, D, dt_bias=bias, dt_softplus=True)
        y = step(state, x, dt, A, B, C, D, bias)

    Nothing else of a call takes place. A launch has no gradients, whatever requires them, and what traces, compiles or
    transforms calls does not see it. On a GPU it goes to the current stream of the tensors' device, and a CUDA graph
    can capture it. Several threads may launch at once, to outputs and states of their own.

    Args:
        op: The op, e.g. `ssmgen.selective_scan`.
        *args: Its arguments, as for a call; of the tensors only the form counts.
        check: Whether a launch makes sure that its tensors have the shapes, strides, dtypes, devices and alignment of
            those given here, which takes half a microsecond. A launch that does not, and is given others, reads and
            writes memory that is not theirs.
        **kwargs: As `args`. With `out`, a tensor or a tuple of them in the form that the op returns, launches take the
            outputs after all other tensors, and write to them.

    Returns:
        The launcher.

    Raises:
        InvalidInputError: The call would raise it; no kernel serves the call; or `out` has another form, or is not
            what the kernel itself writes.
        UnknownNameError: It is no op that has kernels.
        FrozenError: This process is frozen, and the call is not prepared.
    """
    name = getattr(op, "__name__", repr(op))
    if name not in OPS or getattr(op, "__module__", None) != f"ssmgen.ops.{name}":
        raise unknown("op with kernels", name, OPS)
    signature = inspect.signature(op)
    out = None if "out" in signature.parameters else kwargs.pop("out", None)
    given = signature.bind(*args, **kwargs).arguments
    tensors, options, target = OPS[name].split(given)
    outputs = () if out is None else tuple(out) if isinstance(out, (tuple, list)) else (out,)
    return Launcher(OPS[name], tensors, options, target, outputs, check)


class Launcher:
    """Launches one kernel on tensors of one form; made by `launcher`.

    Attributes:
        problem: What it computes.
        config: The config of its kernel.
        target: Where it runs.
        names: What its tensors are, in the order in which a launch takes them.
        copied: Those of them that every launch converts first, because they have not the form in which the kernel
            reads them, or whose values it checks.
    """

    def __init__(
        self,
        op: Op,
        tensors: Sequence[Tensor | None],
        options: Options,
        target: str | None,
        outputs: tuple[Tensor, ...],
        check: bool,
    ) -> None:
        present = [index for index, x in enumerate(tensors) if x is not None]
        given = (*(x for x in tensors if x is not None), *outputs)
        self._op = op.name
        self.names = (*(op.names[index] for index in present), *_output_names(len(outputs)))
        for name, x in zip(self.names, given, strict=True):
            _require_memory(name, x)
        with torch.no_grad():
            call = op.prepare(tensors, options, named_target(target))
            plan = (
                writing_plan(call, tensors, outputs)
                if outputs
                else op.kernel_plan(call, tensors, trains=False)
            )
            resolution = resolve(call.problem, call.target)
            if plan is None or resolution is None:
                raise InvalidInputError(
                    f"target {call.target.name!r} has no kernel for {call.problem} that could be launched; call "
                    f"{op.name}, which PyTorch then serves."
                )
            self.copied = tuple(
                op.names[adapter.source]
                for adapter in call.adapters
                if converter((adapter,), (tensors[adapter.source],)) is not None  # type: ignore[arg-type]
            )
        self.problem: Problem = call.problem
        self.config: Config = resolution.config
        self.target: Target = call.target
        self._plan = plan
        # What the op's plan expects where a launch takes nothing: None, behind all tensors or between them.
        places = [present.index(index) if index in present else -1 for index in range(len(tensors))]
        places += range(len(present), len(given))
        holes = len(places) - len(given)
        is_dense = places == [*range(len(given)), *[-1] * holes]
        self._rest: tuple[None, ...] = (None,) * holes if is_dense else ()
        self._spread = None if is_dense else itemgetter(*places)
        self._forms = [_form(x) for x in given]
        self._is_same = _comparison(given) if check else None

    def __call__(self, *tensors: Tensor) -> Any:
        """Launch.

        Args:
            *tensors: As many as there are names, each in the form of the one given to `launcher`.

        Returns:
            What the op returns.

        Raises:
            InvalidInputError: A tensor has another form.
        """
        if self._is_same is not None:
            try:
                is_same = self._is_same(*tensors)
            except TypeError:  # not as many
                is_same = False
            if not is_same:
                self._require_same(tensors)
        spread = self._spread
        found = self._plan(tensors + self._rest if spread is None else spread((*tensors, None)))
        # An op that was given its output returns that; it is the last of its tensors.
        return found[0] if len(found) == 1 else found or tensors[-1]

    def __repr__(self) -> str:
        return f"<launcher of {self.problem} by {self.config} on {self.target.name}: {', '.join(self.names)}>"

    def _require_same(self, tensors: Sequence[Tensor]) -> None:
        """Raise an `InvalidInputError` unless these have the forms of those given at first."""
        if len(tensors) != len(self._forms):
            raise InvalidInputError(
                f"this launcher of {self._op} takes {len(self._forms)} tensors ({', '.join(self.names)}), not "
                f"{len(tensors)}."
            )
        for name, form, x in zip(self.names, self._forms, tensors, strict=True):
            _require_memory(name, x)
            if _form(x) != form:
                raise InvalidInputError(
                    f"{name} is {_words(_form(x))}, but this launcher of {self._op} was made for {_words(form)}; make "
                    "another, or call the op."
                )
        # Another mode of autograd, or a parameter for a tensor: as good, and from now on found quickly.
        self._is_same = _comparison(tensors)


Form = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device, bool]


def _form(x: Tensor) -> Form:
    """All that a bound kernel depends on; along an axis of size 1 no step is taken, and C takes any address."""
    strides = tuple(step if size > 1 else 0 for step, size in zip(x.stride(), x.shape, strict=True))
    return tuple(x.shape), strides, x.dtype, x.device, x.is_cpu or x.data_ptr() % 16 == 0


def _words(form: Form) -> str:
    shape, strides, kind, device, is_aligned = form
    address = "" if is_aligned else ", at an address that is no multiple of 16"
    return f"{shape} with strides {strides}, {kind} on {device}{address}"


def _require_memory(name: str, x: object) -> None:
    x = require_tensor(name, x)
    if not is_plain((x,)) or x.layout != torch.strided or x.is_neg() or x.is_conj():
        raise InvalidInputError(
            f"{name} has not in memory what a kernel would have to read; give a launcher plain, dense tensors, and "
            "resolve_conj() and resolve_neg() lazy ones."
        )


def _comparison(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    """Whether tensors are like these, quickly; it may say no of tensors that are as good."""
    if _Guards is None:
        return lambda *tensors: False
    # To PyTorch's guards a tensor that is given twice is unlike any other.
    places = {id(x): index for index, x in reversed(list(enumerate(tensors)))}
    first = [places[id(x)] for x in tensors]
    alone = sorted(set(first))
    distinct = [tensors[index] for index in alone]
    compare: Callable[..., bool] = _Guards(
        *distinct,
        dynamic_dims_sizes=[list(x.shape) for x in distinct],
        dynamic_dims_strides=[list(x.stride()) for x in distinct],
    ).check
    on_gpu = [index for index, x in enumerate(tensors) if not x.is_cpu]
    if len(distinct) == len(tensors) and not on_gpu:
        return compare
    repeated = [(index, place) for index, place in enumerate(first) if index != place]
    aligned = [(index, tensors[index].data_ptr() % 16 == 0) for index in on_gpu]

    def compare_all(*given: Tensor) -> bool:
        return (
            len(given) == len(first)
            and all(given[index] is given[place] for index, place in repeated)
            and compare(*[given[index] for index in alone])
            and all((given[index].data_ptr() % 16 == 0) == as_before for index, as_before in aligned)
        )

    return compare_all


def _output_names(count: int) -> tuple[str, ...]:
    return ("out",) if count == 1 else tuple(f"out[{index}]" for index in range(count))
