"""Curves, rates, paired differences, ranks and verdicts' p values, with their uncertainty.

The observation is one number per subset throughout. Another study would draw other subsets, so
intervals resample subsets and tests permute them.
"""

from laq.analysis.statistics.bootstrap import FEWEST, Interval
from laq.analysis.statistics.logcurve import (
    FEWEST_FOR_CURVE,
    Crossing,
    LogCurve,
    crossing,
    fit_log_curve,
)
from laq.analysis.statistics.paired import Estimate, holm, mean_interval, sign_flip_p
from laq.analysis.statistics.rank import FEWEST_FOR_RANKS, Association, spearman
from laq.analysis.statistics.rates import difference_interval, wilson_interval

__all__ = [
    "FEWEST",
    "FEWEST_FOR_CURVE",
    "FEWEST_FOR_RANKS",
    "Association",
    "Crossing",
    "Estimate",
    "Interval",
    "LogCurve",
    "crossing",
    "difference_interval",
    "fit_log_curve",
    "holm",
    "mean_interval",
    "sign_flip_p",
    "spearman",
    "wilson_interval",
]
