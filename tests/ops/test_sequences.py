"""Tensors that a call brings into the layout of the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssmgen.ops.sequences import common_layout, sequence_adapter


def of_layout(batch: int, dim: int, seqlen: int, axis: str) -> Tensor:
    """A (batch, dim, seqlen) with that axis side by side; `slice` is half of a longer row of channels."""
    if axis == "time":
        return torch.randn(batch, dim, seqlen)
    if axis == "channel":
        return torch.randn(batch, seqlen, dim).transpose(1, 2)
    return torch.randn(batch, seqlen, 2 * dim)[..., dim:].transpose(1, 2)


@pytest.mark.parametrize("layout", ["time", "channel"])
@pytest.mark.parametrize("given", ["time", "channel", "slice"])
@pytest.mark.parametrize("sizes", [(1, 3, 5), (1, 72, 65), (3, 65, 130), (0, 65, 130), (2, 1, 9000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_values_stay(layout: str, given: str, sizes: tuple[int, int, int], dtype: torch.dtype) -> None:
    x = of_layout(*sizes, given)
    convert = sequence_adapter(0, x, layout, dtype).convert
    found = x if convert is None else convert(x)
    assert found.dtype == dtype
    assert torch.equal(found, x.to(dtype))
    assert found.stride(2 if layout == "time" else 1) == 1 or 0 in sizes or 1 in sizes[1:]


@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_pass(batch: int) -> None:
    x = of_layout(batch, 64, 65, "time").requires_grad_()
    convert = sequence_adapter(0, x, "channel", torch.float32).convert
    assert convert is not None
    weight = torch.randn(batch, 64, 65)
    (found,) = torch.autograd.grad(convert(x), x, weight)
    assert torch.equal(found, weight)


def test_most_of_them_decide() -> None:
    time, channel = (of_layout(2, 70, 60, axis) for axis in ("time", "channel"))
    assert common_layout([time, channel, channel]) == "channel"
    assert common_layout([time, time, channel]) == "time"
    assert common_layout([time, channel]) == "time"
