"""A user's training loop against known answers: fixtures, a recorder, rules and findings; findings from printed losses alone."""

from squarely.checkup.findings import CONFIDENCES, Checkup, Finding, SourceLine
from squarely.checkup.losses.examine import examine_losses
from squarely.checkup.losses.minimum import Minimum, list_minima
from squarely.checkup.losses.report import LossCheckup
from squarely.checkup.losses.tables import read_losses
from squarely.checkup.mistakes.catalog import MISTAKES

__all__ = [
    "CONFIDENCES",
    "MISTAKES",
    "Checkup",
    "Finding",
    "LossCheckup",
    "Minimum",
    "SourceLine",
    "examine_losses",
    "list_minima",
    "read_losses",
]
