"""The layer S4 (arXiv 2111.00396): a DPLR state-space model, from a HiPPO measure, for each feature."""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen.nn.checks import require_count
from ssmgen.nn.dplr import doubled, truncated, untruncated
from ssmgen.nn.dplr_steps import Steps, last_state, one_step, steps_of
from ssmgen.nn.hippo import dplr
from ssmgen.nn.layer import StateSpaceLayer
from ssmgen.ops import dplr_kernel

__all__ = ["S4"]


class S4(StateSpaceLayer):
    """S4: `x' = (diag(Lambda) - P P*) x + B u`, discretised by the bilinear rule.

    Beside the parameters of every layer there is P (d_model, rank, d_state / 2, 2), of rank 1 (legs, fourier) or 2
    (legt); and C is C~ = (1 - Abar^l_max)* C, as in state-spaces/s4 and The Annotated S4: the kernel of l_max steps
    then needs no powers of Abar. It is made for l_max steps, and cut to the input. For a longer input C~ is doubled,
    C~_2L = (1 + Abar^L)* C~_L, as often as it takes, by dense products of (d_state, d_state) matrices, as are needed
    for `step`, at its first call, and for states. So let l_max be the length that most inputs have. C~ means nothing
    without it: it is part of `state_dict`, and a layer that loads one takes its l_max too.

    Args:
        d_model: H, the number of features, each with a model of its own.
        d_state: N, the states of each, in conjugate pairs: even.
        l_max: The length that C~ is for. It cannot be assigned later.
        channels: Outputs for each feature.
        measure: "legs", "legt" or "fourier"; see `ssmgen.nn.hippo`. The real parts 0 of the last two begin at -0.01.
        dt_min, dt_max: Between these, log-uniform, the step sizes begin. A model remembers about 1 / step steps.
        bidirectional: Whether a second kernel, of as many channels, reads what comes after each step: the
            `reverse_kernel` of `fft_conv`. Then there are no states.
        device, dtype: Of the parameters; float32, or float64: narrower is taken as float32.

    Raises:
        InvalidInputError: A size, a step or the dtype does not fit.
        UnknownNameError: There is no such measure.

    Example:
        >>> layer = S4(d_model=4, l_max=100)
        >>> layer(torch.randn(2, 100, 4)).shape
        torch.Size([2, 100, 4])
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        l_max: int = 1024,
        *,
        channels: int = 1,
        measure: str = "legs",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        require_count("l_max", l_max)
        require_count("d_state", d_state)
        Lambda, P, B, _ = dplr(measure, d_state, pairs=True)
        super().__init__(Lambda, B, d_model, channels, dt_min, dt_max, bidirectional, device, dtype)
        self._l_max = l_max
        self.P = self._for_each_feature(torch.view_as_real(P))
        with torch.no_grad():
            Lambda, P, _, C, step = self._model()
            self.C.copy_(torch.view_as_real(truncated(Lambda, P, P, C, step, l_max, pairs=True)))

    @property
    def l_max(self) -> int:
        """The length that C~ is for: given to the layer, or that of the state it loaded."""
        return self._l_max

    def get_extra_state(self) -> dict[str, int]:
        """What `state_dict` keeps beside tensors."""
        return {"l_max": self._l_max}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """As `get_extra_state` made it."""
        self._l_max, self._prepared = state["l_max"], None

    def kernel(self, length: int) -> Tensor:
        """The convolution kernel, (channels, d_model, length), real; of a bidirectional layer (2 channels, ...).

        Raises:
            InvalidInputError: The length is no integer of at least 1.
        """
        require_count("length", length)
        Lambda, P, B, C, step = self._model()
        C, span = self._stretched(C, length)
        return dplr_kernel(Lambda, P, P, B, C, step, span, pairs=True)[..., :length]

    def _model(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        P, B, C = (torch.view_as_complex(x) for x in (self.P, self.B, self.C))
        return self._poles(), P, B, C, self.log_step.exp()

    def _stretched(self, C: Tensor, length: int) -> tuple[Tensor, int]:
        """C~ for at least this length, and the length it is for."""
        Lambda, P, _, _, step = self._model()
        span, kind = self.l_max, C.dtype
        while span < length:
            C, span = doubled(Lambda, P, P, C, step, span, pairs=True), 2 * span
        return C.to(kind), span

    def _free_response(self, state: Tensor, length: int) -> Tensor:
        # C* Abar^(k+1) x is a kernel too, of a B that is (1 / step + A / 2) x: Bbar is then Abar x.
        Lambda, P, _, C, step = self._model()
        C, span = self._stretched(C, length)
        low = 2 * torch.einsum("hrn,bhn->bhr", P.conj(), state).real
        driven = Lambda * state - torch.einsum("hrn,bhr->bhn", P, low.to(P.dtype))
        B = state / step[:, None] + driven / 2
        batch, rows = state.shape[0], state.shape[0] * self.d_model

        def repeated(x: Tensor) -> Tensor:
            return x.expand(batch, *x.shape).reshape(rows, *x.shape[1:])

        y = dplr_kernel(
            repeated(Lambda),
            repeated(P),
            repeated(P),
            B.flatten(0, 1),
            repeated(C.transpose(0, 1)).transpose(0, 1),
            repeated(step),
            span,
            pairs=True,
        )
        per_sequence: Tensor = y[..., :length].unflatten(1, (batch, self.d_model))
        return per_sequence.transpose(0, 1)

    def _last_state(self, u: Tensor, state: Tensor) -> Tensor:
        Lambda, P, B, _, step = self._model()
        return last_state(Lambda, P, B, step, u, state)

    def _discretise(self) -> Steps:
        Lambda, P, B, C, step = self._model()
        C = untruncated(Lambda, P, P, C, step, self.l_max, pairs=True)
        return steps_of(Lambda, P, B, C, step)

    def _step(self, model: Steps, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return one_step(model, u, state)
