"""From a call to a launch: one tuple key, looked up in one dictionary, gives a plan with everything prepared.

The first call with a key takes the cold path (which config, which kernel, compile, bind); later calls only read the
addresses of their tensors. Nothing here renders, reads a file or tunes on a hit. In a frozen process the cold path
goes as far as what is in memory leads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, is_grad_enabled

from ssmgen import store, targets
from ssmgen.advice import fields, say_untuned, tune_command
from ssmgen.config import Config
from ssmgen.errors import FrozenError, InvalidInputError, SsmgenError
from ssmgen.freezing import is_frozen
from ssmgen.kernels import Assumptions, Space, Variant, interface
from ssmgen.problem import Problem
from ssmgen.settings import get as setting
from ssmgen.targets import Kernel, Target

__all__ = [
    "Plan",
    "Resolution",
    "call",
    "compiled",
    "forget",
    "kernels",
    "named_target",
    "pick_target",
    "resolve",
    "resolve_training",
    "say_if_untuned",
]

# Options that leave the recurrence in the middle of a kernel as it is, so that a config tuned with other values of
# them is a better guess than the default. The layout changes how tiles are loaded, so it is given up last.
_PERIPHERAL = {
    "D": 1,
    "z": 1,
    "delta_bias": 1,
    "dt_bias": 1,
    "bias": 1,
    "indices": 1,
    "update": 1,
    "softplus": 1,
    "silu": 1,
    "last_state": 1,
    "initial_state": 1,
    "reverse": 1,
    "dz": 1,
    "layout": 8,
}

Tensors = Sequence[Tensor | None]
# Turns the tensors of a call into its outputs.
Plan = Callable[[Tensors], tuple[Tensor, ...]]

# Plans hold no tensors, only numbers and handles: some thousand are a few megabytes. A program that meets more
# shapes than that (every prompt its own length) starts over rather than growing without bound.
_MOST_PLANS = 4096
_plans: dict[object, Plan] = {}
_resolutions: dict[tuple[str, Problem], Resolution | None] = {}
_pairs: dict[tuple[str, Problem], tuple[Problem, Problem | None]] = {}
# By target and problem, and then by what they rely on; see `compiled`.
_kernels: dict[tuple[str, Problem], dict[Assumptions, Kernel]] = {}


def call(
    op: str,
    prepare: Callable[[Tensors, tuple[object, ...], str | None], Plan],
    tensors: Tensors,
    options: tuple[object, ...],
    target: str | None,
) -> tuple[Tensor, ...]:
    """Run an op by the plan for its key; `prepare` makes the plan when there is none.

    The key holds all that a plan depends on: shapes, strides, dtypes, devices, 16-byte alignment, options, target, and
    what autograd is to do. Lazy signs are in it because kernels read memory, which holds the other sign.
    """
    target = target or setting("SSMGEN_TARGET")
    key = (
        op,
        options,
        target,
        is_grad_enabled(),
        *[
            None
            if x is None
            else (
                x.shape,
                # Contiguous tensors of one shape differ in strides along axes of size 1 at most, where nothing steps.
                x.is_contiguous() or x.stride(),
                x.dtype,
                # C takes any address; what Triton compiles relies on those it has seen.
                x.is_cpu or (x.device, x.data_ptr() & 15),
                x.requires_grad,
                x.is_neg() or x.is_conj(),
            )
            for x in tensors
        ],
    )
    plan = _plans.get(key)
    if plan is None:
        plan = prepare(tensors, options, named_target(target))
        if len(_plans) >= _MOST_PLANS:
            # A frozen process could not find again what else is forgotten.
            _plans.clear() if is_frozen() else forget()
        _plans[key] = plan
    return plan(tensors)


def named_target(target: str | None) -> str | None:
    """The target that a call or, if it does not, the environment names."""
    target = target or setting("SSMGEN_TARGET")
    if target is not None and not isinstance(target, str):
        raise InvalidInputError(f"target must be the name of one, e.g. 'cpu', not {target!r}.")
    return target


def forget() -> None:
    """Drop every plan, choice of config and kernel, so that configs saved since are seen.

    Raises:
        FrozenError: This process is frozen, and could not find them again.
    """
    if is_frozen():
        raise FrozenError("ssmgen is frozen, so that nothing may be forgotten; unfreeze() first.")
    for kept in (_plans, _resolutions, _pairs, _kernels):
        kept.clear()


def pick_target(name: str | None, tensors: Tensors) -> Target:
    """The target of a call: the one named, else the one that serves the tensors' device.

    Raises:
        InvalidInputError: The tensors lie on several devices, or not where the target works.
    """
    present = [x for x in tensors if x is not None]
    devices = {x.device for x in present}
    if len(devices) > 1:
        raise InvalidInputError(
            f"the tensors lie on several devices ({', '.join(sorted(map(str, devices)))}); move them to one."
        )
    device = present[0].device
    chosen = targets.target(name or targets.for_device(device))
    if chosen.language != "none" and chosen.device.type != device.type:
        raise InvalidInputError(
            f"target {chosen.name!r} works on {chosen.device.type} tensors, but these are on {device}; "
            "move them, or leave the target to follow them."
        )
    return chosen


@dataclass(frozen=True)
class Resolution:
    """The config that will serve a problem, and why it was chosen.

    Attributes:
        config: The config.
        variant: Its variant.
        match: The tuned entry it comes from; None for the built-in default.
        how: `exact`, `nearest`, `same arch`, `other options` or `default`.
    """

    config: Config
    variant: Variant
    match: store.Match | None
    how: str


def resolve(problem: Problem, target: Target) -> Resolution | None:
    """The config for a problem on a target, or None where no kernel of the target supports it.

    Order: the tuned entries as `store.lookup` ranks them; then those of the same problem with other peripheral
    options (tuned without `z`, called with it), which change a kernel's edges and not what its blocks should be;
    then the default.

    Raises:
        FrozenError: This process is frozen, and had not met the problem before.
    """
    key = (target.name, problem)
    if key not in _resolutions:
        if is_frozen():
            raise _unprepared(problem, target)
        _resolutions[key] = _resolve(problem, target)
    return _resolutions[key]


def compiled(problem: Problem, target: Target, resolution: Resolution, assumed: Assumptions) -> Kernel:
    """The kernel of a problem, which is compiled once.

    Args:
        problem: The exact problem.
        target: Where it runs.
        resolution: What `resolve` found.
        assumed: What the kernel may rely on.

    Raises:
        CompileError: The compiler refused.
        FrozenError: This process is frozen, and has no kernel of the problem that relies on no more than that.
    """
    # C takes any address and any stride.
    assumed = assumed if target.language == "triton" else Assumptions()
    known = _kernels.setdefault((target.name, problem), {})
    if assumed in known:
        return known[assumed]
    if is_frozen():
        less = [relied_on for relied_on in list(known) if relied_on.hold_where(assumed)]
        if not less:
            raise _unprepared(problem, target)
        return known[max(less, key=lambda relied_on: sum(map(len, relied_on)))]
    say_if_untuned(problem, target, resolution)
    known[assumed] = target.compile(resolution.variant, problem, resolution.config, assumed)
    return known[assumed]


def kernels() -> dict[tuple[str, Problem, Assumptions], Kernel]:
    """Every kernel that has been compiled, by target, problem and what it relies on; see `compiled`."""
    return {
        (name, problem, assumed): kernel
        for (name, problem), known in list(_kernels.items())
        for assumed, kernel in list(known.items())
    }


def say_if_untuned(problem: Problem, target: Target, resolution: Resolution) -> None:
    """Warn, once for each problem class, where a default runs and times say something."""
    if resolution.how == "default" and target.facts.kind != "interpret":
        say_untuned(problem, target)


def _unprepared(problem: Problem, target: Target) -> FrozenError:
    line = ", ".join(f"{name!r}: {value!r}" for name, value in fields(problem).items())
    return FrozenError(
        f"ssmgen is frozen, and {problem} is not prepared for target {target.name!r}. Before freeze(), call "
        f"ssmgen.warmup([{{{line}}}]), or the op itself; to tune it first: {tune_command(problem)}"
    )


# How often forward saves a state where nothing has been tuned, the best first. On GPUs: at 16 states one in 32 of
# them takes half the memory of u; where no backward kernel takes so few, it recomputes them.
_SAVED = (32, 64, 16, 0, 8, 4, 2)
# C walks a tile from each saved state, and a short one stays in L1: a step of training in fp32 takes 50 ms of one core
# with 16 steps, and 55 with 32.
_SAVED_IN_C = (16, 32, 64)


def _intervals(problem: Problem, target: Target) -> list[int]:
    if target.language != "c":
        return list(_SAVED)
    # The shortest whose states, in fp32, take no more memory than u.
    states = problem["d_state"]
    return sorted(_SAVED_IN_C, key=lambda saved: (states > saved, abs(states - saved)))


def resolve_training(problem: Problem, target: Target) -> tuple[Problem, Problem | None]:
    """The forward and the backward problem that training runs in the place of a forward problem.

    They agree on how often states are saved: as tuned, where the pair has been tuned, the fastest pair first.
    Without a backward kernel, forward is as it was, and there is no backward problem.

    Raises:
        FrozenError: This process is frozen, and the problem's training was not prepared.
    """
    key = (target.name, problem)
    if key not in _pairs:
        if is_frozen():
            raise _unprepared(replace(problem, direction="backward"), target)
        _pairs[key] = _resolve_training(problem, target)
    return _pairs[key]


def _resolve_training(problem: Problem, target: Target) -> tuple[Problem, Problem | None]:
    backward = replace(problem, direction="backward")
    if "saved" not in interface(problem.op).options:
        return problem, backward if resolve(backward, target) is not None else None
    pairs = [
        (problem.with_options(saved=saved), backward.with_options(saved=saved))
        for saved in _intervals(problem, target)
        if len(target.space(problem.with_options(saved=saved)))
    ]
    found = [
        (forward, backward, resolution)
        for forward, backward in pairs
        if (resolution := resolve(backward, target)) is not None
    ]
    if not found:
        return problem, None

    def seconds(pair: tuple[Problem, Problem, Resolution]) -> float:
        matches = [resolution.match for resolution in (pair[2], resolve(pair[0], target)) if resolution]
        return sum(math.inf if match is None else match.entry.seconds for match in matches)

    # Of what is as fast, or untuned, min takes the first.
    forward, backward, _ = min(found, key=seconds)
    return forward, backward


def _resolve(problem: Problem, target: Target) -> Resolution | None:
    space = target.space(problem)
    if not len(space):
        return None
    match = store.lookup_first(
        itertools.chain([problem], _siblings(problem)), target.facts, lambda entry: _is_usable(entry, space)
    )
    if match is not None:
        how = match.how if match.entry.problem.options == problem.options else "other options"
        return Resolution(match.entry.config, space.variant(match.entry.config), match, how)
    config = space.default()
    return Resolution(config, space.variant(config), None, "default")


def _siblings(problem: Problem) -> list[Problem]:
    """The problem with other peripheral options, the most alike first."""
    others = {
        name: next(value for value in interface(problem.op).options[name] if value != chosen)
        for name, chosen in problem.options
        if name in _PERIPHERAL
    }
    found = []
    for count in range(1, len(others) + 1):
        for names in itertools.combinations(others, count):
            cost = sum(_PERIPHERAL[name] for name in names)
            found.append((cost, problem.with_options(**{name: others[name] for name in names})))
    return [sibling for _, sibling in sorted(found, key=lambda item: item[0])]


def _is_usable(entry: store.TunedConfig, space: Space) -> bool:
    """Whether the space still holds the entry's config and its templates still render what was measured."""
    try:
        variant = space.check(entry.config)
    except SsmgenError:
        return False
    return variant.source(entry.problem, entry.config).hash == entry.source_hash
