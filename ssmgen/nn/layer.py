"""What the layers share: their parameters, and the two ways they run, by convolution and by recurrence."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor, nn

from ssmgen.errors import InvalidInputError
from ssmgen.nn.checks import parameter_dtype, require_count, require_steps
from ssmgen.ops import fft_conv
from ssmgen.ops.op import require_tensor
from ssmgen.ops.passes import without_autocast

__all__ = ["StateSpaceLayer"]

# A real part of 0, as of legt, cannot be written as -exp(...), and its pole may lie next to a node of the generating
# function: 1e-4 then costs float32 a digit more than this, which forgets 1% in a unit of time.
_LEAST_DECAY = 1e-2


class StateSpaceLayer(nn.Module, ABC):
    """A model x' = A x + B u, y = 2 Re C* x + D u for each feature, with states that stand for conjugate pairs.

    Parameters, with H for d_model and N for d_state: log_step (H,); log_A_real and A_imag (H, N / 2), for the poles
    -exp(log_A_real) + i A_imag, which so stay stable; B (H, N / 2, 2) and C (channels, H, N / 2, 2), the complex as
    real pairs, which optimisers and `to` treat as what they are; D (channels, H). They stay float32, or float64,
    whatever narrower dtype the module is moved to: inputs are converted, and outputs are as inputs are.

    A layer is only the state-space model. Norm, non-linearity, mixing of features and residual are the caller's.
    """

    def __init__(
        self,
        Lambda: Tensor,
        B: Tensor,
        d_model: int,
        channels: int,
        dt_min: float,
        dt_max: float,
        bidirectional: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        dtype = parameter_dtype(dtype)
        require_count("d_model", d_model)
        require_count("channels", channels)
        require_steps(dt_min, dt_max)
        self.d_model, self.d_state, self.channels = d_model, 2 * Lambda.shape[-1], channels
        self.bidirectional = bidirectional
        self._factory: dict[str, Any] = {"device": device, "dtype": dtype}
        ways = 2 * channels if bidirectional else channels
        steps = math.log(dt_min) + torch.rand(d_model, **self._factory) * math.log(dt_max / dt_min)
        self.log_step = nn.Parameter(steps)
        decay = (-Lambda.real).clamp(min=_LEAST_DECAY)
        self.log_A_real = self._for_each_feature(decay.log())
        self.A_imag = self._for_each_feature(Lambda.imag)
        self.B = self._for_each_feature(torch.view_as_real(B))
        self.C = nn.Parameter(torch.randn(ways, d_model, Lambda.shape[-1], 2, **self._factory) / 2**0.5)
        self.D = nn.Parameter(torch.randn(channels, d_model, **self._factory))
        self._prepared: tuple[list[tuple[Tensor, int]], Any] | None = None

    def _for_each_feature(self, x: Tensor) -> nn.Parameter:
        return nn.Parameter(x.to(**self._factory).expand(self.d_model, *x.shape).clone())

    @overload
    def forward(self, u: Tensor, state: None = None) -> Tensor: ...

    @overload
    def forward(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]: ...

    def forward(self, u: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """The outputs of a sequence, by convolution.

        Args:
            u: (batch, length, d_model), of any floating-point dtype.
            state: What came before, from `default_state`, a call with a state, or `step`; or None, for nothing.

        Returns:
            y (batch, length, channels * d_model), channels outermost, in the dtype of u; with a state, (y, the state
            after the sequence), for the next piece of it.

        Raises:
            InvalidInputError: Shapes or dtypes do not fit, or a state is given to a bidirectional layer.
        """
        self._check("u", u, ("batch", "length", "d_model"))
        length = u.shape[1]
        if state is not None:
            self._check_state(state, u)
        self._drop_before_training()
        with without_autocast(u.device):
            x = u.mT.to(self.D.dtype)
            K = self.kernel(length)
            ahead = K[self.channels :] if self.bidirectional else None
            y = fft_conv(x[:, None], K[: self.channels], self.D, reverse_kernel=ahead)
            if state is not None:
                y, state = y + self._free_response(state, length), self._last_state(x, state)
        y = y.flatten(1, 2).mT.to(u.dtype)
        return y if state is None else (y, state)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the recurrence.

        Where a gradient is wanted (gradients are enabled and a parameter requires one) and under `torch.compile` the
        discretised model is made at each step. Elsewhere it is kept, and made anew at the first step after

        - a parameter was replaced, or changed in place and its version counted;
        - `forward` or `step` ran where a gradient is wanted, `train()` or `eval()` was called, a state was loaded, or
          the layer was moved.

        PyTorch counts no version for fused optimizers, changes through `.data` and changes under `inference_mode`:
        after those call `eval()`. A training loop needs no call, unless it steps without gradients between its
        `forward` and the optimizer.

        Args:
            u: (batch, d_model), of any floating-point dtype.
            state: (batch, d_model, d_state / 2), complex: from `default_state` or the step before; not changed.

        Returns:
            y (batch, channels * d_model) in the dtype of u, and the next state.

        Raises:
            InvalidInputError: Shapes or dtypes do not fit, or the layer is bidirectional.
        """
        self._check("u", u, ("batch", "d_model"))
        self._check_state(state, u)
        self._drop_before_training()
        with without_autocast(u.device):
            x = u.to(self.D.dtype)
            y, state = self._step(self._discretised(), x, state)
            y = y + self.D * x[:, None]
        return y.flatten(1).to(u.dtype), state

    def default_state(self, batch: int) -> Tensor:
        """The state before anything was read: zeros (batch, d_model, d_state / 2), complex.

        Raises:
            InvalidInputError: The layer is bidirectional, or batch no integer of at least 1.
        """
        self._check_has_states()
        require_count("batch", batch)
        shape = batch, self.d_model, self.d_state // 2
        return torch.zeros(shape, dtype=self._state_dtype(), device=self.D.device)

    def dynamics(self) -> list[nn.Parameter]:
        """The parameters that shape the memory: they want a small learning rate (1e-3), and no weight decay."""
        names = ("log_step", "log_A_real", "A_imag", "B", "P")
        return [parameter for name, parameter in self.named_parameters() if name in names]

    @abstractmethod
    def kernel(self, length: int) -> Tensor:
        """The convolution kernel, (channels, d_model, length), real; of a bidirectional layer (2 channels, ...).

        Raises:
            InvalidInputError: The length is no integer of at least 1.
        """

    @abstractmethod
    def _free_response(self, state: Tensor, length: int) -> Tensor:
        """What a state adds to the outputs that follow: (batch, channels, d_model, length)."""

    @abstractmethod
    def _last_state(self, u: Tensor, state: Tensor) -> Tensor:
        """The state after u (batch, d_model, length), from the one before."""

    @abstractmethod
    def _discretise(self) -> Any:
        """What `_step` needs beside input and state."""

    @abstractmethod
    def _step(self, model: Any, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs without D, (batch, channels, d_model), and the next state, of u (batch, d_model)."""

    def _wants_gradients(self) -> bool:
        return torch.is_grad_enabled() and any(x.requires_grad for x in self.parameters())

    def _drop_before_training(self) -> None:
        # An optimizer may follow, and fused ones change parameters without counting a version.
        if self._prepared is not None and self._wants_gradients():
            self._prepared = None

    def _discretised(self) -> Any:
        # A traced step keeps nothing: what is kept hangs on versions, which a trace does not see.
        if torch.compiler.is_compiling() or self._wants_gradients():
            return self._discretise()
        # Parameters themselves, not their addresses: those are given to others.
        mark: list[tuple[Tensor, int]] = [
            (x, 0 if x.is_inference() else x._version) for x in self.parameters()
        ]
        kept = self._prepared
        if kept is None or any(x is not y or v != w for (x, v), (y, w) in zip(mark, kept[0], strict=True)):
            # No inference tensors: a later step may be part of what has gradients.
            with torch.inference_mode(False), torch.no_grad():
                self._prepared = kept = mark, self._discretise()
        return kept[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": None}

    def _poles(self) -> Tensor:
        return torch.complex(-self.log_A_real.exp(), self.A_imag)

    def train(self, mode: bool = True) -> StateSpaceLayer:
        """As of any module; what `step` keeps is made anew."""
        self._prepared = None
        super().train(mode)
        return self

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        self._prepared = None
        super()._load_from_state_dict(*args, **options)

    def extra_repr(self) -> str:
        """As of any module."""
        return f"d_model={self.d_model}, d_state={self.d_state}, channels={self.channels}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StateSpaceLayer:
        """What `to`, `half` and the like do to parameters, but that none becomes narrower than float32."""

        def kept(x: Tensor) -> Tensor:
            moved = fn(x)
            is_narrow = moved.is_floating_point() and torch.finfo(moved.dtype).bits < 32
            return x.to(moved.device) if is_narrow else moved

        self._prepared = None
        super()._apply(kept, recurse)  # type: ignore[no-untyped-call]
        return self

    def _check(self, name: str, x: Tensor, dims: tuple[str, ...]) -> None:
        require_tensor(name, x)
        if x.ndim != len(dims) or x.shape[-1] != self.d_model or x.numel() == 0:
            raise InvalidInputError(
                f"{name} is {tuple(x.shape)}, but must be ({', '.join(dims)}) and not empty, "
                f"with d_model={self.d_model}."
            )
        if not x.is_floating_point():
            raise InvalidInputError(
                f"{name} is {x.dtype}, but outputs are of its dtype, and so it must be floating-point: "
                f"convert it with {name}.to({self.D.dtype})."
            )

    def _state_dtype(self) -> torch.dtype:
        # What to_complex() says, which torch.compile does not trace.
        return torch.complex128 if self.D.dtype == torch.float64 else torch.complex64

    def _check_has_states(self) -> None:
        if self.bidirectional:
            raise InvalidInputError("a bidirectional layer reads whole sequences: it takes and has no state.")

    def _check_state(self, state: Tensor, u: Tensor) -> None:
        self._check_has_states()
        require_tensor("state", state)
        shape, kind = (u.shape[0], self.d_model, self.d_state // 2), self._state_dtype()
        if tuple(state.shape) != shape or state.dtype != kind or state.device != self.D.device:
            raise InvalidInputError(
                f"state is {tuple(state.shape)}, {state.dtype} on {state.device}, but of this layer and input it must "
                f"be {shape}, {kind} on {self.D.device}: make a new one with default_state({u.shape[0]})."
            )
