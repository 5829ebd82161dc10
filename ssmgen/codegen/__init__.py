"""From a template to source code."""

from ssmgen.codegen.environment import TEMPLATES, render
from ssmgen.codegen.source import Source, cache_errors, hash_of_files, write_atomically

__all__ = ["TEMPLATES", "Source", "cache_errors", "hash_of_files", "render", "write_atomically"]
