"""Pictures of the two ways to run S4, and of what its kernel costs.

`s4_two_ways.png`: the outputs of one layer by recurrence, step by step, and by convolution, and their difference.

`s4_kernel_cost.png`: time and memory of the convolution kernel of 16 HiPPO-LegS systems of 64 states, with gradients,
by length: by powers of a dense real matrix, K_l = C Abar^l Bbar, one product after another, and by the diagonal plus
low rank form. Times are the fastest of three, in turns; memory is what a process of its own grows by, as Linux tells.

    pip install '.[examples]'
    python examples/s4_pictures.py --folder pictures
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from pictures import BLUE, GREY, ORANGE, label, plt, save
from torch import Tensor

from ssmgen import dplr_kernel
from ssmgen.errors import ReferenceWarning, UntunedWarning
from ssmgen.nn import S4, dplr, hippo
from ssmgen.nn.discretise import bilinear

FEATURES, STATES, STEP = 16, 64, 1e-3


def two_ways(folder: Path, length: int) -> dict[str, float]:
    """Draw the first picture; the largest difference, and the largest output."""
    torch.manual_seed(0)
    layer = S4(d_model=1, d_state=STATES, l_max=length, dt_min=0.01, dt_max=0.01)
    u = torch.randn(1, length // 16, 1).repeat_interleave(16, dim=1)
    with torch.inference_mode():
        convolved = layer(u)[0, :, 0]
        state, steps = layer.default_state(1), []
        for u_k in u.unbind(1):
            y_k, state = layer.step(u_k, state)
            steps.append(y_k[0, 0])
    recurrent = torch.stack(steps)
    difference = recurrent - convolved
    result = {"difference": float(difference.abs().max()), "output": float(convolved.abs().max())}
    figure, (above, below) = plt.subplots(2, 1, figsize=(11, 4.6), sharex=True, height_ratios=[2, 1])
    above.plot(u[0, :, 0] / u.std() * convolved.std() / 2, color=GREY, linewidth=0.8, label="input, scaled")
    above.plot(convolved, color=ORANGE, linewidth=4, alpha=0.6, label="convolution")
    above.plot(recurrent, color=BLUE, linewidth=1.2, label="recurrence")
    above.legend(loc="upper right", ncols=3)
    above.set_ylim(1.1 * float(convolved.min()), 1.5 * float(convolved.max()))
    label(above, "One S4 layer, run both ways", "", "output")
    below.plot(1e6 * difference, color=BLUE, linewidth=0.8)
    label(
        below,
        f"Difference: at most {result['difference']:.1e}, in float32",
        "step",
        r"difference $\times 10^6$",
    )
    save(figure, folder / "s4_two_ways.png")
    return result


def by_powers() -> tuple[list[Tensor], Callable[..., Tensor]]:
    """A dense model, and its kernel in O(N^2 L) for each feature."""
    A, B = hippo("legs", STATES)
    Abar, Bbar = (x.float() for x in bilinear(A, B, torch.tensor(STEP, dtype=torch.float64)))
    model = [
        Abar.repeat(FEATURES, 1, 1),
        Bbar.repeat(FEATURES, 1)[..., None],
        torch.randn(FEATURES, 1, STATES),
    ]

    def kernel(Abar: Tensor, x: Tensor, C: Tensor, length: int) -> Tensor:
        K = []
        for _ in range(length):
            K.append(C @ x)
            x = Abar @ x
        return torch.cat(K, dim=-1)

    return model, kernel


def by_dplr() -> tuple[list[Tensor], Callable[..., Tensor]]:
    """The model in its diagonal plus low rank form, and the kernel from its generating function."""
    Lambda, P, B, _ = (x.to(torch.complex64) for x in dplr("legs", STATES, pairs=True))
    model = [
        *(x.expand(FEATURES, *x.shape).clone() for x in (Lambda, P, B)),
        torch.randn(FEATURES, STATES // 2, dtype=torch.complex64),
        torch.full((FEATURES,), STEP),
    ]

    def kernel(Lambda: Tensor, P: Tensor, B: Tensor, C: Tensor, step: Tensor, length: int) -> Tensor:
        return dplr_kernel(Lambda, P, P, B, C, step, length, pairs=True)

    return model, kernel


WAYS = {"powers": by_powers, "DPLR": by_dplr}


def seconds(way: str, length: int) -> float:
    """Of one kernel and the gradients of its model."""
    model, kernel = WAYS[way]()
    leaves = [x.requires_grad_() for x in model]
    start = time.perf_counter()
    kernel(*leaves, length).sum().backward()
    return time.perf_counter() - start


def status_mib(name: str) -> float:
    """An entry of this process's memory status, which Linux gives in KiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024


