"""From printed losses to the result: the marks of mistakes, what the rates prove, and the comparison with data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from squarely.checkup.findings import CONFIDENCES, Finding
from squarely.checkup.losses.against_data import compare_with_data
from squarely.checkup.losses.marks import Reading, make_finding, read_marks
from squarely.checkup.losses.minimum import Minimum
from squarely.checkup.losses.modes import informative_points
from squarely.checkup.losses.rates import bound_curvature, last_rate
from squarely.checkup.losses.report import LossCheckup
from squarely.checkup.losses.series import LossSeries

_FEW = 4  # losses from which a rate follows


def examine_losses(
    series: LossSeries, *, lr: float | None = None, momentum: float | None = None, tau: float = 0.01, minima: Sequence[Minimum] = ()
) -> LossCheckup:
    """Examine the losses of one run, or of several whose steps start again."""
    runs = series.runs()
    main, gaps = _without_gaps(max(runs, key=len))
    with np.errstate(all="ignore"):  # losses of any size: what overflows does not fit
        reading = read_marks(main, momentum, lr)
    reading.findings.extend(gaps)
    numbers: dict[str, float] = {}
    minimum = None
    if minima:
        minimum = compare_with_data(main, reading, minima, lr, momentum or 0.0)
    _add_rates(main, reading, numbers, lr, momentum)
    _add_distance(main, reading, numbers, minimum, tau)
    _add_limits_of_the_log(main, reading)
    findings = [*_restarts(runs, reading), *reading.findings, *(_from_warning(*warning) for warning in series.warnings)]
    return LossCheckup(
        found=series.found, count=len(series), first=float(main.values[0]), last=float(main.values[-1]), shape=reading.shape,
        findings=_in_order(findings), verified=tuple(reading.verified), remarks=tuple(reading.remarks), numbers=numbers,
    )  # fmt: skip


def _without_gaps(series: LossSeries) -> tuple[LossSeries, list[Finding]]:
    """Leave out losses that are not finite and have finite ones after them: the parameters were not lost."""
    finite = np.isfinite(series.values)
    if finite.all() or not finite.any() or finite[: np.flatnonzero(finite)[-1]].all():
        return series, []
    count = int((~finite).sum())
    evidence = (
        f"{count} of the losses {'is' if count == 1 else 'are'} not a number, and finite ones follow: a batch has missing values."
    )
    return series.part(np.flatnonzero(finite)), [make_finding("nan-loss", "certain", evidence, count=count)]


def _in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return each key once, the most likely first; equal confidences keep their order."""
    first: dict[str, Finding] = {}
    for finding in sorted(findings, key=_order):
        first.setdefault(finding.key, finding)
    return tuple(first.values())


def _order(finding: Finding) -> float:
    """Return the place of a finding: a loss that is not a number is a consequence, so it follows what may cause it."""
    return 1.5 if finding.key == "nan-loss" else CONFIDENCES.index(finding.confidence)


def _from_warning(key: str, line: str) -> Finding:
    return make_finding(key, "certain", f"The log has this line of PyTorch: {line[:200]}")


def _restarts(runs: Sequence[LossSeries], reading: Reading) -> list[Finding]:
    """Compare the runs of a log whose steps start again: a new one starts where the first did, not where the last ended."""
    for before, after in pairwise(runs):
        a, b = before.finite_start(), after.finite_start()
        if len(a) < 2 or not len(b):
            continue
        start, end, again = float(a.values[0]), float(a.values[-1]), float(b.values[0])
        if abs(again - start) <= a.half_width[0] + b.half_width[0]:
            reading.verified.append(
                f"The run that starts at step {after.steps[0]:g} again has the first loss of the one before, {start:.5g}."
            )
        elif abs(end - start) > 0 and abs(again - end) < 0.1 * abs(again - start):
            evidence = (
                f"A second run starts at {again:.5g}, where the first one ended ({end:.5g}), and not near its start ({start:.5g})."
            )
            return [
                make_finding("state-carried-over", "certain" if abs(again - end) < 0.01 * abs(end - start) else "likely", evidence)
            ]
    if len(runs) > 1:
        reading.remarks.append(f"The steps start again {len(runs) - 1} times; the longest run is examined.")
    return _jump_back(runs[0], reading) if len(runs) == 1 else []


def _jump_back(series: LossSeries, reading: Reading) -> list[Finding]:
    """Remark where the losses return to the first one and repeat, without numbers that start again."""
    values, width = series.values, 2.0 * series.half_width
    if reading.shape == "constant":
        return []
    for i in range(3, len(values) - 2):
        if (np.abs(values[i : i + 3] - values[:3]) <= width[i : i + 3]).all() and np.ptp(values[:3]) > 4.0 * width[0]:
            reading.remarks.append(
                f"From step {series.steps[i]:g} on the losses repeat the first ones: a second run, or a model made again."
            )
            break
    return []


