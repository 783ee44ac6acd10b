"""All rules, and the order of what they find."""

from __future__ import annotations

from collections.abc import Iterable

from squarely.checkup.findings import CONFIDENCES, Finding, Remark, Verified
from squarely.checkup.rules.batches import check_batches
from squarely.checkup.rules.gradients import check_gradients
from squarely.checkup.rules.losses import check_loss
from squarely.checkup.rules.modes import check_modes
from squarely.checkup.rules.parameters import check_parameters
from squarely.checkup.rules.rates import check_rate
from squarely.checkup.rules.reports.check import check_reports
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.schedules import check_schedule
from squarely.checkup.rules.updates import check_updates

_RULES = (
    check_gradients,
    check_loss,
    check_parameters,
    check_updates,
    check_batches,
    check_schedule,
    check_rate,
    check_modes,
    check_reports,
)
_PARTIAL = (check_gradients, check_loss, check_modes)  # what the beginning of a run shows
_CONSEQUENCES = ("lr-too-high", "lr-too-low", "nan-loss", "weights-never-move", "loss-while-moving", "not-standardised")


def find_mistakes(run: Run, *, is_complete: bool) -> list[Finding | Remark | Verified]:
    """Apply every rule to a run; to one that an exception has ended, those that need no end."""
    return [result for rule in (_RULES if is_complete else _PARTIAL) for result in rule(run)]


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding a key, the most likely first; what may be the consequence of another finding comes after it."""
    best: dict[str, Finding] = {}
    for finding in findings:
        known = best.get(finding.key)
        if known is None or CONFIDENCES.index(finding.confidence) < CONFIDENCES.index(known.confidence):
            best[finding.key] = finding
    causes = any(finding.key not in _CONSEQUENCES and finding.confidence != "possible" for finding in best.values())

    def rank(finding: Finding) -> tuple[int, int]:
        confidence = CONFIDENCES.index(finding.confidence)
        late = finding.key in _CONSEQUENCES and causes
        return (1 if late and confidence < 2 else 0 if confidence < 2 else 2, confidence)

    return sorted(best.values(), key=rank)
