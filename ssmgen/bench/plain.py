"""The ops as one writes them in PyTorch without kernels: loops over time, unbound, and sums over all pairs at once.

Claims of speed are made against these. Step functions stand by themselves so that they can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ssmgen.bench.provider import Inputs

__all__ = [
    "causal_conv1d",
    "causal_conv1d_update",
    "dplr_kernel",
    "linear_scan",
    "linear_step",
    "log_vandermonde",
    "log_vandermonde_transpose",
    "scan_step",
    "selective_scan",
    "selective_state_update",
    "ssd",
    "state_update",
    "symmetric_product",
]

Results = dict[str, Tensor]
Product = Callable[[Tensor, Tensor, Tensor], Tensor]


def scan_step(h: Tensor, delta: Tensor, u: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the selective scan: h (batch, dim, d_state), delta and u (batch, dim), B and C (batch, d_state)."""
    h = torch.exp(delta[..., None] * A) * h + (delta * u)[..., None] * B[:, None]
    return h, (h * C[:, None]).sum(-1)


def selective_scan(
    inputs: Inputs, softplus: bool, kind: torch.dtype, step: Callable[..., tuple[Tensor, Tensor]] = scan_step
) -> Results:
    """The selective scan of one group: B and C are (batch, 1, seqlen, d_state)."""
    u, delta, A = (inputs[name].to(kind) for name in ("u", "delta", "A"))
    B, C = (inputs[name][:, 0].to(kind).unbind(1) for name in ("B", "C"))
    if "delta_bias" in inputs:
        delta = delta + inputs["delta_bias"][:, None]
    if softplus:
        delta = F.softplus(delta)
    h, ys = u.new_zeros(u.shape[0], *A.shape), []
    for u_t, delta_t, B_t, C_t in zip(u.unbind(2), delta.unbind(2), B, C, strict=True):
        h, y = step(h, delta_t, u_t, A, B_t, C_t)
        ys.append(y)
    out = torch.stack(ys, 2)
    if "D" in inputs:
        out = out + inputs["D"][:, None] * u
    if "z" in inputs:
        out = out * F.silu(inputs["z"].to(kind))
    return {"out": out.to(inputs["u"].dtype)}


