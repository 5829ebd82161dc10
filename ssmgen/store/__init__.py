"""Tuned configs on disk: read as data, merged under a lock, looked up by class and distance."""

from ssmgen.store.current import is_current
from ssmgen.store.entry import EVIDENCE, TunedConfig, device_data, problem_data, read_device, read_problem
from ssmgen.store.files import config_path, entries, load, read_file, require_writable, save
from ssmgen.store.lookup import Match, lookup, lookup_first, matches, ranked
from ssmgen.store.tidy import Merged, Pruned, merge, prune

__all__ = [
    "EVIDENCE",
    "Match",
    "Merged",
    "Pruned",
    "TunedConfig",
    "config_path",
    "device_data",
    "entries",
    "is_current",
    "load",
    "lookup",
    "lookup_first",
    "matches",
    "merge",
    "problem_data",
    "prune",
    "ranked",
    "read_device",
    "read_file",
    "read_problem",
    "require_writable",
    "save",
]
