"""From a template to source code."""

from ssmgen.codegen.environment import TEMPLATES, render
from ssmgen.codegen.source import Source, write_atomically

__all__ = ["TEMPLATES", "Source", "render", "write_atomically"]