def _add_rates(series: LossSeries, reading: Reading, numbers: dict[str, float], lr: float | None, momentum: float | None) -> None:
    """Add the dominant rate and what it proves, if the losses are those of a loop on all rows."""
    finite, beta = series.finite_start(), momentum or 0.0
    explained = reading.fit is not None and reading.fit.kind in ("plain", "momentum")
    if not explained or reading.fit is None or reading.fit.beta not in (0.0, beta) or len(finite) < _FEW:
        return
    grows = reading.shape == "grows"
    rate = last_rate(finite, 2 if grows else 1)
    bounds = bound_curvature(finite, lr or 1.0, beta, grows=grows)
    if rate is not None and (grows or not beta):
        numbers["rate"] = rate.value
    if lr is not None and beta and not grows and reading.fit.kind == "momentum":
        lam_1 = float(np.max(reading.fit.x[reading.fit.amplitude > 0.05 * reading.fit.amplitude.sum()], initial=0.0)) / lr
        numbers |= {"lam_1_least": lam_1, "lr_limit_most": (2.0 + 2.0 * beta) / lam_1} if lam_1 > 0 else {}
    if bounds is None:
        return
    if grows:
        numbers["lr_over_limit"] = (lr or 1.0) / bounds.limit
        reading.remarks.append(
            f"The learning rate is {numbers['lr_over_limit']:.4g} times the limit{'' if bounds.settled else ' or more'}."
        )
    if lr is None:
        return
    if grows:
        numbers["lam_1" if bounds.settled else "lam_1_least"] = bounds.lam_1
        numbers["lr_limit" if bounds.settled else "lr_limit_most"] = bounds.limit
        _advise(reading, bounds.limit)
        reading.remarks.append(
            f"The best learning rate lies between {bounds.limit / 2:.3g} and {bounds.limit:.3g}. Standardized columns allow more."
        )
    elif bounds.single is not None:
        numbers |= {"lam": bounds.single, "lr_limit_most": 2.0 / bounds.single, "lr_best": 1.0 / bounds.single}
        other = (1.0 + math.sqrt(numbers["rate"])) / lr
        reading.remarks.append(
            f"One rate explains all losses. If every step overshoots instead, lam is {other:.4g} and the limit {2 / other:.3g}."
        )
    else:
        numbers |= {"lam_1_least": bounds.lam_1, "lr_limit_most": bounds.limit}
        if bounds.lam_p is not None and bounds.lam_p > 0:
            numbers["lam_p_most"] = bounds.lam_p
            reading.remarks.append("The bound of lam_p holds if no step overshoots; a late rate alone cannot exclude that.")


def _advise(reading: Reading, limit: float) -> None:
    """Write the learning rate that the limit allows into the advice of the finding."""
    line = f"optimizer = torch.optim.SGD(model.parameters(), lr={limit / 2.0:.2g})"
    fix = f"Stay below {limit:.3g}, or standardize the columns, which allows more:\n    {line}"
    reading.findings[:] = [replace(each, fix=fix) if each.key == "lr-too-high" else each for each in reading.findings]


def _add_distance(series: LossSeries, reading: Reading, numbers: dict[str, float], minimum: Minimum | None, tau: float) -> None:
    """Add noise, the excess loss that is left, and the epochs to go."""
    finite = series.finite_start()
    if reading.noise > 0 and math.isfinite(reading.noise):
        numbers["noise"] = reading.noise
    last = float(finite.values[-1]) if len(finite) else math.nan
    if minimum is not None:
        numbers["minimum"] = minimum.loss
        if math.isfinite(last) and reading.shape != "grows" and not any(each.key == "sum-for-mean" for each in reading.findings):
            numbers["standard_errors"] = minimum.standard_errors(last)
    rate = last_rate(finite) if "rate" in numbers and reading.shape in ("falls", "plateau") else None
    if rate is None or not 0.0 < rate.low < 1.0:
        return
    shrinks = rate.low ** float(finite.steps[-1] - finite.steps[-2])  # the ratio of successive falls never gets smaller
    fall = float(finite.values[-2] - finite.values[-1] - finite.half_width[-2:].sum())
    excess, target = fall * shrinks / (1.0 - shrinks), 0.0
    if minimum is not None and last > minimum.loss and not reading.findings:
        excess, target = last - minimum.loss, tau**2 * minimum.sigma2 / minimum.n
    if excess > 2.0 * finite.half_width[-1]:
        target = target or 1e-3 * (last - excess)
        numbers["excess_left"] = excess
        if 0.0 < target < excess:
            numbers["epochs_to_go"] = float(math.ceil(math.log(target / excess) / math.log(rate.low)))


def _add_limits_of_the_log(series: LossSeries, reading: Reading) -> None:
    """Remark what a longer or finer log would tell."""
    finite = series.finite_start()
    points = informative_points(finite) if len(finite) > 1 else len(finite)
    if reading.shape != "constant" and points < 6:
        reading.remarks.append(
            f"Only {points} of the losses differ by more than rounding. Print at least 6 from the start on, with 6 digits, such as "
            "f'{loss:.6g}', for a rate and the marks of mistakes."
        )
    elif reading.fit is None and reading.shape in ("noise", "falls", "plateau"):
        reading.remarks.append(
            "No rate follows: the losses are not those of plain descent on all rows. Mini-batches, a schedule or Adam do this. "
            "Print the loss of all rows, or run squarely.checkup."
        )
