"""The functions of mamba-ssm (github.com/state-spaces/mamba), with its signatures, on ssmgen's kernels.

They take all that mamba-ssm takes, on any device, and more: float64, tensors in any strides, inputs of several dtypes.
"""

from __future__ import annotations

from torch import Tensor

from ssmgen import ops
from ssmgen.compat.mamba_inner import Block, Norms, mamba_inner
from ssmgen.compat.mamba_ssd import mamba_chunk_scan_combined
from ssmgen.errors import InvalidInputError

__all__ = [
    "mamba_chunk_scan_combined",
    "mamba_inner_fn",
    "mamba_inner_ref",
    "selective_scan_fn",
    "selective_scan_ref",
    "selective_state_update",
    "selective_state_update_ref",
]


def selective_scan_fn(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """`ssmgen.selective_scan` as mamba-ssm's `selective_scan_fn`; autocast casts none of its inputs.

    Gradients flow through the last state too, which mamba-ssm leaves out.

    Args:
        u: (batch, dim, seqlen), float32, bfloat16, float16 or float64.
        delta: (batch, dim, seqlen).
        A: (dim, d_state), real or complex.
        B: (dim, d_state), (batch, d_state, seqlen) or (batch, groups, d_state, seqlen); for a complex A complex, or,
            if it changes with time, real with interleaved parts (..., 2 seqlen).
        C: As B.
        D: (dim,), real.
        z: (batch, dim, seqlen).
        delta_bias: (dim,), real.
        delta_softplus: Whether delta passes through softplus.
        return_last_state: Whether to return the state after the last step too.

    Returns:
        out (batch, dim, seqlen) in u's dtype; with `return_last_state`, a pair of it and the last state
        (batch, dim, d_state) in float32 or complex64, in double precision for float64 inputs.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    return ops.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)


def selective_scan_ref(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """As `selective_scan_fn`, by the formula in PyTorch; float64 inputs are computed in float64.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    return ops.selective_scan(
        u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, target="reference"
    )


def mamba_inner_fn(
    xz: Tensor,
    conv1d_weight: Tensor,
    conv1d_bias: Tensor | None,
    x_proj_weight: Tensor,
    delta_proj_weight: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    A: Tensor,
    B: Tensor | None = None,
    C: Tensor | None = None,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    B_proj_bias: Tensor | None = None,
    C_proj_bias: Tensor | None = None,
    delta_softplus: bool = True,
    checkpoint_lvl: int = 1,
    b_rms_weight: Tensor | None = None,
    c_rms_weight: Tensor | None = None,
    dt_rms_weight: Tensor | None = None,
    b_c_dt_rms_eps: float = 1e-6,
) -> Tensor:
    """A Mamba block (arXiv 2312.00752, figure 3) from behind its first projection to its output.

    `u = silu(conv(x))`, rows of `x_proj_weight @ u` are B, C and, through `delta_proj_weight`, delta; the output is
    `out_proj_weight @ selective_scan(u, delta, A, B, C, D, z)`. Differentiable in every tensor, the norms' weights
    included, to which mamba-ssm gives no gradients.

    Under autocast, xz and the weights of the projections are cast to its dtype, and those of the convolution are not.

    Args:
        xz: (batch, 2 dim, seqlen), x and behind it the gate z. Unit stride along seqlen costs no copy.
        conv1d_weight: (dim, 1, width), the causal convolution of each channel; may be more precise than xz.
        conv1d_bias: (dim,) or None.
        x_proj_weight: (rank + d_state + d_state, dim), the rows of delta, B and C, in xz's dtype. Those of a B or C
            that is given are left out; for a complex A each has 2 d_state, the two parts of a number side by side.
        delta_proj_weight: (dim, rank), in xz's dtype.
        out_proj_weight: (out, dim), in xz's dtype.
        out_proj_bias: (out,) in xz's dtype, or None.
        A: (dim, d_state), real or complex.
        B: As in `selective_scan_fn`; None for rows of the projection.
        C: As B.
        D: (dim,), real.
        delta_bias: (dim,), real.
        B_proj_bias: (d_state,), or (2 d_state,) for a complex A, added to the rows of B.
        C_proj_bias: As B_proj_bias.
        delta_softplus: Whether delta passes through softplus.
        checkpoint_lvl: 1 to compute the convolution and delta again in backward, 0 to keep them. The scan is run once,
            and gradients are the same to the bit; but on a CPU long sequences go in pieces, each computed again.
        b_rms_weight: (d_state,), the weight of an RMS norm of B's rows; left out when None.
        c_rms_weight: As b_rms_weight, of C.
        dt_rms_weight: (dim,), the weight of an RMS norm of delta, before its bias; left out when None.
        b_c_dt_rms_eps: Added to the mean square in those norms.

    Returns:
        (batch, seqlen, out), in xz's dtype or that of autocast.

    Raises:
        InvalidInputError: Shapes, dtypes, devices or options do not fit together.
    """
    if checkpoint_lvl not in (0, 1):
        raise InvalidInputError(f"checkpoint_lvl must be 0 or 1, not {checkpoint_lvl!r}.")
    tensors = (xz, conv1d_weight, conv1d_bias, x_proj_weight, delta_proj_weight, out_proj_weight)
    block = Block(*tensors, out_proj_bias, A, B, C, D, delta_bias, B_proj_bias, C_proj_bias)
    norms = Norms(b_rms_weight, c_rms_weight, dt_rms_weight, b_c_dt_rms_eps)
    return mamba_inner(block, norms, delta_softplus=delta_softplus, keep=checkpoint_lvl == 0)


def mamba_inner_ref(
    xz: Tensor,
    conv1d_weight: Tensor,
    conv1d_bias: Tensor | None,
    x_proj_weight: Tensor,
    delta_proj_weight: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    A: Tensor,
    B: Tensor | None = None,
    C: Tensor | None = None,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    B_proj_bias: Tensor | None = None,
    C_proj_bias: Tensor | None = None,
    delta_softplus: bool = True,
) -> Tensor:
    """As `mamba_inner_fn`, with the scan by the formula in PyTorch.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    tensors = (xz, conv1d_weight, conv1d_bias, x_proj_weight, delta_proj_weight, out_proj_weight)
    block = Block(*tensors, out_proj_bias, A, B, C, D, delta_bias, B_proj_bias, C_proj_bias)
    return mamba_inner(block, Norms(), delta_softplus=delta_softplus, keep=True, target="reference")


def selective_state_update(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    state_batch_indices: Tensor | None = None,
) -> Tensor:
    """`ssmgen.selective_state_update`, one step of decoding, as mamba-ssm's function of that name.

    Args:
        state: (batch, dim, d_state) or (batch, heads, dim, d_state); replaced by the state after the step.
        x: (batch, dim) or (batch, heads, dim).
        dt: As x, the step sizes.
        A: (dim, d_state) or (heads, dim, d_state).
        B: (batch, d_state) or (batch, groups, d_state), where groups divides heads.
        C: As B.
        D: (dim,) or (heads, dim).
        z: As x, the gate.
        dt_bias: (dim,) or (heads, dim), added to dt.
        dt_softplus: Whether dt passes through softplus.
        state_batch_indices: (batch,), which row of `state` belongs to each row of x; a negative one is padding, whose
            output is zero and whose state stays.

    Returns:
        (batch, dim) or (batch, heads, dim), in x's dtype.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    return ops.selective_state_update(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, state_batch_indices)


def selective_state_update_ref(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
) -> Tensor:
    """As `selective_state_update`, by the formula in PyTorch; float64 inputs are computed in float64.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    return ops.selective_state_update(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, target="reference")
