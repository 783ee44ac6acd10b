"""The result of `squarely.checkup_losses`: findings, and what the rates of the losses prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from squarely.checkup.findings import Finding
from squarely.checkup.report import describe_verdict
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import KeyValueTable, Page, Section, Table


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class LossCheckup:
    """What printed losses say of a training loop. Made by `squarely.checkup_losses`.

    Attributes
    ----------
    found : where the losses were found.
    count : how many.
    first, last : the first and the last loss.
    shape : "constant", "grows", "falls", "plateau", "oscillates" or "noise".
    findings : mistakes, the most likely first.
    verified : what was checked and holds, one sentence each.
    remarks : what else follows, one sentence each.
    numbers : the rate, the curvature and the limits by name; see docs/losses.md.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir()

    found: str
    count: int
    first: float
    last: float
    shape: str
    findings: tuple[Finding, ...] = ()
    verified: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no finding is certain or likely."""
        return all(finding.confidence == "possible" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """What was found, in one sentence."""
        return describe_verdict("the losses", [(each.key, each.confidence) for each in self.findings], len(self.verified))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain Python values, as `--json` prints them."""
        return {
            **{name: getattr(self, name) for name in ("ok", "verdict", "found", "count", "first", "last", "shape")},
            "findings": [finding.as_dict() for finding in self.findings],
            **{name: list(getattr(self, name)) for name in ("verified", "remarks")},
            "numbers": dict(self.numbers),
        }

    def __repr__(self) -> str:
        return repr(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def summary(self) -> Page:
        """Return the result as a page: the verdict, the numbers, the findings, what holds, and remarks."""
        left = [("Losses:", f"{self.count:,}"), ("First:", f"{self.first:.6g}"), ("Last:", f"{self.last:.6g}")]
        right = [(f"{_LABELS[name]}:", f"{value:.5g}") for name, value in self.numbers.items()]
        lists = {"Checks that hold": self.verified, "Remarks": self.remarks}
        sections = [Section(title, [("", sentence) for sentence in sentences]) for title, sentences in lists.items() if sentences]
        pairs = KeyValueTable([*left, ("The losses:", _WORDS[self.shape])], right)
        blocks: list[KeyValueTable | Table | Section] = [pairs, *map(_lay_out, self.findings), *sections]
        footer = ["squarely help mistakes-in-loops shows each mistake with a loop that makes it."] if self.findings else []
        return Page("Checkup of losses", blocks, footer=footer, lead=[self.verdict, f"Read from {self.found}."])


def _lay_out(finding: Finding) -> Section:
    """Return a finding; what is only possible has no effect and no fix yet."""
    texts = [("Evidence", finding.evidence)]
    if finding.confidence != "possible":
        texts += [("Effect", finding.effect), ("Fix", finding.fix)]
    return Section(f"{finding.key} ({finding.confidence}): {finding.title}", texts)


_WORDS = {
    "constant": "do not change", "grows": "grow", "falls": "still fall", "plateau": "have reached a plateau",
    "oscillates": "oscillate without end", "noise": "scatter about a level",
}  # fmt: skip
_LABELS = {
    "rate": "Rate r of a step", "lr_over_limit": "lr / limit", "lam": "lam", "lam_1": "lam_1", "lam_1_least": "lam_1 at least",
    "lam_p_most": "lam_p at most", "lr_limit": "Limit of lr", "lr_limit_most": "Limit of lr at most", "lr_best": "Best lr",
    "noise": "Noise", "minimum": "Least loss of the data", "standard_errors": "Standard errors away",
    "excess_left": "Excess left, at least", "epochs_to_go": "Epochs to go, at least",
}  # fmt: skip
