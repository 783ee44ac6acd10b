"""A user's training loop against known answers: fixtures, recorder, rules and findings; and findings from printed losses alone."""

from squarely.checkup.findings import CONFIDENCES, Checkup, Finding, SourceLine

__all__ = ["CONFIDENCES", "Checkup", "Finding", "SourceLine"]
