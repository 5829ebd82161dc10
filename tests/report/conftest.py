"""Fixtures of reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ssmgen import store
from ssmgen.config import Config
from ssmgen.store import TunedConfig
from tests.report.histories import TRIALS, saved, session, trial


@pytest.fixture
def entry() -> TunedConfig:
    """A config that was saved, and the journal of the trials that led to it."""
    found = saved()
    store.save([found])
    journal = session(default=Config.parse("slow(n=1)"))
    for each in (*TRIALS, replace(trial(found.config, 1.6e-3, 9e-8), source_hash=found.source_hash)):
        journal.append(each)
    return found
