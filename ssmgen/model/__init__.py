"""What a kernel costs on a GPU that need not be here, read from its machine code, and how long it should take."""

from ssmgen.model.kernel import KernelCost, kernel_cost
from ssmgen.model.predict import LaunchCost, Prediction, predict, resident_blocks

__all__ = ["KernelCost", "LaunchCost", "Prediction", "kernel_cost", "predict", "resident_blocks"]
