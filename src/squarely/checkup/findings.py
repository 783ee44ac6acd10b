"""What a checkup returns: `Finding`, and `Checkup` that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CONFIDENCES = ("certain", "likely", "possible")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """A line of the user's source.

    Attributes
    ----------
    file : the path of the file, as Python reports it.
    line : the line number, from 1.
    text : the line without its indentation.
    """

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A mistake in a training loop, with its evidence.

    Attributes
    ----------
    key : the fixed name of the mistake, such as "no-zero-grad".
    confidence : "certain" (the numbers leave no other reading), "likely" or "possible".
    evidence : what was expected and what was found, with numbers, and at which step.
    numbers : the numbers of the evidence by name, for programs.
    effect : what the mistake does to the result, with the number of theory where it has one; "" for the text of the key.
    fix : the line to change; "" for the general text of the key.
    source : the line of the user's code; None if it was not found.
    """

    key: str
    confidence: str
    evidence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    effect: str = ""
    fix: str = ""
    source: SourceLine | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """A sentence on what was checked and holds."""

    text: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence on what differs from the textbook and is no mistake."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """The result of `squarely.checkup`.

    Attributes
    ----------
    target : the name of the loop.
    findings : the most likely first.
    verified : what was checked and holds, one sentence each.
    remarks : what differs from the textbook and is declared, one sentence each.
    output : what the loop printed.
    """

    target: str
    findings: tuple[Finding, ...]
    verified: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether no finding is certain or likely."""
        return all(finding.confidence == "possible" for finding in self.findings)
