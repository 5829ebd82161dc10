"""The layer S4D (arXiv 2206.11893): a diagonal state-space model for each feature."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.errors import unknown
from ssmgen.nn.checks import require_count
from ssmgen.nn.diagonal import s4d
from ssmgen.nn.discretise import bilinear_diagonal, bilinear_exponent, zoh_diagonal
from ssmgen.nn.layer import StateSpaceLayer
from ssmgen.ops import log_vandermonde, log_vandermonde_transpose

__all__ = ["S4D"]


class _Steps(NamedTuple):
    """x + gain x is Abar x: of slow modes, gain keeps the digits that Abar would lose beside 1."""

    gain: Tensor
    Bbar: Tensor
    C: Tensor


class S4D(StateSpaceLayer):
    """S4D: `x' = diag(Lambda) x + B u`, whose kernel is a Vandermonde product.

    Args:
        d_model: H, the number of features, each with a model of its own.
        d_state: N, the states of each, in conjugate pairs: even.
        channels: Outputs for each feature.
        init: "legs", "lin" or "inv"; see `ssmgen.nn.s4d`.
        discretisation: "zoh" or "bilinear".
        dt_min, dt_max: Between these, log-uniform, the step sizes begin. A model remembers about 1 / step steps.
        bidirectional: Whether a second kernel, of as many channels, reads what comes after each step: the
            `reverse_kernel` of `fft_conv`. Then there are no states.
        device, dtype: Of the parameters; float32, or float64: narrower is taken as float32.

    Raises:
        InvalidInputError: A size, a step or the dtype does not fit.
        UnknownNameError: There is no such initialisation or discretisation.

    Example:
        >>> layer = S4D(d_model=4)
        >>> layer(torch.randn(2, 100, 4)).shape
        torch.Size([2, 100, 4])
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        *,
        channels: int = 1,
        init: str = "legs",
        discretisation: str = "zoh",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if discretisation not in ("zoh", "bilinear"):
            raise unknown("discretisation", discretisation, ("zoh", "bilinear"))
        require_count("d_state", d_state)
        Lambda, B = s4d(init, d_state)
        super().__init__(Lambda, B, d_model, channels, dt_min, dt_max, bidirectional, device, dtype)
        self.discretisation = discretisation

    def kernel(self, length: int) -> Tensor:
        """The convolution kernel, (channels, d_model, length), real; of a bidirectional layer (2 channels, ...).

        Raises:
            InvalidInputError: The length is no integer of at least 1.
        """
        require_count("length", length)
        exponents, Bbar, C = self._model()
        return log_vandermonde(C * Bbar, exponents, length)

    def _model(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log Abar and Bbar (d_model, d_state / 2), and C*."""
        Lambda, step = self._poles(), self.log_step.exp()
        B, C = torch.view_as_complex(self.B), torch.view_as_complex(self.C).conj()
        if self.discretisation == "zoh":
            return step[:, None] * Lambda, zoh_diagonal(Lambda, B, step)[1], C
        return bilinear_exponent(Lambda, step), bilinear_diagonal(Lambda, B, step)[1], C

    def _free_response(self, state: Tensor, length: int) -> Tensor:
        exponents, _, C = self._model()
        return log_vandermonde(C * (exponents.exp() * state)[:, None], exponents, length)

    def _last_state(self, u: Tensor, state: Tensor) -> Tensor:
        exponents, Bbar, _ = self._model()
        length = u.shape[-1]
        # In double precision: the phase is many turns.
        kept = torch.exp(exponents.to(torch.complex128) * length).to(state.dtype)
        return kept * state + log_vandermonde_transpose(u.flip(-1), Bbar, exponents, length)

    def _discretise(self) -> _Steps:
        exponents, Bbar, C = self._model()
        return _Steps(torch.expm1(exponents), Bbar, C.resolve_conj())

    def _step(self, model: _Steps, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = state + (model.gain * state + model.Bbar * u[..., None])
        return 2 * (model.C * state[:, None]).sum(-1).real, state
