"""A user's training loop against known answers: fixtures, a recorder, rules and findings; findings from printed losses alone."""

from squarely.checkup.findings import CONFIDENCES, Checkup, Finding, SourceLine

__all__ = ["CONFIDENCES", "Checkup", "Finding", "SourceLine"]
