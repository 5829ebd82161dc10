"""The search for the best config of a problem on this machine: compile, verify, measure, keep."""

from ssmgen.tuning.campaign import Job, campaign, one_for_each_class, problems_in
from ssmgen.tuning.result import Final, Observer, TuneResult
from ssmgen.tuning.training import training_pairs
from ssmgen.tuning.trial import FAILURES, Timing, Trial
from ssmgen.tuning.tune import Tuner, tune

__all__ = [
    "FAILURES",
    "Final",
    "Job",
    "Observer",
    "Timing",
    "Trial",
    "TuneResult",
    "Tuner",
    "campaign",
    "one_for_each_class",
    "problems_in",
    "training_pairs",
    "tune",
]
