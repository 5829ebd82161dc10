"""Tuned configs on disk: read as data, merged under a lock, looked up by class and distance."""

from ssmgen.store.current import is_current
from ssmgen.store.entry import EVIDENCE, TunedConfig
from ssmgen.store.files import config_path, entries, load, read_file, require_writable, save
from ssmgen.store.lookup import Match, lookup, ranked
from ssmgen.store.tidy import Merged, Pruned, merge, prune

__all__ = [
    "EVIDENCE",
    "Match",
    "Merged",
    "Pruned",
    "TunedConfig",
    "config_path",
    "entries",
    "is_current",
    "load",
    "lookup",
    "merge",
    "prune",
    "ranked",
    "read_file",
    "require_writable",
    "save",
]
