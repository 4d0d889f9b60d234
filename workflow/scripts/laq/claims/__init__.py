"""Conclusions of the study, judged: the table of rules, the evidence, the verdicts, the page."""

from laq.claims.effects import Rigour
from laq.claims.evidence import Evidence, with_logs, with_sweep
from laq.claims.report import render
from laq.claims.rules import CLAIMS, Claim
from laq.claims.sensitivity import read_otherwise
from laq.claims.verdicts import judge

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
