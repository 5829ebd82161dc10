"""The picture of docs/how/cauchy.md, and what that page says of errors: S4's nodes and its denominators in float32.

python -m docs.how.cauchy_pictures --folder docs/pictures
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from docs.how.drawing import folder
from examples.pictures import BLUE, ORANGE, label, plt, save
from ssmgen import nn
from ssmgen.nn import derivation

LENGTH, STATES, STEP = 16384, 64, 0.001


def nodes_by_powers(tangent: Tensor) -> tuple[Tensor, Tensor]:
    """The nodes z and the factor 2 / (1 + omega), from powers of omega_1, all in complex64."""
    first = torch.exp(-2j * torch.pi / LENGTH * torch.ones((), dtype=torch.float64)).to(torch.complex64)
    omega = first ** torch.arange(len(tangent))
    return 2 / STEP * (1 - omega) / (1 + omega), 2 / (1 + omega)


def nodes_by_tangents(tangent: Tensor) -> tuple[Tensor, Tensor]:
    """The same from tangents in float64, rounded once."""
    return (2j / STEP * tangent).to(torch.complex64), (1 + 1j * tangent).to(torch.complex64)


def spectrum(z: Tensor, factor: Tensor, C: Tensor) -> Tensor:
    """Step 5 of the page in complex64, at given nodes."""
    Lambda, P, B, _ = nn.dplr("legs", STATES)
    Lambda, P, B, C = (x.to(torch.complex64) for x in (Lambda, P[0], B, C))
    reciprocal = 1 / (z[:, None] - Lambda)
    CB, CP, QB, QP = ((X.conj() * Y * reciprocal).sum(-1) for X, Y in ((C, B), (C, P), (P, B), (P, P)))
    return factor * (CB - CP / (1 + QP) * QB)


def relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def draw_nodes(pictures: Path) -> None:
    phi = derivation.half_angles(LENGTH)[: LENGTH // 2]
    tangent = torch.tan(phi)
    Lambda, P, B, _ = nn.dplr("legs", STATES)
    C = torch.randn(STATES, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    step = torch.tensor(STEP, dtype=torch.float64)
    exact = derivation.dplr_form_finite(Lambda, P, P, B, C, step, phi)
    figure, axes = plt.subplots(figsize=(5.4, 3.4))
    for name, nodes, colour in (
        ("powers of ω in complex64", nodes_by_powers, ORANGE),
        ("tangents, rounded once", nodes_by_tangents, BLUE),
    ):
        z, factor = nodes(tangent)
        error = ((z - 2j / STEP * tangent).abs() / (2 / STEP * tangent))[1:]
        worst = error.reshape(-1).unfold(0, 63, 64).amax(-1)  # of neighbours: a line instead of a cloud
        axes.semilogy(torch.arange(len(worst)) * 64 + 32, worst, color=colour, label=name)
        print(
            f"{name}: z {float(error.max()):.1e} at worst, K^ {relative(spectrum(z, factor, C), exact):.1e}",
            file=sys.stderr,
        )
    label(axes, "How far z is off", "node k of 8192, the last next to Nyquist", "relative error")
    axes.legend(loc="upper left")
    save(figure, pictures / "how_cauchy_nodes.png")


def print_denominators() -> None:
    """Of a pair near its resonance: factored and expanded, in float32."""
    generator = torch.Generator().manual_seed(1)
    b = 1000 * torch.rand(100_000, generator=generator)
    y = b + torch.randn(100_000, generator=generator)
    a = torch.full_like(b, 0.5)
    forms = {"factored": a * a - (y - b) * (y + b), "expanded": (a * a + b * b) - y * y}
    a, b, y = a.double(), b.double(), y.double()
    exact = a * a - (y - b) * (y + b)
    for name, form in forms.items():
        error = (form - exact).abs() / torch.complex(exact, 2 * a * y).abs()
        print(f"denominator {name}: {float(error.max()):.1e} at worst", file=sys.stderr)


def main() -> None:
    draw_nodes(folder(__doc__))
    print_denominators()


if __name__ == "__main__":
    main()
