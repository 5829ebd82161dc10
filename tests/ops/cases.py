"""Calls of every op, with their options and layouts, for tests that hold for any call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ssmgen


class Case(NamedTuple):
    """A call: the op, its tensors, its options."""

    op: str
    tensors: dict[str, Tensor]
    options: dict[str, Any]

    def leaves(self, requires_grad: bool = True) -> dict[str, Tensor]:
        return {
            name: x.detach()
            .clone()
            .requires_grad_(requires_grad and (x.is_floating_point() or x.is_complex()))
            for name, x in self.tensors.items()
        }

    def __call__(self, tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
        found = getattr(ssmgen, self.op)(**tensors, **self.options)
        return found if isinstance(found, tuple) else (found,)

    def arguments(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        return {**tensors, **self.options}


def scan(dtype: torch.dtype = torch.float32, **options: Any) -> Case:
    torch.manual_seed(0)
    # Saved states are padded to 16 channels in each group, and what lies in the padding is nobody's.
    batch, dim, seqlen, d_state = 2, 32, 11, 3
    is_complex, packed = options.pop("is_complex", False), options.pop("packed", False)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    weights = wide.to_complex() if is_complex else wide
    batch = 1 if packed else batch
    tensors = {
        "u": torch.randn(batch, dim, seqlen).to(dtype),
        "delta": (0.1 * torch.rand(batch, dim, seqlen)).to(dtype),
        "A": (torch.randn(dim, d_state) * (1j if is_complex else 0) - torch.rand(dim, d_state)).to(weights),
        "B": torch.randn(batch, 2, d_state, seqlen).to(weights if is_complex else dtype),
        "C": torch.randn(batch, d_state, seqlen).to(weights if is_complex else dtype),
    }
    if options:
        tensors |= {
            "D": torch.randn(dim),
            "z": torch.randn(batch, dim, seqlen).to(dtype),
            "delta_bias": torch.rand(dim),
        }
    if packed:
        tensors["cu_seqlens"] = torch.tensor([0, 4, 4, seqlen])
    return Case("selective_scan", tensors, options)


def by_channel(case: Case) -> Case:
    names = ("u", "delta", "z", "a", "b", "x")
    tensors = {
        name: x.transpose(-1, -2).contiguous().transpose(-1, -2) if name in names else x
        for name, x in case.tensors.items()
    }
    return case._replace(tensors=tensors)


def linear(dtype: torch.dtype, shape: tuple[int, ...] = (2, 3, 7), **options: Any) -> Case:
    torch.manual_seed(0)
    tensors = {"a": 0.5 * torch.randn(shape, dtype=dtype), "b": torch.randn(shape, dtype=dtype)}
    if options:
        tensors["initial_state"] = torch.randn(shape[:-1], dtype=dtype)
    return Case("linear_scan", tensors, options)


def mamba2(dtype: torch.dtype = torch.float32, *, packed: bool = False, **options: Any) -> Case:
    torch.manual_seed(0)
    batch = 1 if packed else 2
    tensors = {
        "x": torch.randn(batch, 9, 4, 5).to(dtype),
        "dt": torch.rand(batch, 9, 4).to(dtype),
        "A": -torch.rand(4),
        "B": torch.randn(batch, 9, 2, 3).to(dtype),
        "C": torch.randn(batch, 9, 2, 3).to(dtype),
        "D": torch.randn(4) if options else torch.randn(4, 5),
        "dt_bias": torch.rand(4),
    }
    if options:
        tensors |= {"z": torch.randn(batch, 9, 4, 5).to(dtype)}
    if packed:
        tensors["cu_seqlens"] = torch.tensor([0, 4, 4, 9])
    elif options.get("return_final_states"):
        tensors["initial_states"] = torch.randn(batch, 4, 5, 3)
        tensors["seq_idx"] = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2], [0] * 9])
    return Case("ssd", tensors, options)


def convolution(dtype: torch.dtype = torch.float32, *, width: int = 4, **options: Any) -> Case:
    torch.manual_seed(0)
    tensors = {
        "x": torch.randn(2, 5, 9).to(dtype),
        "weight": torch.randn(5, width),
        "bias": torch.randn(5),
    }
    if options.get("return_final_states"):
        tensors["initial_states"] = torch.randn(2, 5, width - 1).to(dtype)
    return Case("causal_conv1d", tensors, options)


def packed_convolution(name: str, numbers: list[int]) -> Case:
    case = convolution(activation="silu")
    x = case.tensors["x"][:1]
    given = torch.tensor(numbers) if name == "cu_seqlens" else torch.tensor([numbers])
    return case._replace(tensors={**case.tensors, "x": x, name: given})


def cauchy(dtype: torch.dtype, **options: Any) -> Case:
    torch.manual_seed(0)
    v, w = torch.randn(2, 3, 5, dtype=dtype)
    z = 1j * torch.linspace(0.0, 3.0, 8, dtype=dtype)
    return Case("cauchy_mult", {"v": v, "z": z, "w": w - 2 * w.real.abs() - 0.5}, options)


def imaginary(dtype: torch.dtype) -> Case:
    case = cauchy(dtype)
    return case._replace(
        tensors={**case.tensors, "z": case.tensors["z"].imag}, options={"nodes": "imaginary"}
    )


def dplr(dtype: torch.dtype, rank: int = 1, channels: int = 1, **options: Any) -> Case:
    torch.manual_seed(0)
    H, N = 3, 4
    P = 0.5 * torch.randn(H, rank, N, dtype=dtype)
    tensors = {
        "Lambda": torch.randn(H, N, dtype=dtype) - 2.0,
        "P": P,
        "Q": P + 0.1 * torch.randn(H, rank, N, dtype=dtype),
        "B": torch.randn(H, N, dtype=dtype),
        "C": torch.randn(channels, H, N, dtype=dtype),
        "step": torch.rand(H, dtype=dtype.to_real()) + 0.1,
    }
    return Case("dplr_kernel", tensors, {"L": 10, "pairs": True, **options})


def vandermonde(dtype: torch.dtype, **given: Tensor) -> Case:
    torch.manual_seed(0)
    v, x = torch.randn(2, 2, 5, dtype=dtype)
    op = "log_vandermonde_transpose" if given else "log_vandermonde"
    return Case(op, {**given, "v": v, "x": x - 2 * x.real.abs()}, {"L": 9})


CASES = {
    "scan": scan(),
    "scan, all options": scan(delta_softplus=True, return_last_state=True),
    "scan, bf16": scan(torch.bfloat16, delta_softplus=True),
    "scan, fp64 by channel": by_channel(scan(torch.float64, return_last_state=True)),
    "scan, complex": scan(is_complex=True, return_last_state=True),
    "scan, packed": scan(packed=True, return_last_state=True),
    "scan, reference": scan(target="reference", delta_softplus=True),
    "linear": linear(torch.float32),
    "linear, bf16 by channel": by_channel(linear(torch.bfloat16)),
    "linear, complex from a state": linear(torch.complex64, reverse=True),
    "linear, four dims": linear(torch.float64, (2, 3, 2, 5)),
    "mamba-2": mamba2(),
    "mamba-2, states": mamba2(torch.bfloat16, return_final_states=True, dt_softplus=True),
    "mamba-2, packed": mamba2(packed=True, return_final_states=True, dt_limit=(0.1, 0.9)),
    "mamba-2, reference": mamba2(torch.float64, chunk_size=4, dt_softplus=True, target="reference"),
    "convolution": convolution(),
    "convolution, states": convolution(torch.bfloat16, return_final_states=True, activation="silu"),
    "convolution, by channel": by_channel(convolution(torch.float64, width=2, activation="swish")),
    "convolution, packed": packed_convolution("cu_seqlens", [0, 4, 4, 9]),
    "convolution, numbers": by_channel(packed_convolution("seq_idx", [3, 3, 3, -1, -1, 0, 0, 5, 5])),
    "convolution, reference": convolution(width=5, activation="silu", target="reference"),
    "cauchy": cauchy(torch.complex64),
    "cauchy, c128 without pairs": cauchy(torch.complex128, symmetric=False),
    "cauchy, imaginary": imaginary(torch.complex64),
    "dplr": dplr(torch.complex64),
    "dplr, c128 of all poles": dplr(torch.complex128, rank=2, channels=2, pairs=False),
    "vandermonde": vandermonde(torch.complex64),
    "vandermonde, c128": vandermonde(torch.complex128),
    "vandermonde, transpose": vandermonde(torch.complex64, u=torch.linspace(-1.0, 2.0, 18).view(2, 9)),
}


def step(dtype: torch.dtype = torch.float32, *heads: int, tokens: int = 0, **options: Any) -> Case:
    torch.manual_seed(0)
    batch, dim, d_state = 3, 6, 5
    leading = (batch, tokens) if tokens else (batch,)
    tensors = {
        "state": torch.randn(2 * batch, *heads, dim, d_state),
        "x": torch.randn(*leading, *heads, dim).to(dtype),
        "dt": torch.rand(*leading, *heads, dim).to(dtype),
        "A": -torch.rand(*heads, dim, d_state),
        "B": torch.randn(*leading, 2, d_state).to(dtype),
        "C": torch.randn(*leading, 2, d_state).to(dtype),
        "D": torch.randn(*heads, dim),
        "state_batch_indices": torch.tensor([4, -1, 2]),
    }
    if tokens:
        tensors["intermediate_states"] = torch.zeros(*leading, *tensors["state"].shape[1:])
        tensors["out"] = torch.zeros_like(tensors["x"])
    return Case("selective_state_update", tensors, options)


def conv_step(dtype: torch.dtype = torch.float32, tokens: int = 0, **options: Any) -> Case:
    torch.manual_seed(0)
    tensors = {
        "x": torch.randn(3, 6, *((tokens,) if tokens else ())).to(dtype),
        "conv_state": torch.randn(5, 6, 4).to(dtype),
        "weight": torch.randn(6, 4),
        "bias": torch.randn(6),
        "conv_state_indices": torch.tensor([4, -1, 2]),
    }
    if tokens:
        tensors["cache_seqlens"] = torch.tensor([0, 3, 9])
    return Case("causal_conv1d_update", tensors, options)


# Ops that write to their inputs, and have no gradients.
WRITING = {
    "step of a convolution": conv_step(activation="silu"),
    "steps of a ring, bf16": conv_step(torch.bfloat16, 2),
    "step of a convolution, reference": conv_step(torch.float64, 3, target="reference"),
    "step": step(dt_softplus=True),
    "step of heads, bf16": step(torch.bfloat16, 4),
    "tokens that are tried": step(torch.float32, 2, tokens=3, update_state=False),
    "step, reference": step(torch.float64, target="reference"),
}
# What the inner loop leaves out where a case takes long: other dtypes and sizes of what stays.
FURTHER = [
    "scan",
    "scan, bf16",
    "scan, fp64 by channel",
    "linear, bf16 by channel",
    "linear, four dims",
    "cauchy, c128 without pairs",
    "dplr",
    "vandermonde, c128",
]
# One of each op, where more would only take time.
SOME = ["scan, all options", "linear", "cauchy"]


def gradients(
    run: Callable[[dict[str, Tensor]], tuple[Tensor, ...]], leaves: dict[str, Tensor]
) -> tuple[Tensor, ...]:
    outputs = run(leaves)
    wanted = [x for x in leaves.values() if x.requires_grad]
    # Different at each element, so that what is permuted does not go unseen.
    cotangents = [torch.linspace(1.0, 2.0, y.numel()).view(y.shape).to(y.dtype) for y in outputs]
    return (*outputs, *torch.autograd.grad(outputs, wanted, cotangents))
