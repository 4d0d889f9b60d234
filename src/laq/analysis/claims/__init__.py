"""Conclusions of the study, judged: the table of rules, the evidence, the verdicts, the page."""

from laq.analysis.claims.effects import Rigour
from laq.analysis.claims.evidence import Evidence, with_logs, with_sweep
from laq.analysis.claims.report import render
from laq.analysis.claims.rules import CLAIMS, Claim
from laq.analysis.claims.verdicts import judge, read_otherwise

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Rigour",
    "judge",
    "read_otherwise",
    "render",
    "with_logs",
    "with_sweep",
]
