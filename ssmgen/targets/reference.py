"""The reference as a target: nothing to compile; the op runs its formula in PyTorch."""

from __future__ import annotations

from typing import ClassVar, NoReturn

import torch

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import TargetUnavailableError
from ssmgen.kernels import Assumptions, Variant
from ssmgen.problem import Problem
from ssmgen.targets.target import Target

__all__ = ["ReferenceTarget"]


class ReferenceTarget(Target):
    """PyTorch, on whatever device the tensors are."""

    language: ClassVar[str] = "none"
    stages: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__(
            DeviceFacts(
                "reference", "PyTorch", "reference", lanes=1, max_threads=1, max_registers=0, present=True
            )
        )

    @property
    def device(self) -> torch.device:
        """The CPU, for the command line; ops run where their tensors are."""
        return torch.device("cpu")

    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> NoReturn:
        """The reference has no kernels."""
        raise TargetUnavailableError(
            "target 'reference' is plain PyTorch: it has no kernels to generate, tune or show. "
            "Choose another with --target, e.g. cpu."
        )
