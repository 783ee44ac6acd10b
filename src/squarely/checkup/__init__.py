"""A user's training loop against known answers: fixtures, a recorder, rules and findings; findings from printed losses alone."""

from squarely.checkup.findings import CONFIDENCES, Checkup, Finding, SourceLine
from squarely.checkup.mistakes.catalog import MISTAKES

__all__ = ["CONFIDENCES", "MISTAKES", "Checkup", "Finding", "SourceLine"]
