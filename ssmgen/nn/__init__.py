"""State-space layers and what they are made of: HiPPO, discretisation, the derivation of S4.

`S4`, `S4D` and the blocks `Mamba` and `Mamba2` map (batch, length, d_model) to the like. A sequence is read at once,
in pieces, or step by step:

    y = layer(u)
    state = layer.default_state(batch)
    y_piece, state = layer(u[:, :500], state)
    y_k, state = layer.step(u[:, 500], state)

`ssmgen.nn.derivation` goes from the recurrence to the kernel that S4 computes; `ssmgen.nn.discretise` holds the rules
between continuous and discrete models.
"""

from ssmgen.nn.diagonal import s4d
from ssmgen.nn.dplr import doubled, truncated, untruncated
from ssmgen.nn.hippo import DPLR, dplr, hippo
from ssmgen.nn.mamba import Mamba, MambaState
from ssmgen.nn.mamba2 import Mamba2
from ssmgen.nn.reconstruction import basis, reconstruct, remember
from ssmgen.nn.s4 import S4
from ssmgen.nn.s4d import S4D

__all__ = [
    "DPLR",
    "S4",
    "S4D",
    "Mamba",
    "Mamba2",
    "MambaState",
    "basis",
    "doubled",
    "dplr",
    "hippo",
    "reconstruct",
    "remember",
    "s4d",
    "truncated",
    "untruncated",
]
