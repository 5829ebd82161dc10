"""Pictures of what a HiPPO state remembers.

`hippo_reconstruction.png`: a signal, read one number at a time, and what the states of HiPPO-LegS, which remembers all
of it, and of HiPPO-LegT, which remembers a window, say it was; beside the Legendre polynomials that the states are
coefficients of.

`hippo_memory.png`: rows of the convolution from input to state, of HiPPO-LegT and of a random matrix, and how well the
best linear reading of 64 states, known to three digits, recovers a smooth input. Of random matrices of several sizes
and seeds, the one is shown that remembers best.

    pip install '.[examples]'
    python examples/hippo_pictures.py --folder pictures
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from pictures import BLUE, GREY, ORANGE, RAMP, label, plt, save
from torch import Tensor

from ssmgen.nn import basis, hippo, reconstruct, remember
from ssmgen.nn.discretise import zoh

# How much of the past LegT remembers, as a part of the signal's length.
WINDOW = 0.25
# Of the memory picture: the steps of the window, those of the input, how smooth it is, and the error of a state.
STEPS, LENGTH, SMOOTH, NOISE = 256, 1024, 8.0, 1e-3
SCALES = (4.0, 16.0, 64.0, 256.0)


def signal(length: int) -> Tensor:
    """A sum of waves with random phases, of at most 18 periods, that swells and has a step."""
    generator = torch.Generator().manual_seed(4)
    s = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    frequency = torch.arange(1, 19, dtype=torch.float64)
    phase = 2 * torch.pi * torch.rand(18, generator=generator, dtype=torch.float64)
    waves = torch.cos(2 * torch.pi * frequency * s[:, None] + phase) / frequency.sqrt()
    return waves.sum(-1) * (0.5 + s)


def relative_rms(found: Tensor, wanted: Tensor) -> float:
    """The root mean square of the error, as a part of that of what is wanted about its mean."""
    return float((found - wanted).square().mean().sqrt() / wanted.std())


def reconstruction(folder: Path, length: int) -> dict[str, float]:
    """Draw the first picture; errors by measure and number of states."""
    u = signal(length)
    s = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    figure, rows = plt.subplots(2, 2, figsize=(11, 6), width_ratios=[2.6, 1])
    errors = {}
    for (left, right), measure in zip(rows, ("legs", "legt"), strict=True):
        seen = s >= (0 if measure == "legs" else 1 - WINDOW)
        age = -torch.log(s[seen]) if measure == "legs" else (1 - s[seen]) / WINDOW
        left.plot(s, u, color=GREY, linewidth=3, alpha=0.45, label="input")
        for count, colour in ((8, ORANGE), (64, BLUE)):
            state = remember(measure, u, count, WINDOW)[-1]
            found = reconstruct(measure, state, age)
            errors[f"{measure} {count}"] = error = relative_rms(found, u[seen])
            left.plot(s[seen], found, color=colour, label=f"from {count} states (error {100 * error:.2g}%)")
        what = "LegS: all of the past" if measure == "legs" else f"LegT: a window of {WINDOW:g}"
        label(left, f"HiPPO-{what}", "time", "input")
        left.legend(loc="upper left", ncols=3)
        left.set_ylim(float(u.min()) - 0.5, float(u.max()) + 1.8)
        for n, colour in enumerate(RAMP):
            right.plot(s[seen], basis(measure, len(RAMP), age)[:, n], color=colour, label=f"n = {n}")
        label(right, "Legendre polynomials", "time", "what state n weighs")
        right.set_xlim(0, 1)
        if measure == "legt":
            right.legend(loc="upper left", fontsize=8)
    save(figure, folder / "hippo_reconstruction.png")
    return errors


def impulse_responses(A: Tensor, B: Tensor) -> Tensor:
    """(N, LENGTH): what each state holds of an input that many steps ago."""
    Abar, x = zoh(A, B, torch.tensor(1 / STEPS, dtype=torch.float64))
    columns = []
    for _ in range(LENGTH):
        columns.append(x)
        x = Abar @ x
    return torch.stack(columns, dim=1)


def memory_error(K: Tensor) -> Tensor:
    """(LENGTH,): the error of the best linear reading of an input, by age, as a part of the input.

    The input is a stationary Gaussian process whose correlation falls as a Gaussian of width SMOOTH; each state has an
    error of NOISE times its root mean square. Both make the posterior variance a formula, and nothing is sampled.
    """
    t = torch.arange(LENGTH, dtype=torch.float64)
    covariance = torch.exp(-((t[:, None] - t) ** 2) / (2 * SMOOTH**2))
    K = K / (K @ covariance @ K.mT).diagonal().sqrt()[:, None]
    across = K @ covariance
    of_state = across @ K.mT + NOISE**2 * torch.eye(K.shape[0], dtype=torch.float64)
    explained = (across * torch.linalg.solve(of_state, across)).sum(0)
    return (1 - explained).clamp(min=0).sqrt()


def random_matrix(N: int, scale: float, seed: int) -> tuple[Tensor, Tensor]:
    """A Gaussian A with eigenvalues in a disk of radius `scale`, moved left until the slowest decays as e^(-t/2)."""
    generator = torch.Generator().manual_seed(seed)
    A = scale * torch.randn(N, N, generator=generator, dtype=torch.float64) / N**0.5
    slowest = torch.linalg.eigvals(A).real.max()
    return (
        A - (slowest + 0.5) * torch.eye(N, dtype=torch.float64),
        torch.randn(N, generator=generator, dtype=torch.float64),
    )


def memory(folder: Path, N: int, seeds: int) -> dict[str, float]:
    """Draw the second picture; errors in the window by kind of matrix."""
    ours = impulse_responses(*hippo("legt", N))
    tried = []
    for scale in SCALES:
        for seed in range(seeds):
            K = impulse_responses(*random_matrix(N, scale, seed))
            tried.append((float(memory_error(K)[:STEPS].square().mean().sqrt()), scale, K))
        print(f"random matrices of radius {scale:g}: error {tried[-1][0]:.3f}", file=sys.stderr, flush=True)
    best = min(tried, key=lambda x: x[0])
    curves = {"HiPPO-LegT": ours, "random matrix": best[2]}
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
    age = torch.arange(2 * STEPS) / STEPS
    errors = {}
    for index, ((name, K), colour) in enumerate(zip(curves.items(), (BLUE, ORANGE), strict=True)):
        for n, shade in zip((0, 1, 2, 3, 7), RAMP, strict=True):
            row = K[n] / K[n].abs().max()
            axes[index].plot(age, row[: len(age)], color=shade, label=f"n = {n}", linewidth=1.2)
        label(axes[index], name, "age, in windows", "" if index else "state n of an impulse, scaled")
        error = memory_error(K)
        errors[name] = float(error[:STEPS].square().mean().sqrt())
        axes[2].semilogy(
            age, error[: len(age)], color=colour, label=f"{name.split()[0]} {100 * errors[name]:.2g}%"
        )
    axes[1].legend(fontsize=8)
    axes[2].axvline(1, color=GREY, linewidth=1, linestyle=":")
    label(axes[2], "Error of what is remembered", "age, in windows", "error / input")
    axes[2].legend(loc="center right", fontsize=8, title="RMS over the window", title_fontsize=8)
    save(figure, folder / "hippo_memory.png")
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="where the pictures go (default: here)")
    parser.add_argument("--quick", action="store_true", help="a shorter signal, and fewer random matrices")
    parser.add_argument("--json", action="store_true", help="print the errors as JSON")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    errors = {
        "reconstruction": reconstruction(given.folder, 400 if given.quick else 2000),
        "memory": memory(given.folder, 64, 1 if given.quick else 5),
    }
    if given.json:
        print(json.dumps(errors, indent=2))
        return
    for title, found in errors.items():
        for name, error in found.items():
            print(f"{title}, {name}: error {100 * error:.2g}%")


if __name__ == "__main__":
    main()