def growth_mib(way: str, length: int) -> float:
    """What one kernel with gradients adds to this process's memory at its peak, beyond what a short one loads."""
    seconds(way, 16)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = status_mib("VmRSS")
    seconds(way, length)
    return status_mib("VmHWM") - before


def memory_of_a_process(way: str, length: int) -> float:
    """`growth_mib` in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", way, str(length)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def cost(folder: Path, lengths: list[int], rounds: int) -> list[dict[str, float]]:
    """Draw the second picture; seconds and MiB by length and way."""
    has_status = Path("/proc/self/clear_refs").exists()
    rows = []
    for way in WAYS:
        seconds(way, lengths[0])
    for length in lengths:
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, found in times.items():
                found.append(seconds(way, length))
        row: dict[str, float] = {"length": length} | {f"{way} s": min(x) for way, x in times.items()}
        if has_status:
            row |= {f"{way} MiB": memory_of_a_process(way, length) for way in WAYS}
        rows.append(row)
        print(", ".join(f"{name} {x:.4g}" for name, x in row.items()), file=sys.stderr, flush=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
    for axes, unit, factor in ((left, "s", 1e3), (right, "MiB", 1.0)):
        if f"powers {unit}" not in rows[0]:
            continue
        for way, colour in zip(WAYS, (ORANGE, BLUE), strict=True):
            values = [factor * row[f"{way} {unit}"] for row in rows]
            axes.loglog(lengths, values, "o-", base=2, color=colour, label=way, markersize=4)
            axes.set_yscale("log", base=10)
        ratio = rows[-1][f"powers {unit}"] / rows[-1][f"DPLR {unit}"]
        ends = (lengths[-1], values[-1]), (lengths[-1], values[-1] * ratio)
        axes.annotate("", *ends, arrowprops={"arrowstyle": "<->", "color": GREY, "shrinkA": 4, "shrinkB": 4})
        middle = (ends[0][0] / 1.15, values[-1] * ratio**0.5)
        axes.annotate(f"{ratio:.0f} times", middle, ha="right", va="center", color=GREY)
        axes.legend(loc="upper left")
    label(left, "Time of the kernel and its gradients", "length", "milliseconds")
    label(right, "Memory at the peak", "length", "MiB")
    save(figure, folder / "s4_kernel_cost.png")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="where the pictures go (default: here)")
    parser.add_argument("--quick", action="store_true", help="short sequences")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore", UntunedWarning)
    warnings.simplefilter("ignore", ReferenceWarning)
    if given.memory_of:
        print(growth_mib(given.memory_of[0], int(given.memory_of[1])))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    lengths = [64, 256] if given.quick else [2**k for k in range(6, 15)]
    result = {
        "two_ways": two_ways(given.folder, 256 if given.quick else 1024),
        "cost": cost(given.folder, lengths, 1 if given.quick else 3),
    }
    if given.json:
        print(json.dumps(result, indent=2))
        return
    largest, last = result["two_ways"], result["cost"][-1]
    print(
        f"recurrence and convolution differ by at most {largest['difference']:.1e} of {largest['output']:.2f}"
    )
    print(f"at {last['length']} steps powers take {last['powers s'] / last['DPLR s']:.0f} times as long")


if __name__ == "__main__":
    main()
