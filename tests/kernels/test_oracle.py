"""What kernels are verified with: inputs that show what they would lose."""

from __future__ import annotations

from ssmgen.kernels.oracle import sample, tolerance
from tests.helpers import make_problem


def test_harsh_phases_show_a_sum_of_steps_that_is_rounded() -> None:
    problem = make_problem("selective_scan", dim=3, seqlen=64, d_state=2, complex=True, softplus=True)
    inputs = sample(problem, seed=0, harsh=True)
    steps, rates = inputs["delta"][0, ::2], inputs["A"][::2]
    assert steps.min() >= 20, "softplus changes smaller ones"
    exact = steps.double().sum(-1, keepdim=True)
    lost = sum(steps.unbind(-1)).double()[:, None] - exact
    carried = (rates.real * exact).exp()
    assert carried.min() > 0.3
    assert (lost * rates.imag * carried).abs().max() > 2 * tolerance(problem)
