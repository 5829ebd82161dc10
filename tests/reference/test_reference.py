"""The reference against the formulas written out with NumPy, and its gradients against finite differences."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import torch

from ssmgen import reference


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("groups", [0, 1, 3], ids=["constant", "variable", "grouped"])
def test_selective_scan_is_the_recurrence(groups: int) -> None:
    torch.manual_seed(groups)
    batch, dim, seqlen, states = 2, 6, 7, 5
    u, delta, z = (_random(batch, dim, seqlen) for _ in range(3))
    A, D, bias = -torch.rand(dim, states, dtype=torch.float64), _random(dim), _random(dim)
    shape = (dim, states) if groups == 0 else (batch, groups, states, seqlen)
    B, C = _random(*shape), _random(*shape)
    out, last = reference.selective_scan(u, delta, A, B, C, D, z, bias, True, dtype=torch.float64)

    h = np.zeros((batch, dim, states))
    wanted = np.zeros((batch, dim, seqlen))
    for t in range(seqlen):
        for b in range(batch):
            for d in range(dim):
                step = _softplus(delta[b, d, t].item() + bias[d].item())
                rows = [(x[d] if groups == 0 else x[b, d // (dim // groups), :, t]).numpy() for x in (B, C)]
                h[b, d] = np.exp(step * A[d].numpy()) * h[b, d] + step * rows[0] * u[b, d, t].item()
                gate = z[b, d, t].item() / (1 + np.exp(-z[b, d, t].item()))
                wanted[b, d, t] = (rows[1] @ h[b, d] + D[d].item() * u[b, d, t].item()) * gate
    np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(last.numpy(), h, rtol=1e-12, atol=1e-12)


def test_linear_scan_forwards_and_backwards() -> None:
    torch.manual_seed(0)
    a, b, h0 = _random(3, 8), _random(3, 8), _random(3)
    for reverse in (False, True):
        h, wanted = h0.numpy().copy(), np.zeros((3, 8))
        for t in reversed(range(8)) if reverse else range(8):
            h = a[:, t].numpy() * h + b[:, t].numpy()
            wanted[:, t] = h
        found = reference.linear_scan(a, b, initial_state=h0, reverse=reverse, dtype=torch.float64)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-13)


def test_cauchy_mult_broadcasts_and_adds_conjugates() -> None:
    torch.manual_seed(0)
    v, z, w = (torch.randn(*s, dtype=torch.complex128) for s in ((4, 1, 5), (3, 9), (1, 3, 5)))
    found = reference.cauchy_mult(v, z, w, symmetric=True, dtype=torch.complex128)
    both_v, both_w = torch.cat([v, v.conj()], -1), torch.cat([w, w.conj()], -1)
    wanted = (both_v[..., None, :] / (z[..., :, None] - both_w[..., None, :])).sum(-1)
    assert found.shape == (4, 3, 9)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_gradients_pass_through_the_checkpoints() -> None:
    torch.manual_seed(0)
    u, delta, z = (_random(1, 2, 5) for _ in range(3))
    A, B, C, D, bias = (
        -torch.rand(2, 3, dtype=torch.float64),
        _random(1, 3, 5),
        _random(2, 3),
        _random(2),
        _random(2),
    )
    tensors = [x.requires_grad_() for x in (u, delta, A, B, C, D, z, bias)]

    def run(*xs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return reference.selective_scan(*xs, True, dtype=torch.float64)

    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


@pytest.mark.slow
def test_a_full_size_backward_needs_no_gigabytes() -> None:
    torch.manual_seed(0)
    batch, dim, seqlen, states = 1, 1536, 2048, 16
    u, delta = torch.randn(batch, dim, seqlen), 0.1 * torch.rand(batch, dim, seqlen)
    A, B, C = -torch.rand(dim, states), torch.randn(batch, states, seqlen), torch.randn(batch, states, seqlen)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out, _ = reference.selective_scan(*(x.requires_grad_() for x in (u, delta, A, B, C)))
    out.square().mean().backward()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    every_state = (
        4 * batch * dim * seqlen * states
    )  # what one tensor of (batch, seqlen, dim, d_state) would take
    assert grown < 4 * every_state
    assert grown < 1e9


@pytest.mark.parametrize("seqlen", [1 << 16, (1 << 16) + 1000])
def test_phases_of_many_turns_are_exact_in_complex64(seqlen: int) -> None:
    x = torch.complex(torch.tensor([-1e-7, -1e-6]), torch.tensor([19.7, -3.3]))
    v = torch.tensor([1.0 + 0.5j, 0.3j])
    wanted = reference.log_vandermonde(v, x, seqlen, dtype=torch.complex128)
    found = reference.log_vandermonde(v, x, seqlen, dtype=torch.complex64)
    assert float((found - wanted).abs().max()) < 1e-6
    u = torch.linspace(-1.0, 1.0, seqlen)
    wide = reference.log_vandermonde_transpose(u, v, x, seqlen, dtype=torch.complex128)
    narrow = reference.log_vandermonde_transpose(u, v, x, seqlen, dtype=torch.complex64)
    assert float((narrow - wide).abs().max() / u.abs().sum()) < 1e-6
