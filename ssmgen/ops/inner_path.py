"""A Mamba block (arXiv 2312.00752, figure 3) between its two projections: convolution, selection, scan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor
from torch.compiler import is_compiling

from ssmgen.dispatch import named_target, pick_target
from ssmgen.ops.causal_conv1d import causal_conv1d
from ssmgen.ops.library import is_plain, is_traced
from ssmgen.ops.pages import LARGE_BYTES
from ssmgen.ops.pieces import PieceSize, in_pieces
from ssmgen.ops.selective_scan import selective_scan
from ssmgen.ops.sequences import common_layout
from ssmgen.reference.checkpointed import in_transform, wants_checkpoints

__all__ = ["InnerPath"]

States = tuple[Tensor, Tensor]
# (u, *weights) -> (delta, B, C), each step by itself.
Select = Callable[..., tuple[Tensor, ...]]


class InnerPath(NamedTuple):
    """`u = silu(conv(x))`, `delta, B, C = select(u)`, `y = selective_scan(u, delta, A, B, C, D, z)`, of a block.

    On a CPU long sequences whose channels lie side by side go through it in pieces that its caches hold; in training,
    where backward then computes all of it again, very long ones, and others if asked to.

    Attributes:
        taps: (dim, W), of the convolution.
        conv_bias: (dim,), left out when None.
        A: (dim, d_state), real or complex.
        D: (dim,), left out when None.
        delta_bias: (dim,), left out when None.
        select: What gives delta (batch, dim, seqlen), B and C, as `selective_scan` takes them, of u and the weights:
            any steps by themselves, and any sequences. Tensors that gradients are wanted of are among the weights.
        weights: What it takes beside u.
        delta_softplus: See `selective_scan`.
        target: See `selective_scan`.
        is_split: Whether the sequence may be: each step is selected by itself.
        recomputes: Whether backward is to compute again what it can, however short the sequence.
    """

    taps: Tensor
    conv_bias: Tensor | None
    A: Tensor
    D: Tensor | None
    delta_bias: Tensor | None
    select: Select
    weights: tuple[Tensor | None, ...] = ()
    delta_softplus: bool = True
    target: str | None = None
    is_split: bool = True
    recomputes: bool = False

    def run(self, xz: Tensor, states: States | None = None) -> tuple[Tensor, States | None]:
        """Outputs and, where states before the first step are given, those after the last.

        Args:
            xz: (batch, 2 dim, seqlen), x and behind it the gate z; any strides.
            states: Of the convolution (batch, dim, W - 1) and of the scan (batch, dim, d_state).

        Returns:
            y (batch, dim, seqlen) in xz's dtype, and the states or None.

        Raises:
            InvalidInputError: Shapes, dtypes or devices do not fit together.
        """
        segment = partial(_segment, self.select, self.delta_softplus, self.target)
        parameters = self._parameters
        size = self.size_of_pieces(xz, states)
        if size is None:
            found = segment(*xz.chunk(2, dim=1), *(states or (None, None)), *parameters)
        else:
            found = in_pieces(segment, size, xz, states or self._zeros(xz), parameters)
        return found[0], None if states is None else (found[1], found[2])

    def size_of_pieces(self, xz: Tensor, states: States | None = None) -> PieceSize | None:
        """The size of the pieces in which `run` takes such a sequence; None where it takes it whole."""
        if not self.is_split or is_compiling() or is_traced() or in_transform():
            return None
        # Of steps that lie side by side a piece has a few of each row, and every row is a page of its own.
        tensors = (xz, *(states or ()), *self._parameters)
        if not is_plain(tensors) or not xz.is_cpu or common_layout((xz,)) == "time":
            return None
        target = pick_target(named_target(self.target), (xz,))
        if target.name != "cpu":
            return None
        x = xz.chunk(2, dim=1)[0]
        # To compute everything again takes up to a fifth longer, unless what is kept comes from the system each time.
        is_small = x.numel() * x.element_size() < LARGE_BYTES
        keeps = not self.recomputes and wants_checkpoints(*(x for x in tensors if x is not None))
        if is_small and keeps:
            return None
        return PieceSize.of(x, target.facts.max_threads)

    @property
    def _parameters(self) -> tuple[Tensor | None, ...]:
        return (self.taps, self.conv_bias, self.A, self.D, self.delta_bias, *self.weights)

    def _zeros(self, xz: Tensor) -> States:
        dim, width = self.taps.shape
        return xz.new_zeros(len(xz), dim, width - 1), self.A.new_zeros(len(xz), *self.A.shape)


def _segment(
    select: Select,
    delta_softplus: bool,
    target: str | None,
    x: Tensor,
    z: Tensor,
    conv: Tensor | None,
    ssm: Tensor | None,
    taps: Tensor,
    conv_bias: Tensor | None,
    A: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    *weights: Tensor | None,
) -> tuple[Tensor, ...]:
    """Some steps of it: y and, where the states before them are given, those after them."""
    has_states = conv is not None
    convolved = causal_conv1d(
        x,
        taps,
        conv_bias,
        initial_states=conv,
        return_final_states=has_states,
        activation="silu",
        target=target,
    )
    u, *states = convolved if isinstance(convolved, tuple) else (convolved,)
    delta, B, C = select(u, *weights)
    scanned = selective_scan(
        u,
        delta,
        A,
        B,
        C,
        D,
        z,
        delta_bias,
        delta_softplus,
        has_states,
        initial_state=ssm,
        target=target,
    )
    y, *after = scanned if isinstance(scanned, tuple) else (scanned,)
    return y, *states, *after
