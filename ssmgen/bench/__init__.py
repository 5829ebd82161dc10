"""A benchmark that anyone can repeat: ops, sizes and providers in one run, in turns, each in a process of its own."""

from ssmgen.bench.fit import Fit, exponent
from ssmgen.bench.machine import device_of, machine_facts
from ssmgen.bench.provider import Provider
from ssmgen.bench.providers import BASELINE, PROVIDERS, provider, providers_for
from ssmgen.bench.result import Observer, Point, Result, Row
from ssmgen.bench.run import Bench
from ssmgen.bench.sweep import LONG_SWEEP_DIM, SWEEPS, jobs_of
from ssmgen.bench.task import MODES, Job, Task

__all__ = [
    "BASELINE",
    "LONG_SWEEP_DIM",
    "MODES",
    "PROVIDERS",
    "SWEEPS",
    "Bench",
    "Fit",
    "Job",
    "Observer",
    "Point",
    "Provider",
    "Result",
    "Row",
    "Task",
    "device_of",
    "exponent",
    "jobs_of",
    "machine_facts",
    "provider",
    "providers_for",
]
