"""The result of `squarely.checkup_losses`: findings, and what the rates of the losses prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from squarely.checkup.findings import Finding
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import KeyValueTable, Page, Table


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

    def as_dict(self) -> Mapping[str, Any]:
        """Return everything as plain Python values, as `--json` prints it."""
        names = ("key", "confidence", "evidence", "effect", "fix")
        return {
            "ok": self.ok,
            **{name: getattr(self, name) for name in ("found", "count", "first", "last", "shape")},
            "findings": [
                {**{name: getattr(finding, name) for name in names}, "numbers": dict(finding.numbers)} for finding in self.findings
            ],
            "verified": list(self.verified),
            "remarks": list(self.remarks),
            "numbers": dict(self.numbers),
        }

    def __repr__(self) -> str:
        return repr(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def summary(self) -> Page:
        """Return the result as a page."""
        left = [
            ("Losses:", f"{self.count:,}"),
            ("First:", f"{self.first:.6g}"),
            ("Last:", f"{self.last:.6g}"),
            ("They:", _WORDS[self.shape]),
        ]
        right = [(f"{_LABELS[name]}:", f"{value:.5g}") for name, value in self.numbers.items() if name in _LABELS]
        blocks: list[KeyValueTable | Table] = [KeyValueTable(left, right)]
        if self.findings:
            blocks.append(Table(("finding", "confidence"), [(finding.key, finding.confidence) for finding in self.findings]))
        evidence = dict.fromkeys(
            f"{finding.key}: {finding.evidence}" for finding in self.findings if finding.confidence != "possible"
        )
        lead = [f"Found: {self.found}.", self._verdict()]
        return Page("Checkup of losses", blocks, notes=self.remarks, footer=[*evidence, *self.verified], lead=lead)

    def _verdict(self) -> str:
        sure = [finding.key for finding in self.findings if finding.confidence != "possible"]
        if sure:
            return f"Verdict: {', '.join(sure)}."
        return "Verdict: no mistake leaves a clear mark." if not self.findings else "Verdict: no certain or likely mistake."


_WORDS = {
    "constant": "do not change", "grows": "grow", "falls": "still fall", "plateau": "have reached a plateau",
    "oscillates": "oscillate without end", "noise": "scatter about a level",
}  # fmt: skip
_LABELS = {
    "rate": "Rate r of a step", "noise": "Noise", "lam": "lam", "lam_1": "lam_1", "lam_1_least": "lam_1 at least", "lam_p_most": "lam_p at most",
    "lr_limit": "Limit of lr", "lr_limit_most": "Limit of lr at most", "lr_best": "Best lr", "lr_over_limit": "lr / limit",
    "excess_left": "Excess left, at least", "epochs_to_go": "Epochs to go, at least", "minimum": "Least loss of the data",
    "standard_errors": "Standard errors away",
}  # fmt: skip
