"""State-space layers and what they are made of: HiPPO, discretisation, the derivation of S4."""

from ssmgen.nn.dplr import doubled, truncated, untruncated
from ssmgen.nn.hippo import DPLR, dplr, hippo
from ssmgen.nn.reconstruction import basis, reconstruct, remember

__all__ = ["DPLR", "basis", "doubled", "dplr", "hippo", "reconstruct", "remember", "truncated", "untruncated"]
