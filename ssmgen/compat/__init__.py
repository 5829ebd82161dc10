"""Other packages' names on ssmgen's kernels, and what makes code that imports those packages run on them."""

from ssmgen.compat.packages import install, uninstall

__all__ = ["install", "uninstall"]
