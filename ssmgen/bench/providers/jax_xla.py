"""JAX: scans by `lax.scan`, sums over poles as broadcasts that XLA fuses, gradients by its autodiff."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssmgen.bench.provider import EVERY_MODE, Call, Inputs, Provider
from ssmgen.bench.task import Task

__all__ = ["Jax"]


class Jax(Provider):
    """Everything is jitted; tensors are handed over without a copy, outside of what is timed."""

    name = "jax"
    summary = "jitted lax.scan, or a broadcast that XLA fuses"
    modules: ClassVar = ("jax",)
    distribution = "jax"
    install = "pip install jax"
    device = "cpu"
    computes: ClassVar = {
        "selective_scan": EVERY_MODE,
        "linear_scan": EVERY_MODE,
        "cauchy_mult": EVERY_MODE,
        "log_vandermonde": EVERY_MODE,
    }
    options: ClassVar = {
        "selective_scan": ("softplus", "D", "z", "delta_bias"),
        "cauchy_mult": ("imaginary",),
    }

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        return _JaxCall(task, inputs)


class _JaxCall(Call):
    def __init__(self, task: Task, inputs: Inputs) -> None:
        import jax

        self._mode = task.mode
        self._forward, self._both = _jitted(task)
        arrays = {name: jax.dlpack.from_dlpack(x.contiguous()) for name, x in inputs.items()}
        # JAX multiplies by the derivative where PyTorch multiplies by its conjugate.
        self._dout = arrays.pop("dout").conj() if "dout" in arrays else None
        self._inputs = {name: arrays.pop(name) for name in task.wanted}
        self._fixed = arrays
        self._pull: Any = None

    def before(self) -> None:
        """See `Call`."""
        import jax

        if self._mode == "backward":
            _, self._pull = jax.vjp(lambda inputs: self._forward(inputs, self._fixed), self._inputs)

    def run(self) -> Any:
        """See `Call`."""
        import jax

        if self._mode == "forward":
            found = {"out": self._forward(self._inputs, self._fixed)}
        elif self._mode == "backward":
            found = _named(self._pull(self._dout)[0])
        else:
            out, gradients = self._both(self._inputs, self._fixed, self._dout)
            found = {"out": out, **_named(gradients)}
        return jax.block_until_ready(found)

    def results(self, found: Any) -> Mapping[str, Tensor]:
        """See `Call`."""
        return {name: torch.utils.dlpack.from_dlpack(x) for name, x in found.items()}


def _named(gradients: Mapping[str, Any]) -> dict[str, Any]:
    return {f"d{name}": x.conj() for name, x in gradients.items()}


@cache
def _jitted(task: Task) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The function of (inputs with gradients, other inputs), and with `dout` its results and gradients."""
    import jax

    function = _function(task)

    def forward(inputs: Mapping[str, Any], fixed: Mapping[str, Any]) -> Any:
        return function({**inputs, **fixed})

    def both(inputs: Mapping[str, Any], fixed: Mapping[str, Any], dout: Any) -> tuple[Any, Any]:
        out, pull = jax.vjp(lambda inputs: forward(inputs, fixed), inputs)
        return out, pull(dout)[0]

    return jax.jit(forward), jax.jit(both)


def _function(task: Task) -> Callable[[Mapping[str, Any]], Any]:
    import jax
    import jax.numpy as jnp
    from jax import lax

    softplus = task.problem.has("softplus")

    def selective_scan(x: Mapping[str, Any]) -> Any:
        u, delta, A = x["u"], x["delta"], x["A"]
        if "delta_bias" in x:
            delta = delta + x["delta_bias"][:, None]
        if softplus:
            delta = jax.nn.softplus(delta)

        def step(h: Any, now: Any) -> tuple[Any, Any]:
            delta_t, u_t, B_t, C_t = now
            h = jnp.exp(delta_t[..., None] * A) * h + (delta_t * u_t)[..., None] * B_t[:, None]
            return h, (h * C_t[:, None]).sum(-1)

        rows = (x[name][:, 0].swapaxes(0, 1) for name in ("B", "C"))
        first = jnp.zeros((u.shape[0], *A.shape), u.dtype)
        _, y = lax.scan(step, first, (jnp.moveaxis(delta, 2, 0), jnp.moveaxis(u, 2, 0), *rows))
        y = jnp.moveaxis(y, 0, 2)
        if "D" in x:
            y = y + x["D"][:, None] * u
        return y * jax.nn.silu(x["z"]) if "z" in x else y

    def linear_scan(x: Mapping[str, Any]) -> Any:
        def step(h: Any, now: Any) -> tuple[Any, Any]:
            h = now[0] * h + now[1]
            return h, h

        a, b = (jnp.moveaxis(x[name], 2, 0) for name in ("a", "b"))
        return jnp.moveaxis(lax.scan(step, jnp.zeros_like(a[0]), (a, b))[1], 0, 2)

    def cauchy_mult(x: Mapping[str, Any]) -> Any:
        v, w = (x[name][..., None] for name in ("v", "w"))
        z = x["z"][..., None, :]
        z = z if jnp.iscomplexobj(z) else 1j * z
        return (v / (z - w) + v.conj() / (z - w.conj())).sum(-2)

    def log_vandermonde(x: Mapping[str, Any]) -> Any:
        v, rate = (x[name][..., None] for name in ("v", "x"))
        return 2 * (v * jnp.exp(rate * jnp.arange(task.problem["seqlen"]))).real.sum(-2)

    functions = (selective_scan, linear_scan, cauchy_mult, log_vandermonde)
    return {function.__name__: function for function in functions}[task.problem.op]
