"""Read the Python documentation through a Mamba block, at the sizes of mamba-130m.

Text that ships with the standard library is embedded byte by byte and passes through one block (dim 1536, d_state 16)
whose scan is ssmgen's. The same block then runs on the PyTorch reference, and the two must agree.

    python examples/mamba_block.py --length 2048
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import ssmgen
from ssmgen import reference

Scan = Callable[..., Tensor]


class MambaBlock(nn.Module):
    """The block of arXiv 2312.00752, figure 3, with the parameters' names and initialisation of mamba-ssm."""

    def __init__(self, d_model: int = 768, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        dim, self.dt_rank, self.d_state = expand * d_model, math.ceil(d_model / 16), d_state
        self.in_proj = nn.Linear(d_model, 2 * dim, bias=False)
        self.conv1d = nn.Conv1d(dim, dim, d_conv, groups=dim, padding=d_conv - 1)
        self.x_proj = nn.Linear(dim, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, dim)
        self.out_proj = nn.Linear(dim, d_model, bias=False)
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, d_state + 1).repeat(dim, 1)))
        self.D = nn.Parameter(torch.ones(dim))
        # The bias is the inverse of softplus at steps that are log-uniform in [0.001, 0.1].
        step = torch.exp(math.log(1e-3) + torch.rand(dim) * math.log(100))
        with torch.no_grad():
            self.dt_proj.weight.uniform_(-(self.dt_rank**-0.5), self.dt_rank**-0.5)
            self.dt_proj.bias.copy_(torch.log(torch.expm1(step)))

    def forward(self, hidden: Tensor, scan: Scan) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model)."""
        length = hidden.shape[1]
        x, z = self.in_proj(hidden).transpose(1, 2).chunk(2, dim=1)
        x = F.silu(self.conv1d(x)[..., :length])
        low_rank, B, C = self.x_proj(x.transpose(1, 2)).split(
            [self.dt_rank, self.d_state, self.d_state], dim=-1
        )
        delta = (low_rank @ self.dt_proj.weight.T).transpose(1, 2)
        A = -torch.exp(self.A_log)
        y = scan(
            x,
            delta,
            A,
            B.transpose(1, 2),
            C.transpose(1, 2),
            self.D,
            z=z,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
        )
        return self.out_proj(y.transpose(1, 2))  # type: ignore[no-any-return]


def reference_scan(*args: Tensor, **options: Tensor) -> Tensor:
    return reference.selective_scan(*args, **options)[0]  # type: ignore[arg-type]


def median_ms(run: Callable[[], object], repetitions: int) -> float:
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=2048, help="bytes of text to read (default: 2048)")
    length = parser.parse_args().length

    text = "\n".join(topics[name] for name in sorted(topics)).encode()[:length]
    torch.manual_seed(0)
    embedding, block = nn.Embedding(256, 768), MambaBlock()
    with torch.inference_mode():
        hidden = embedding(torch.tensor(list(text)))[None]
        ours, theirs = block(hidden, ssmgen.selective_scan), block(hidden, reference_scan)
        difference = float(torch.linalg.vector_norm(ours - theirs) / torch.linalg.vector_norm(theirs))
        fast = median_ms(lambda: block(hidden, ssmgen.selective_scan), 7)
        slow = median_ms(lambda: block(hidden, reference_scan), 3)
    print(f"{len(text)} bytes of the Python documentation, beginning {text[:40]!r}")
    print(f"the block with ssmgen:    {fast:8.1f} ms")
    print(f"the block with PyTorch:   {slow:8.1f} ms   ({slow / fast:.1f}x)")
    print(f"relative difference:      {difference:8.1e}")
    if difference > 1e-5:
        raise SystemExit("the two disagree")


if __name__ == "__main__":
    main()
