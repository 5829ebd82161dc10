"""What other projects' kernels issue for each element, counted in their machine code as `docs/peers.md` says.

Figures only: nothing of their code is here. An element is a (channel, step, state) of a selective scan, a (channel,
step) of a plain one, a (pole pair, node) of a Cauchy product, a (head, row, state) of a decode step.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ACCELERATED_SCAN",
    "CAUCHY_BACKWARD",
    "CAUCHY_FORWARD",
    "MAMBA_BACKWARD",
    "MAMBA_FORWARD",
    "PEERS",
    "STATE_UPDATE",
    "Peer",
]


@dataclass(frozen=True)
class Peer:
    """One kernel, compiled for one architecture.

    Attributes:
        kernel: Project and kernel.
        arch: Compiled for.
        slots: Instructions of a lane for each element, in the innermost loop, or where that is unrolled in all.
        around: Instructions around that loop for each element.
        mufu: Special functions for each element, all told.
        atomics: Floating-point atomics for each element.
        spills: Loads and stores of spilled registers in the whole function.
        registers: Registers of a lane, as many as the assembler asks for.
        source: Repository, commit and file.
    """

    kernel: str
    arch: str
    slots: float
    around: float
    mufu: float
    atomics: float
    spills: int
    registers: int
    source: str

    @property
    def all_slots(self) -> float:
        """Instructions of a lane for each element, all told."""
        return self.slots + self.around


_MAMBA = "state-spaces/mamba e9594ce1"
_FORWARD = f"{_MAMBA}, csrc/selective_scan/selective_scan_fwd_kernel.cuh"
_BACKWARD = f"{_MAMBA}, csrc/selective_scan/selective_scan_bwd_kernel.cuh"
_UPDATE = f"{_MAMBA}, mamba_ssm/ops/triton/selective_state_update.py"
_SCAN = "proger/accelerated-scan 866fa4cd, accelerated_scan/warp.cuh"
_CAUCHY = "state-spaces/s4 e757cef5, extensions/kernels/cauchy_cuda.cu"

# bf16, 16 states, B and C that vary, D, z and softplus, more than 1024 steps: 128 threads with 16 steps each.
MAMBA_FORWARD = {
    "sm_90": Peer("mamba-ssm forward", "sm_90", 18.9, 3.6, 1.19, 0, 0, 128, _FORWARD),
    "sm_80": Peer("mamba-ssm forward", "sm_80", 17.3, 3.4, 1.19, 0, 0, 128, _FORWARD),
}
MAMBA_BACKWARD = {
    "sm_90": Peer("mamba-ssm backward", "sm_90", 65.3, 5.5, 1.31, 2, 111, 168, _BACKWARD),
    "sm_80": Peer("mamba-ssm backward", "sm_80", 62.8, 5.0, 1.31, 2, 0, 168, _BACKWARD),
}
# float32, 65536 steps: 1024 threads with four steps each.
ACCELERATED_SCAN = {
    "sm_90": Peer("accelerated-scan warp", "sm_90", 51.4, 0, 0, 0, 0, 28, _SCAN),
    "sm_80": Peer("accelerated-scan warp", "sm_80", 49.4, 0, 0, 0, 0, 28, _SCAN),
}
# complex64, 32 pole pairs. Divisions by zero are left out: of each pair 10 instructions and 4 MUFU forward, 20 and 8
# backward. A warp whose lanes all divide the same way issues about two thirds of what is left.
CAUCHY_FORWARD = {
    "sm_90": Peer("S4 cauchy forward", "sm_90", 63.2, 0, 8, 0, 0, 26, _CAUCHY),
    "sm_80": Peer("S4 cauchy forward", "sm_80", 62.0, 0, 8, 0, 0, 23, _CAUCHY),
}
CAUCHY_BACKWARD = {
    "sm_90": Peer("S4 cauchy backward", "sm_90", 124.8, 0, 16, 0, 0, 30, _CAUCHY),
    "sm_80": Peer("S4 cauchy backward", "sm_80", 125.0, 0, 16, 0, 0, 32, _CAUCHY),
}
# bf16 with a float32 state, 128 states, heads of 64 rows, A dense; the config it is launched with: 4 rows, 4 warps.
STATE_UPDATE = {
    "sm_90": Peer("mamba-ssm selective_state_update", "sm_90", 65.0, 0, 1.5, 0, 0, 32, _UPDATE),
    "sm_80": Peer("mamba-ssm selective_state_update", "sm_80", 60.0, 0, 1.5, 0, 0, 32, _UPDATE),
}

PEERS = tuple(
    item
    for kernel in (
        MAMBA_FORWARD,
        MAMBA_BACKWARD,
        ACCELERATED_SCAN,
        CAUCHY_FORWARD,
        CAUCHY_BACKWARD,
        STATE_UPDATE,
    )
    for item in kernel.values()
)
