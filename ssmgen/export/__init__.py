"""A kernel as files that need no ssmgen to run: its source, its machine code, and a manifest of how to launch it."""

from ssmgen.export.files import Exported, export_kernel
from ssmgen.export.table import print_exported

__all__ = ["Exported", "export_kernel", "print_exported"]
