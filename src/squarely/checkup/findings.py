"""What a checkup returns: `Finding`, and `Checkup` that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from squarely.checkup.mistakes.catalog import MISTAKES
from squarely.checkup.report import describe_place, describe_verdict, make_page
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import Page, Section

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
    title : what the loop does, in one phrase.
    effect : what the mistake does to the result, with the number of the theory where it has one.
    fix : one sentence, and below it the lines to write, indented by four spaces.
    source : the line of the user's code; None if it was not found.

    `title`, `effect` and `fix` are the general texts of the key if they are not given.
    """

    __signature__ = NO_SIGNATURE

    key: str
    confidence: str
    evidence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    title: str = ""
    effect: str = ""
    fix: str = ""
    source: SourceLine | None = None

    def __post_init__(self) -> None:
        """Fill in the general texts of the key."""
        if self.key not in MISTAKES:
            raise ValueError(f"no mistake has the key {self.key!r}")
        if self.confidence not in CONFIDENCES:
            raise ValueError(f"confidence {self.confidence!r} is none of {CONFIDENCES}")
        for name in ("title", "effect", "fix"):
            if not getattr(self, name):
                object.__setattr__(self, name, getattr(MISTAKES[self.key], name))

    def __str__(self) -> str:
        return f"{self.key} ({self.confidence}): {self.evidence}"

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain Python values, as `--json` prints it."""
        values = {name: getattr(self, name) for name in ("key", "title", "confidence", "evidence", "effect", "fix")}
        return {**values, "numbers": dict(self.numbers), "source": self.source and asdict(self.source)}


@dataclass(frozen=True, slots=True)
class Verified:
    """A sentence on what was checked and holds."""

    text: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence on what differs from the textbook and is not a mistake."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Checkup:
    """What is right and wrong in a training loop. Made by `squarely.checkup`.

    Attributes
    ----------
    target : the name of the loop.
    findings : the most likely first.
    verified : what was checked and holds, one sentence each.
    remarks : what differs from the textbook and is declared, one sentence each.
    output : what the loop printed.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir()

    target: str
    findings: tuple[Finding, ...]
    verified: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether no finding is certain or likely."""
        return all(finding.confidence == "possible" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """What was found, in one sentence."""
        return describe_verdict(self.target, [(each.key, each.confidence) for each in self.findings], len(self.verified))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain Python values, as `--json` prints them."""
        return {
            **{name: getattr(self, name) for name in ("target", "ok", "verdict")},
            "findings": [finding.as_dict() for finding in self.findings],
            **{name: list(getattr(self, name)) for name in ("verified", "remarks")},
            "output": self.output,
        }

    def __repr__(self) -> str:
        return repr(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def summary(self) -> Page:
        """Return the checkup as a page: the verdict, each finding, what holds, and remarks."""
        sections = [_lay_out(finding) for finding in self.findings]
        return make_page(self.target, self.verdict, sections, verified=self.verified, remarks=self.remarks, output=self.output)


def _lay_out(finding: Finding) -> Section:
    source = finding.source
    line = [] if source is None else [("Line", f"{describe_place(source.file, source.line)}:\n    {source.text}")]
    texts = [("Evidence", finding.evidence), *line, ("Effect", finding.effect), ("Fix", finding.fix)]
    return Section(f"{finding.key} ({finding.confidence}): {finding.title}", texts)
