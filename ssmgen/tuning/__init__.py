"""The search for the best config of a problem on this machine: compile, verify, measure, keep."""

from ssmgen.tuning.campaign import campaign
from ssmgen.tuning.result import Final, Observer, TuneResult
from ssmgen.tuning.training import training_campaign, training_pairs
from ssmgen.tuning.trial import FAILURES, Timing, Trial
from ssmgen.tuning.tune import Tuner, tune

__all__ = [
    "FAILURES",
    "Final",
    "Observer",
    "Timing",
    "Trial",
    "TuneResult",
    "Tuner",
    "campaign",
    "training_campaign",
    "training_pairs",
    "tune",
]
