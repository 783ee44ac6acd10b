"""All rules, and the order of what they find."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from squarely.checkup.findings import CONFIDENCES, Finding, Remark, Verified
from squarely.checkup.rules.batches.coverage import check_batches
from squarely.checkup.rules.dtypes import check_dtypes
from squarely.checkup.rules.formula import check_formula
from squarely.checkup.rules.modes import check_modes
from squarely.checkup.rules.rates.check import check_rate
from squarely.checkup.rules.reports.check import check_reports
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.schedules import check_schedule
from squarely.checkup.rules.steps.carried_state import check_carried_state
from squarely.checkup.rules.steps.gradients import check_gradients
from squarely.checkup.rules.steps.loss_form import check_loss
from squarely.checkup.rules.steps.parameters import check_parameters
from squarely.checkup.rules.steps.updates import check_updates

_RULES = (
    check_gradients,
    check_loss,
    check_parameters,
    check_updates,
    check_carried_state,
    check_batches,
    check_schedule,
    check_rate,
    check_modes,
    check_reports,
    check_dtypes,
    check_formula,
)
_PARTIAL = (check_gradients, check_loss, check_modes)  # what the beginning of a run shows
_CONSEQUENCES = {  # what other mistakes may lead to; the later ones follow from the earlier
    "not-standardised": 1, "lr-too-high": 2, "lr-too-low": 2, "weights-never-move": 2, "nan-loss": 3, "loss-while-moving": 3,
}  # fmt: skip


def find_mistakes(run: Run, *, is_complete: bool) -> list[Finding | Remark | Verified]:
    """Apply every rule to a run; to one that an exception has ended, those that need no end."""
    with np.errstate(all="ignore"):  # the numbers of a run that diverges are not finite
        return [result for rule in (_RULES if is_complete else _PARTIAL) for result in rule(run)]


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding a key, the most likely first.

    What may be the consequence of a certain or likely cause is only possible as a cause, and comes after it.
    """
    best: dict[str, Finding] = {}
    for finding in findings:
        known = best.get(finding.key)
        if known is None or _rank(finding) < _rank(known):
            best[finding.key] = finding
    causes = [finding for finding in best.values() if finding.key not in _CONSEQUENCES and finding.confidence != "possible"]
    explained = {finding.key for finding in best.values() if finding.key in _CONSEQUENCES and causes}
    weaker = [replace(finding, confidence="possible") if finding.key in explained else finding for finding in best.values()]
    return sorted(weaker, key=_rank)


def _rank(finding: Finding) -> tuple[int, int]:
    """Certain first; of the possible ones, consequences after a cause that may be theirs."""
    return CONFIDENCES.index(finding.confidence), _CONSEQUENCES.get(finding.key, 0)
