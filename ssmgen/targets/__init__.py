"""What kernels can be compiled for: `target("cpu")`, `target("sm_90")`, or by a tensor's device."""

from __future__ import annotations

import functools

import torch

from ssmgen import settings
from ssmgen.errors import TargetUnavailableError, unknown
from ssmgen.targets import driver
from ssmgen.targets.target import Kernel, Runner, Target

__all__ = ["Kernel", "Runner", "Target", "default_target", "for_device", "known_targets", "target"]

PRESENT = ("cpu", "cuda", "hip", "interpret", "reference")


def known_targets() -> tuple[str, ...]:
    """Every name that `target` takes."""
    from ssmgen.targets.architectures import ARCHITECTURES
    from ssmgen.targets.devices import DEVICES

    return (*PRESENT, *ARCHITECTURES, *DEVICES)


@functools.cache
def target(name: str) -> Target:
    """The target of that name: a kind for what is here, an arch (`sm_90`) or a device (`h100`) for a GPU that is not.

    Raises:
        UnknownNameError: There is no such target.
        TargetUnavailableError: A kind of GPU that this machine does not have.
    """
    if name == "cpu":
        from ssmgen.targets.cpu import CpuTarget

        return CpuTarget()
    if name == "reference":
        from ssmgen.targets.reference import ReferenceTarget

        return ReferenceTarget()
    if name == "interpret":
        from ssmgen.targets.interpret import InterpretTarget

        return InterpretTarget()
    if name not in known_targets():
        raise unknown("target", name, known_targets())
    from ssmgen.targets.gpu import GpuTarget

    if name in ("cuda", "hip"):
        return GpuTarget.present(name)
    return GpuTarget.named(name)


def for_device(device: torch.device) -> str:
    """The name of the target that serves tensors on a device."""
    if device.type == "cpu":
        return "cpu"
    if device.type == "cuda":
        return driver.kind()
    raise TargetUnavailableError(
        f"tensors on device {device} have no kernels; move them to a cpu or cuda device, or pass target='reference'."
    )


def default_target() -> str:
    """What the command line means without `--target`: SSMGEN_TARGET, else the GPU that is there, else the CPU."""
    chosen = settings.get("SSMGEN_TARGET")
    if chosen is not None:
        return chosen
    return for_device(torch.device("cuda" if driver.is_available() else "cpu"))
