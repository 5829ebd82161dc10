"""Configs and journals to report on, and the parts of a page."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ssmgen.config import Config
from ssmgen.report.history import History, importances, render_page
from ssmgen.store import TunedConfig
from ssmgen.targets import target
from ssmgen.tuning import Timing, Trial
from ssmgen.tuning.session import Session
from tests.helpers import make_problem
from tests.store.strategies import usable

FACTS = target("cpu").facts
VERSIONS = {"ssmgen": "1.2", "torch": "2.13.0"}
THREADS = 2


def page_of(history: History) -> ET.Element:
    """The page as a tree: it is well-formed."""
    return ET.fromstring(render_page(history, importances(history.tuned)).removeprefix("<!DOCTYPE html>"))


def words(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def cells(row: ET.Element) -> list[str]:
    return [words(cell) for cell in row]


def find(page: ET.Element, tag: str, name: str = "") -> list[ET.Element]:
    """Elements of a tag and, where it is given, a class."""
    return [each for each in page.iter(tag) if not name or name in each.get("class", "").split()]


def saved(seqlen: int = 64, **changes: object) -> TunedConfig:
    values = {"threads": THREADS, "seconds": 1.5e-3, "default_seconds": 3e-3, "reference_seconds": 0.6}
    return usable(seqlen, **{"number": 1, **values, **changes})  # type: ignore[arg-type]


def session(seqlen: int = 64, versions: dict[str, str] = VERSIONS, **given: object) -> Session:
    return Session(make_problem("linear_scan", seqlen=seqlen), FACTS, THREADS, versions, **given)  # type: ignore[arg-type]


def trial(config: Config | str, seconds: float, error: float = 1e-7) -> Trial:
    parsed = Config.parse(config) if isinstance(config, str) else config
    return Trial(parsed, Timing(seconds, (0.9 * seconds, 1.1 * seconds)), {"out": error})


def failed(config: str, kind: str, detail: str = "") -> Trial:
    return Trial(Config.parse(config), failure=kind, detail=detail)


TRIALS = (
    trial("slow(n=1)", 3e-3, 2e-7),
    failed("slow(n=2)", "wrong result", "out is off by 3.0e-01"),
    trial("quick(n=1)", 4e-3, 3e-8),
    failed("quick(n=2)", "crash", "SIGABRT"),
    failed("quick(n=3)", "crash"),
    trial("quick(n=4)", 2e-3, 1e-7),
)
