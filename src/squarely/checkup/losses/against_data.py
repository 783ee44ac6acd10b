"""Compare printed losses with what least squares says they must be: the first one, the last one and the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from squarely.checkup.losses.marks import Reading, make_finding
from squarely.checkup.losses.minimum import Minimum
from squarely.checkup.losses.modes import FITS, CurveFit, fit_nonnegative, thin, tolerances
from squarely.checkup.losses.rates import bound_curvature
from squarely.checkup.losses.series import LossSeries
from squarely.numerics import Array

_CLOSE = 0.02  # relative difference of two curvatures that are the same
_FEW_PERCENT = 0.003


def compare_with_data(
    series: LossSeries, reading: Reading, minima: Sequence[Minimum], lr: float | None, momentum: float
) -> Minimum:
    """Add findings that need the data, and return the units that fit the losses best."""
    finite = series.finite_start()
    if reading.shape == "grows" or len(finite) < 3:
        _compare_growth(finite, reading, minima, lr, momentum)
        return min(minima, key=lambda each: abs(math.log(max(finite.values[0], 1e-300) / each.variance)) if len(finite) else 0.0)
    level, error = _level(finite, reading)
    minimum = _choose_units(finite, level, minima)
    _compare_first(finite, reading, minimum, minima)
    near = reading.fit is not None and _is_near_floor(finite, reading.fit)
    if reading.shape in ("plateau", "noise", "constant") or near:
        _compare_level(reading, level, error, minimum, minima)
    if lr is not None and reading.fit is not None and reading.fit.kind == "plain" and not momentum:
        _compare_rate(finite, reading, minima, lr)
    return minimum


def _compare_first(series: LossSeries, reading: Reading, minimum: Minimum, minima: Sequence[Minimum]) -> None:
    """Compare the first loss with the largest one of a new nn.Linear; a sum over rows is beyond it."""
    first, most = float(series.values[0]), max(each.first for each in minima if each.units[1] == minimum.units[1])
    if minimum.loss * (1.0 - 1.0 / minimum.n) - series.half_width[0] <= first <= most:
        reading.verified.append(
            f"The first loss, {first:.5g}, is one that a new nn.Linear can have: {minimum.loss:.5g} to {most:.5g}."
        )
    elif minimum.loss <= first / minimum.n <= most:
        evidence = (
            f"The first loss is {first:.5g}; a new nn.Linear has at most {most:.5g}, and n = {minimum.n} times that as a sum."
        )
        reading.findings.append(make_finding("sum-for-mean", "likely", evidence, first=first, most=most))


def _level(series: LossSeries, reading: Reading) -> tuple[float, float]:
    """Return where the losses end, and how uncertain that is."""
    last, fit, width = float(series.values[-1]), reading.fit, float(series.half_width[-1])
    late = series.values[-max(len(series) // 4, 1) :]
    if fit is None:
        return float(late.mean()), width + 2.0 * float(late.std()) / math.sqrt(len(late))
    if _is_near_floor(series, fit):
        return fit.floor, width + 0.2 * abs(last - fit.floor)
    return last, width


def _is_near_floor(series: LossSeries, fit: CurveFit) -> bool:
    """Whether the fitted end of a plain loop is near: far away, it is not determined."""
    last = float(series.values[-1])
    return fit.kind == "plain" and 0.0 <= last - fit.floor < 0.02 * (float(series.values[0]) - last)


def _choose_units(series: LossSeries, level: float, minima: Sequence[Minimum]) -> Minimum:
    """Return the units whose minimum and variance are nearest to the last and the first loss."""

    def distance(each: Minimum) -> float:
        last = abs(math.log(max(level, 1e-300) / max(each.loss, 1e-300)))
        return last + 0.1 * abs(math.log(max(series.values[0], 1e-300) / each.variance))

    return min(minima, key=distance)


def _compare_level(reading: Reading, level: float, error: float, minimum: Minimum, minima: Sequence[Minimum]) -> None:
    slack = error + level * (_FEW_PERCENT + 1.0 / minimum.n)  # a standard deviation may have the divisor n - 1
    if abs(level - minimum.loss) <= slack:
        reading.verified.append(f"The last loss is the minimum, {minimum.loss:.5g}, of {minimum.describe()}.")
        return
    if _is_other_loss(reading, level, slack, minima) or _is_constant_prediction(reading, level, slack, minimum):
        return
    evidence = f"The loss ends at {level:.5g}; the minimum of {minimum.describe()} is {minimum.loss:.5g}"
    numbers = {"level": level, "minimum": minimum.loss, "standard_errors": minimum.standard_errors(level)}
    if level < minimum.loss:
        reading.findings.append(make_finding("wrong-loss", "possible", f"{evidence}: no mean squared error is lower.", **numbers))
    elif reading.shape == "plateau" or reading.noise < 0.05 * (level - minimum.loss):
        evidence += f", {numbers['standard_errors']:.3g} standard errors away."
        for key in ("scheduler-per-batch", "undeclared-weight-decay", "parameter-not-trained", "labels-misaligned", "wrong-loss"):
            reading.findings.append(make_finding(key, "possible", evidence, **numbers))
    else:
        reading.remarks.append(f"{evidence}. Noise of mini-batches at a constant learning rate keeps it above.")


def _is_other_loss(reading: Reading, level: float, slack: float, minima: Sequence[Minimum]) -> bool:
    """Whether the level is another function of the minimum: the sum of squares, half the mean, its root."""
    for each in minima[::2]:
        if abs(level / each.n - each.loss) <= slack / each.n:
            evidence = (
                f"The loss ends at {level:.5g}, which is n = {each.n} times the minimum {each.loss:.5g} of the mean squared error."
            )
            reading.findings.insert(0, make_finding("sum-for-mean", "certain", evidence, level=level, minimum=each.loss))
            return True
        if abs(2.0 * level - each.loss) <= 2.0 * slack:
            reading.remarks.append(
                f"The last loss is half of the least mean squared error, {each.loss:.5g}: a loss with the factor 1/2."
            )
            return True
        if abs(level - math.sqrt(each.loss)) <= slack:
            reading.remarks.append(f"The last loss is the root of the least mean squared error, {each.loss:.5g}.")
            return True
    return False


def _is_constant_prediction(reading: Reading, level: float, slack: float, minimum: Minimum) -> bool:
    """Whether the level is the variance of the response: every prediction is its mean."""
    low = minimum.variance * (1.0 - 4.0 * minimum.p / minimum.n)
    if not low <= level <= 1.03 * minimum.variance + slack or minimum.loss > low:
        return False
    exact = level >= minimum.variance - slack
    keys = ["shape-broadcast", "labels-misaligned"] if exact else ["labels-misaligned", "shape-broadcast"]
    evidence = (
        f"The loss ends at {level:.5g}; the variance of the response is {minimum.variance:.5g}, and least squares reaches "
        f"{minimum.loss:.5g}. The model predicts the mean."
    )
    reading.findings[:] = [finding for finding in reading.findings if finding.key not in keys]
    for key, confidence in zip(keys, ("likely", "possible"), strict=True):
        reading.findings.append(make_finding(key, confidence, evidence, level=level, variance=minimum.variance))
    return True


def _compare_growth(series: LossSeries, reading: Reading, minima: Sequence[Minimum], lr: float | None, momentum: float) -> None:
    """Compare the curvature of a loss that grows, or the limit of one that is not a number, with that of the data."""
    standard, raw = minima[0], minima[1]
    if lr is None:
        return
    measured = bound_curvature(series, lr, momentum, grows=True) if len(series) >= 4 else None
    limits = {each.units[0]: (2.0 + 2.0 * momentum) / each.lam[0] for each in (standard, raw)}
    evidence = (
        f"The largest stable lr is {limits['raw']:.4g} for raw columns and {limits['standardized']:.4g} for standardized ones"
    )
    causes = ((standard, 1, ""), (raw, 1, "not-standardised"), (standard, standard.n, "sum-for-mean"), (standard, 2, "double-step"))
    for each, factor, key in causes:
        if measured is None:
            break
        same = abs(measured.lam_1 / (factor * each.lam[0]) - 1.0) <= _CLOSE
        if same or (not momentum and _misfit(series, (1.0 - factor * lr * each.lam) ** 2) <= FITS):
            times = "that" if factor == 1 else f"{factor} times that"
            grown = f"The losses grow as with lam_1 = {measured.lam_1:.5g}, which is {times} of {each.units[0]} columns."
            _promote(reading, key, f"{grown} {evidence}.", measured.lam_1)
            return
    if lr > limits["standardized"]:
        _promote(reading, "", f"{evidence}; lr={lr:g} is above both.", lr)
    elif lr > limits["raw"]:
        _promote(reading, "not-standardised", f"{evidence}; lr={lr:g} is between them.", lr)


def _promote(reading: Reading, key: str, evidence: str, value: float) -> None:
    """Put what the data prove first, after the learning rate if that is what they prove."""
    others = [finding for finding in reading.findings if finding.key not in {key, "lr-too-high"}]
    others = [finding for finding in others if finding.key not in ("not-standardised", "sum-for-mean", "no-zero-grad")]
    found = [make_finding("lr-too-high", "certain", evidence, value=value)]
    if key:
        found.insert(0, make_finding(key, "certain" if key != "double-step" else "likely", evidence, value=value))
    reading.findings[:] = [*found, *others]


def _compare_rate(series: LossSeries, reading: Reading, minima: Sequence[Minimum], lr: float) -> None:
    """Compare the rate of a loss that falls with the eigenvalues of the data, for steps of a multiple of lr."""
    multiples = np.unique(np.concatenate([np.arange(1.0, 9.0), [minima[0].n], np.geomspace(0.02, 40.0, 300)]))
    fitting: list[float] = []
    for each in minima[:2]:
        misfits = np.array([_misfit(series, (1.0 - factor * lr * each.lam) ** 2) for factor in multiples])
        good = multiples[misfits <= FITS]
        short = good[good * lr * each.lam[0] <= 1.0]  # steps that overshoot may have the same rates
        good = short if len(short) else good
        if 1.0 in good:
            reading.verified.append(f"The losses fall at the rates of lr={lr:g} and {each.units[0]} columns.")
            return
        fitting += good.tolist()
    whole = [factor for factor in fitting if factor in range(2, 9)]
    if fitting and whole and max(fitting) < 1.3 * min(fitting):
        factor = whole[0]
        evidence = f"The losses fall as with steps of {factor:g} times lr={lr:g}."
        keys = ["double-step", "accumulation-not-divided", "ranks-summed"]
        if factor > 2:
            keys = keys[1:]
        for key, confidence in zip(keys, ("likely", "possible", "possible"), strict=False):
            reading.findings.append(make_finding(key, confidence, evidence, factor=factor))
    elif fitting and max(fitting) < 1.5 * min(fitting):
        middle = math.sqrt(max(fitting) * min(fitting))
        reading.remarks.append(f"The losses fall as with a learning rate of about {middle * lr:.3g}, {middle:.3g} times lr={lr:g}.")


def _misfit(series: LossSeries, rates: Array) -> float:
    """Return the misfit of a plain loop with known rates, in tolerances."""
    part = thin(series)
    k, tolerance = part.steps - part.steps[0], tolerances(part)
    with np.errstate(over="ignore", under="ignore"):
        columns = np.column_stack([np.ones(len(k)), rates ** k[:, None]])
    return fit_nonnegative(columns, part.values, tolerance)[1]