def linear_step(h: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """One step of the linear scan."""
    return a * h + b


def linear_scan(
    inputs: Inputs, reverse: bool, kind: torch.dtype, step: Callable[..., Tensor] = linear_step
) -> Results:
    """The linear scan of a, b (batch, dim, seqlen)."""
    a, b = (inputs[name].to(kind).unbind(2) for name in ("a", "b"))
    h = inputs["initial_state"] if "initial_state" in inputs else torch.zeros_like(b[0])
    hs = []
    for t in reversed(range(len(a))) if reverse else range(len(a)):
        h = step(h, a[t], b[t])
        hs.append(h)
    return {"out": torch.stack(hs[::-1] if reverse else hs, 2).to(inputs["a"].dtype)}


def state_update(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    softplus: bool,
) -> tuple[Tensor, Tensor]:
    """One token; x and z (batch, heads, dim), dt the same or with 1 for dim, B and C (batch, heads, d_state)."""
    if dt_bias is not None:
        dt = dt + dt_bias
    if softplus:
        dt = F.softplus(dt)
    state = state.to(A.dtype) * torch.exp(dt[..., None] * A) + (dt * x)[..., None] * B[:, :, None]
    out = (state * C[:, :, None]).sum(-1)
    if D is not None:
        out = out + x * D
    return state, out if z is None else out * F.silu(z)


def selective_state_update(
    inputs: Inputs,
    softplus: bool,
    tied: bool,
    kind: torch.dtype,
    step: Callable[..., tuple[Tensor, Tensor]] = state_update,
) -> Results:
    """A step of decoding, token by token; the state is overwritten."""
    state = inputs["state"]
    x, dt, A, B, C = (inputs[name].to(kind) for name in ("x", "dt", "A", "B", "C"))
    dt_bias, z, D = (inputs.get(name) for name in ("dt_bias", "z", "D"))
    if tied:
        dt, A = dt[..., None], A[:, None, None]
        dt_bias = None if dt_bias is None else dt_bias[:, None]
    B, C = (rows.repeat_interleave(x.shape[2] // rows.shape[2], dim=2) for rows in (B, C))
    h, outs = state, []
    for t in range(x.shape[1]):
        z_t = None if z is None else z[:, t].to(kind)
        h, out = step(h, x[:, t], dt[:, t], A, B[:, t], C[:, t], D, z_t, dt_bias, softplus)
        outs.append(out)
    state.copy_(h)
    return {"out": torch.stack(outs, 1).to(inputs["x"].dtype)}


def ssd(
    inputs: Inputs,
    softplus: bool,
    kind: torch.dtype,
    step: Callable[..., tuple[Tensor, Tensor]] = state_update,
) -> Results:
    """The scan of Mamba-2, as steps of it one after another."""
    x, dt, A, B, C = (inputs[name].to(kind) for name in ("x", "dt", "A", "B", "C"))
    dt_bias, z, D = (inputs.get(name) for name in ("dt_bias", "z", "D"))
    B, C = (rows.repeat_interleave(x.shape[2] // rows.shape[2], dim=2) for rows in (B, C))
    h, outs = x.new_zeros(*x.shape[:1], *x.shape[2:], B.shape[-1]), []
    dt, A, dt_bias = dt[..., None], A[:, None, None], None if dt_bias is None else dt_bias[:, None]
    for t in range(x.shape[1]):
        z_t = None if z is None else z[:, t].to(kind)
        h, out = step(h, x[:, t], dt[:, t], A, B[:, t], C[:, t], D, z_t, dt_bias, softplus)
        outs.append(out)
    return {"out": torch.stack(outs, 1).to(inputs["x"].dtype)}


def causal_conv1d(inputs: Inputs, silu: bool, kind: torch.dtype) -> Results:
    """The causal convolution by PyTorch's, one filter for each channel."""
    x, weight, bias = inputs["x"].to(kind), inputs["weight"], inputs.get("bias")
    out = F.conv1d(x, weight[:, None], bias, padding=weight.shape[1] - 1, groups=x.shape[1])
    out = out[..., : x.shape[2]]
    return {"out": (F.silu(out) if silu else out).to(inputs["x"].dtype)}


def causal_conv1d_update(inputs: Inputs, silu: bool, kind: torch.dtype) -> Results:
    """Steps of it: the state moves on by as many as there are tokens."""
    x, state, weight, bias = inputs["x"], inputs["conv_state"], inputs["weight"], inputs.get("bias")
    steps = torch.cat([state, x], dim=-1)
    state.copy_(steps[..., x.shape[2] :])
    out = F.conv1d(steps.to(kind), weight[:, None], bias, groups=x.shape[1])[..., -x.shape[2] :]
    return {"out": (F.silu(out) if silu else out).to(x.dtype)}


def symmetric_product(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """The Cauchy product over conjugate pairs as one broadcast: v, w (rows, poles), z (rows, nodes)."""
    v, w = torch.cat([v, v.conj()], dim=-1), torch.cat([w, w.conj()], dim=-1)
    return (v[..., None, :] / (z[..., :, None] - w[..., None, :])).sum(-1)


def log_vandermonde(inputs: Inputs, seqlen: int) -> Results:
    """The Vandermonde product as one broadcast."""
    v, x = inputs["v"], inputs["x"]
    steps = torch.arange(seqlen, device=x.device)
    return {"out": 2 * (v[..., None] * torch.exp(x[..., None] * steps)).sum(-2).real}


def log_vandermonde_transpose(inputs: Inputs, seqlen: int) -> Results:
    """The transposed Vandermonde product as one broadcast."""
    u, v, x = inputs["u"], inputs["v"], inputs["x"]
    steps = torch.arange(seqlen, device=x.device)
    return {"out": v * (u[:, None] * torch.exp(x[..., None] * steps)).sum(-1)}


def dplr_kernel(inputs: Inputs, seqlen: int, product: Product = symmetric_product) -> Results:
    """S4's kernel of rank 1 and one channel by four Cauchy products and Woodbury's identity; poles in pairs."""
    Lambda, B, step = inputs["Lambda"], inputs["B"], inputs["step"]
    P, Q, C = inputs["P"][:, 0], inputs["Q"][:, 0], inputs["C"][0]
    phase = torch.pi * torch.arange(seqlen // 2 + 1, dtype=torch.float64, device=step.device) / seqlen
    tangents = torch.tan(phase)
    if seqlen % 2 == 0 and seqlen > 1:
        tangents[-1] = tangents[-2]  # Nyquist's node is nothing but huge
    z = (2j * tangents / step[:, None].double()).to(Lambda.dtype)
    (k_CB, k_CP), (k_QB, k_QP) = (
        [product(left.conj() * right, z, Lambda) for right in (B, P)] for left in (C, Q)
    )
    spectrum = (1 + 1j * tangents).to(Lambda.dtype) * (k_CB - k_CP * k_QB / (1 + k_QP))
    return {"out": torch.fft.irfft(spectrum, n=seqlen)[None]}
