"""Tuned configs on disk: read as data, merged under a lock, looked up by class and distance."""

from ssmgen.store.entry import EVIDENCE, TunedConfig
from ssmgen.store.files import config_path, entries, load, read_file, require_writable, save
from ssmgen.store.lookup import Match, lookup, matches

__all__ = [
    "EVIDENCE",
    "Match",
    "TunedConfig",
    "config_path",
    "entries",
    "load",
    "lookup",
    "matches",
    "read_file",
    "require_writable",
    "save",
]
