"""From printed losses to findings: the mark that each mistake leaves in the numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from squarely.checkup.findings import Finding
from squarely.checkup.losses.modes import CurveFit, fit_clipped, fit_kind, fit_plain, informative_points, tolerances
from squarely.checkup.losses.rates import noise_of
from squarely.checkup.losses.series import LossSeries

_NOT_MOVING = (
    "weights-never-move",
    "zero-grad-before-step",
    "step-before-backward",
    "optimizer-of-another-model",
    "graph-detached",
)
_CLEARLY = 20.0  # tolerances by which plain descent must miss the losses before another loop is considered
_SAME_MOMENTUM = 0.02
_NEARLY = 60.0  # tolerances by which a clipped run may differ, because its modes have several rates
_USUAL_MOMENTUM = [("momentum", beta) for beta in (0.9, 0.5, 0.8, 0.95, 0.99)] + [("nesterov", beta) for beta in (0.9, 0.5, 0.95)]
_LONGEST_PERIOD = 1000  # batches of an epoch
_UNDERFLOW = 1e-45  # the least number of float32
_LARGE_SUM = 2e4  # a curvature that few sums over standardized rows have
_FEW = 6  # losses that a fit of another loop needs


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """What the losses of one run look like.

    Attributes
    ----------
    shape : "constant", "grows", "falls", "plateau", "oscillates" or "noise".
    fit : the kind of loop that explains every loss within rounding; None if none does.
    plain : the fit of plain descent on all rows.
    noise : the standard deviation of the losses about a smooth curve, zero if a kind of loop explains them.
    findings, remarks, verified : as in `squarely.checkup`.
    """

    shape: str
    fit: CurveFit | None = None
    plain: CurveFit | None = None
    noise: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)


def read_marks(series: LossSeries, momentum: float | None, lr: float | None = None) -> Reading:
    """Read the marks of one run; momentum and lr are None if they are not declared."""
    finite = series.finite_start()
    findings = _not_finite(series, finite)
    if len(finite) < 3:
        return Reading("noise", findings=findings)
    if np.ptp(finite.values) <= 2.0 * finite.half_width.max():
        return Reading("constant", findings=[*findings, *_not_moving(finite)])
    period = _period(finite)
    if period:
        return Reading("constant", findings=[*findings, *_not_moving(finite, period)])
    plain = fit_plain(finite)
    fit = plain if plain.fits else _explain(finite, plain, momentum)
    noise = 0.0 if fit else noise_of(finite.values)
    shape = _shape_of(finite, fit, noise)
    reading = Reading(shape, fit, plain, noise, findings)
    if fit is not None and fit.kind != "plain":
        _from_kind(reading, fit, momentum, len(finite))
    if shape == "grows":
        findings[:0] = _growth(finite, fit, lr)
    elif shape == "oscillates" and not any(finding.key == "no-zero-grad" for finding in findings):
        findings += _never_settles(finite)
    elif shape == "falls":
        findings += _too_low(finite, fit) + (_plateau_at_one(finite, fit, noise) if fit else [])
    elif shape in ("plateau", "noise"):
        findings += _plateau_at_one(finite, fit, noise) + _scatter(finite, noise)
    return reading


def make_finding(key: str, confidence: str, evidence: str, **numbers: float) -> Finding:
    """Make a finding with the numbers of its evidence."""
    return Finding(key=key, confidence=confidence, evidence=evidence, numbers=numbers)


def _not_finite(series: LossSeries, finite: LossSeries) -> list[Finding]:
    if len(finite) == len(series):
        return []
    value, step = series.values[len(finite)], series.steps[len(finite)]
    after = "the first loss printed" if len(finite) == 0 else f"after {len(finite)} finite losses"
    found = make_finding("nan-loss", "certain", f"The loss is {value} at step {step:g}, {after}.", step=step)
    if len(finite) >= 3:
        return [found]
    return [
        found,
        make_finding("lr-too-high", "likely", "A loss of this kind that is not a number has nearly always grown beyond float32."),
    ]


def _not_moving(series: LossSeries, period: int = 0) -> list[Finding]:
    evidence = f"All {len(series)} losses are {series.values[0]:g} within rounding"
    if period:
        evidence = f"The losses repeat exactly every {period} numbers from the first on"
    evidence += ", so the parameters do not change, or had converged before the first loss."
    sure = "certain" if period or (len(series) >= 5 and series.half_width.max() < 1e-3 * abs(series.values[0])) else "likely"
    return [
        make_finding(key, sure if i == 0 else "possible", evidence, first=float(series.values[0]))
        for i, key in enumerate(_NOT_MOVING)
    ]


def _period(series: LossSeries) -> int:
    """Return the period if the losses repeat exactly from the first on: batches in a fixed order, and no update."""
    values, width = series.values, 4.0 * series.half_width.max()
    for period in range(2, min(len(series) // 2, _LONGEST_PERIOD) + 1):
        if np.ptp(values[:period]) > 4.0 * width and np.abs(values - np.resize(values[:period], len(values))).max() <= width:
            return period
    return 0


def _explain(series: LossSeries, plain: CurveFit, momentum: float | None) -> CurveFit | None:
    """Return the loop that explains every loss within rounding and that plain descent does not, or None."""
    if plain.misfit < _CLEARLY or informative_points(series) < _FEW or np.abs(series.values).max() < _UNDERFLOW:
        return None
    declared = [("momentum", momentum), ("nesterov", momentum)] if momentum else []
    for kind, beta in [*declared, ("momentum", 1.0), ("stale", 0.0), ("stale sums", 0.0), *_USUAL_MOMENTUM]:
        fit = fit_kind(kind, series, beta)
        if fit.fits:
            return fit
    clipped = fit_clipped(series)
    return clipped if clipped.fits or (clipped.misfit < _NEARLY and clipped.misfit < plain.misfit / 10.0) else None


def _shape_of(series: LossSeries, fit: CurveFit | None, noise: float) -> str:
    values, tolerance = series.values, tolerances(series)
    last, lowest = values[-1], int(np.argmin(values))
    rising = len(values) - lowest > 3 and (np.diff(values[lowest:]) > -tolerance[lowest + 1 :]).mean() > 0.8
    enough = 1.3 if fit is not None else 3.0
    if last > values[0] and last > enough * values[lowest] and (rising or last > 5.0 * values[0]):
        return "grows"
    if fit is not None and fit.kind == "stale sums":
        return "oscillates"
    half = len(values) // 2
    fall = values[0] - values[lowest]
    late = np.ptp(values[half:]) if half else 0.0
    turns = _turns(values[half:], 0.25 * max(fall, noise))
    if turns >= 2 and late > 0.4 * max(fall, np.ptp(values[:half])) and _is_deep(values) and _repeats_itself(values):
        return "oscillates"
    step = values[half:].mean() - values[half + half // 2 :].mean()
    error = max(float(noise) / math.sqrt(max(half, 1)), 2.0 * series.half_width.max())
    if step > 3.0 * error and step > 0.002 * max(fall, 1e-300):
        return "falls"
    return "plateau" if fit is not None else "noise"


def _repeats_itself(values: np.ndarray) -> bool:
    """Whether the losses are correlated with themselves some steps before, which noise of batches is not."""
    centered = values[1:] - values[1:].mean()
    lags = range(1, max(len(centered) // 3, 2))
    correlations = [float(centered[lag:] @ centered[:-lag] / max(centered @ centered, 1e-300)) for lag in lags]
    return max(correlations, default=0.0) > max(0.5, 2.5 / math.sqrt(len(values)))


def _is_deep(values: np.ndarray) -> bool:
    """Whether the late losses rise to a multiple of the lowest, which noise of batches does not."""
    late = values[len(values) // 2 :]
    return bool(np.quantile(late, 0.9) > 1.6 * values.min())


def _turns(values: np.ndarray, size: float) -> int:
    """Return how often the losses turn by more than `size`."""
    turns, extreme, direction = 0, values[0], 0
    for value in values[1:]:
        if direction * (value - extreme) >= 0:
            extreme, direction = value, direction or int(np.sign(value - extreme))
        elif abs(value - extreme) > size:
            turns, direction, extreme = turns + 1, -direction, value
    return turns


def _from_kind(reading: Reading, fit: CurveFit, momentum: float | None, count: int) -> None:
    """Add what the loop that explains the losses says."""
    plain = reading.plain.misfit if reading.plain else math.inf
    fits = (
        f"explains all {count} losses within rounding, and one that sets gradients to zero misses them by {plain:,.0f} times that"
    )
    if fit.kind == "momentum" and fit.beta == 1.0:
        evidence = f"A loop whose gradients add up (e_k+1 = (2 - lr lam) e_k - e_k-1) {fits}."
        reading.findings.append(make_finding("no-zero-grad", "certain", evidence, beta=1.0, misfit=fit.misfit))
        reading.findings.append(make_finding("backward-on-accumulated-loss", "possible", "It leaves the same mark in the losses."))
    elif fit.kind in ("stale", "stale sums"):
        evidence = f"A loop that steps with the gradient of the step before {fits}."
        reading.findings.append(
            make_finding("stale-gradient", "certain" if len(fit.x) < 4 else "likely", evidence, misfit=fit.misfit)
        )
        if fit.kind == "stale sums":
            reading.findings.append(make_finding("no-zero-grad", "certain", "In that loop the gradients add up, too."))
    elif fit.kind == "clipped":
        evidence = (
            f"The error first shrinks by equal lengths ({fit.x[1]:.3g} of it a step) and then by a rate; such a curve {fits}."
        )
        reading.findings.append(make_finding("gradient-clipped", "likely", evidence, step=float(fit.x[1])))
    elif momentum is None or abs(fit.beta - momentum) <= _SAME_MOMENTUM:
        reading.remarks.append(f"The losses are those of {'Nesterov ' if fit.kind == 'nesterov' else ''}momentum {fit.beta:.3g}.")
    elif fit.beta > _SAME_MOMENTUM:
        evidence = f"Momentum {fit.beta:.3g} {fits}; momentum={momentum:g} is declared."
        reading.findings.append(make_finding("undeclared-momentum", "likely", evidence, beta=fit.beta))


def _growth(series: LossSeries, fit: CurveFit | None, lr: float | None) -> list[Finding]:
    """Find what makes a loss grow: the learning rate, gradients that are many times too large, or gradients that add up."""
    first, last = float(series.values[0]), float(series.values[-1])
    steps = max(float(series.steps[-1] - series.steps[0]), 1.0)
    growth = (last / first) ** (1.0 / steps) if first > 0 else math.inf
    evidence = f"The loss grows from {first:.4g} to {last:.4g} in {steps:g} steps."
    sure = "certain" if fit is not None and fit.kind == "plain" else "likely"
    found = [make_finding("lr-too-high", sure, evidence, first=first, last=last, growth=growth)]
    if growth > 5.0:
        large = "likely" if first > 20.0 else "possible"
        evidence = f"The loss grows {growth:.3g} times a step, from {first:.4g}: a gradient that is many times too large does this."
        causes = ["not-standardised", "sum-for-mean"]
        lam_1 = (1.0 + math.sqrt(growth)) / lr if lr else math.inf
        if 0.25 * lam_1 < first and lam_1 < _LARGE_SUM:  # with a sum over rows, both are about the number of rows
            causes.reverse()
        return found + [make_finding(key, large, evidence, growth=growth) for key in causes]
    if fit is None and growth < 3.0:
        found.append(
            make_finding("no-zero-grad", "likely", "It grows unevenly, as where gradients of mini-batches add up.", growth=growth)
        )
    return found


def _never_settles(series: LossSeries) -> list[Finding]:
    late = series.values[len(series) // 2 :]
    evidence = (
        f"The loss falls and rises without end: in the second half between {late.min():.4g} and {late.max():.4g}, "
        f"from {series.values[0]:.4g} at first. Gradients that are never set to zero do this."
    )
    return [
        make_finding("no-zero-grad", "likely", evidence, lowest=float(late.min()), highest=float(late.max())),
        make_finding("backward-on-accumulated-loss", "possible", "It leaves the same mark in the losses."),
        make_finding("lr-too-high", "possible", "A learning rate just below the limit of mini-batches looks alike."),
    ]


def _too_low(series: LossSeries, fit: CurveFit | None) -> list[Finding]:
    """Find a loss that falls nearly as fast at the end as at the start."""
    if len(series) < 8:
        return []
    third = len(series) // 3
    early, late = (float(part[0] - part[-1]) for part in (series.values[: third + 1], series.values[-third - 1 :]))
    if not (early > 0 and late > 0.2 * early) or (fit is not None and fit.kind != "plain"):
        return []
    evidence = f"The last third of the losses falls by {late:.3g}, the first third by {early:.3g}: it is far from the end."
    return [make_finding("lr-too-low", "likely" if late > 0.5 * early else "possible", evidence, early=early, late=late)]


def _plateau_at_one(series: LossSeries, fit: CurveFit | None, noise: float) -> list[Finding]:
    """Find a plateau at exactly 1, the variance of a standardized response."""
    late = series.values[-max(len(series) // 4, 1) :]
    level = fit.floor if fit is not None and fit.kind == "plain" else float(np.median(late))
    fallen = float(series.values[0]) - level
    exact = fit is not None and abs(level - 1.0) <= 1.5 * series.half_width[-1] + 2e-4 * abs(fallen)
    if fallen < 0.02 or not (exact or (fit is None and -2.0 * noise < level - 1.0 < 0.03 and noise < 0.02)):
        return []
    evidence = (
        f"The loss stops at {level:.5g}. If the response is standardized, that is its variance: the model predicts a constant."
    )
    return [
        make_finding("shape-broadcast", "likely" if exact else "possible", evidence, level=level),
        make_finding("labels-misaligned", "possible", evidence, level=level),
    ]


def _scatter(series: LossSeries, noise: float) -> list[Finding]:
    """Find losses of an epoch that scatter as those of a few rows do."""
    late = series.values[len(series) // 2 :]
    spread = noise_of(late) / float(late.mean()) if len(late) >= 6 and late.mean() > 0 else 0.0
    if spread < 0.25 or series.unit == "step" or noise == 0.0:
        return []
    rows = 2.0 / spread**2  # a mean of B squared errors has the relative deviation sqrt(2/B)
    evidence = f"Losses near the end differ by {spread:.0%}, as those of batches of about {max(round(rows), 1)} rows do."
    return [
        make_finding(
            "last-batch-loss", "likely" if series.unit == "epoch" and spread > 0.3 else "possible", evidence, spread=spread
        )
    ]
