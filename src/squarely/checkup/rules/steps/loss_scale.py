"""The scale of the loss: whether each update uses the mean gradient of its rows, or a multiple of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from squarely.checkup.findings import Finding, Remark
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import Change, proportion, weigh_forwards
from squarely.numerics import Array

_SAME = 0.01  # bfloat16 rounding
_NUMBERS = re.compile(r"(?<![\w.])\d+\.?\d*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scale:
    """How one update counts its forward passes.

    Attributes
    ----------
    number, change : the update.
    weights : (K,) the factor of the gradient of each forward pass in the one that the update uses.
    rows : (K,) of each forward pass.
    """

    number: int
    change: Change
    weights: Array
    rows: Array

    @property
    def factor(self) -> float:
        """The gradient over the mean gradient of its rows."""
        return float(self.weights.sum())


def check_scale(run: Run) -> Iterator[Finding | Remark]:
    """Compare the gradient of each update with the mean gradient of its rows."""
    scales = [scale for number, change in enumerate(run.changes, 1) if (scale := _scale(run, number, change)) is not None]
    if not scales or len(scales) < 0.4 * len(run.changes):
        return
    findings = [*_accumulated(run, scales), *_summed(run, scales)]
    yield from findings
    typical = float(np.median([scale.factor for scale in scales]))
    if not findings and _is_near(typical, 0.5):
        yield Remark("The loss is half the mean squared error: the effective learning rate is half of lr.")


def _scale(run: Run, number: int, change: Change) -> _Scale | None:
    entries = [entry for entry in weigh_forwards(run.trace, change) if entry.rows]
    factor = change.scale if change.step is not None else change.scale * _factor_by_hand(run, change)
    weights = factor * np.array([entry.factor for entry in entries])
    if change.old or not entries or not np.isfinite(weights).all() or weights.sum() <= 0:
        return None
    return _Scale(number=number, change=change, weights=weights, rows=np.array([float(entry.rows) for entry in entries]))


def _factor_by_hand(run: Run, change: Change) -> float:
    """Return -difference / (lr * gradient) of an update by hand.

    Without a learning rate among the arguments, lr is the number in the source that is nearest to the factor; 1 / rows times such a
    number is a mean by hand.
    """
    size = -proportion(change.difference, change.gradients, tolerance=1e-2)
    if run.declared_lr is not None or not np.isfinite(size):
        return size / (run.declared_lr or 1.0)
    numbers = {float(text) for text in _NUMBERS.findall(run.source)} - {0.0, 1.0}
    readings = [1.0, *(1 / rows for rows in {change.rows, run.rows_in_training} if rows), 2.0, 0.5]
    return next((factor for factor in readings if any(_is_near(size / factor, number) for number in numbers)), np.nan)


def _accumulated(run: Run, scales: list[_Scale]) -> Iterator[Finding]:
    """Several passes in one update, each with its full weight."""
    several = [scale for scale in scales if len(scale.weights) > 1]
    full = [scale for scale in several if all(_is_near(weight, 1.0) for weight in scale.weights)]
    if not full or len(full) < 0.8 * len(several) or len(several) < 0.3 * len(run.changes):
        return
    first = full[0]
    yield Finding(
        key="accumulation-not-divided",
        confidence="certain" if len(full) > 1 else "likely",
        evidence=f"The gradient of step {first.number} is {first.factor:.4g} times the mean gradient of its "
        f"{len(first.weights)} passes. {len(full)} of {len(run.changes)} steps are like this.",
        numbers={"step": first.number, "expected_factor": 1.0, "found_factor": first.factor},
        source=first.change.line,
    )
    if first.rows.max() == 1:
        yield _sum_of_rows(run, full, "likely")


def _summed(run: Run, scales: list[_Scale]) -> Iterator[Finding]:
    """Each row has the full weight of a mean, or half of it, as in half the sum of squares."""
    summed = [scale for scale in scales if scale.rows.sum() > 1 and scale.rows.max() > 1 and _is_sum(scale)]
    if summed and len(summed) >= 0.8 * sum(scale.rows.sum() > 1 for scale in scales):
        declared = (
            run.line_with('reduction="sum"', "reduction='sum'") is not None and run.backwards[-1].loss <= run.backwards[0].loss
        )
        yield _sum_of_rows(run, summed, "possible" if declared else "certain" if len(summed) > 1 else "likely")


def _is_sum(scale: _Scale) -> bool:
    passes = len(scale.weights)
    by_row = scale.weights / scale.rows
    same = bool(np.ptp(by_row) <= _SAME * by_row.max()) and not _is_near(scale.factor, 1.0)
    return same and any(_is_near(float(by_row[0]), size) for size in (1.0, 0.5, 1 / passes, 0.5 / passes))


def _sum_of_rows(run: Run, scales: list[_Scale], confidence: str) -> Finding:
    first = scales[0]
    return Finding(
        key="sum-for-mean",
        confidence=confidence,
        evidence=f"The gradient of step {first.number} is {first.factor:.4g} times the mean gradient of its "
        f"{first.rows.sum():g} rows. {len(scales)} of {len(run.changes)} steps are like this.",
        numbers={"step": first.number, "expected_factor": 1.0, "found_factor": first.factor},
        source=first.change.line,
    )


def _is_near(value: float, target: float) -> bool:
    return abs(value - target) <= _SAME * abs(target)
