"""The learning rate against the limits that theory gives for the rows of the run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from squarely.checkup.findings import Finding, Remark, SourceLine, Verified
from squarely.checkup.rules.rates.divergence import diverged, find_not_finite, finite_losses, first_not_finite
from squarely.checkup.rules.rates.growth import growth_per_update, is_gradient_descent, momentum_of, rate_of
from squarely.checkup.rules.rates.linear_problem import distance_kept, epoch_errors, find_inputs, find_spectrum, is_linear, is_raw
from squarely.checkup.rules.run import Run
from squarely.numerics import Array

_LITTLE = 0.5  # of the first distance: a loop that keeps more has hardly begun
_NOTHING = 0.97
_FAR = 10.0  # times the first error


def check_rate(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the learning rate with its limit 2 / lam_1, and the updates with those needed."""
    X = find_inputs(run) if run.batches and run.changes else None
    bad = first_not_finite(run)
    findings = [] if X is None else list(_against_theory(run, X, is_finite=bad is None))
    yield from findings
    if bad is not None:
        yield from find_not_finite(run, bad, explained=any(finding.key == "lr-too-high" for finding in findings))
    rate = _usual_rate(run) if X is not None and is_gradient_descent(run) and is_linear(run, X) else None
    if X is not None and rate and not findings and bad is None:
        limit = _limit(run, find_spectrum(run, X))
        if rate < limit:
            yield Verified(f"The learning rate {rate:.4g} is below its limit {limit:.4g}.")


def _against_theory(run: Run, X: Array, *, is_finite: bool) -> Iterator[Finding]:
    if is_gradient_descent(run) and is_linear(run, X):
        rate = _usual_rate(run)
        if rate is None or rate <= 0:
            return
        too_high = _too_high(run, X, rate)
        yield from too_high
        if is_finite and not too_high:
            yield from _too_low(run, X, _kept_by_theory(run, find_spectrum(run, X)))
        return
    too_high = _overshoots(run, X)
    yield from too_high
    if is_finite and not too_high:
        yield from _too_low(run, X, _kept_at_end(run, X))


def _usual_rate(run: Run) -> float | None:
    """Return the median learning rate of the updates, times the scale of their gradients."""
    rates = [rate for change in islice(run.changes, 100) if (rate := rate_of(change)) is not None]
    return float(np.median(rates)) if rates else None


def _limit(run: Run, spectrum: Array) -> float:
    return float(2 * (1 + momentum_of(run)) / spectrum[0])


def _line(run: Run) -> SourceLine | None:
    return run.line_with("lr=", "lr =", "learning_rate", "eta =", "eta=") or run.changes[0].line


# Too high


def _too_high(run: Run, X: Array, rate: float) -> list[Finding]:
    """Return what a rate above its limit does on the rows of each update."""
    spectrum, growth = find_spectrum(run, X), growth_per_update(run, X)
    highest = max((one for change in run.changes if (one := rate_of(change)) is not None), default=rate)
    limit = _limit(run, spectrum)
    unstable = (growth is not None and growth > 1.001) or (growth is None and highest > limit)
    if diverged(run) and (unstable or highest > 0.6 * limit):
        confidence = "certain"
    elif unstable and _ends_higher(run):
        confidence = "likely"
    elif growth is not None and growth > 0.95 and 0.95 * limit < rate < limit and not momentum_of(run):
        confidence = "possible"
    else:
        return []
    losses = finite_losses(run) or [np.nan]
    each = "" if growth is None else f" On the rows that they use, the updates multiply the largest error by {growth:.4g} each."
    finding = Finding(
        key="lr-too-high",
        confidence=confidence,
        evidence=f"The learning rate, times the scale of the gradient, is {highest:.4g}. Its limit is {limit:.4g}: the largest "
        f"eigenvalue of H is {spectrum[0]:.4g}.{each} The loss goes from {losses[0]:.4g} to {losses[-1]:.4g}.",
        numbers={"lr": highest, "limit": limit, "lr_best": float(2 / (spectrum[0] + spectrum[-1]))},
        source=_line(run),
    )
    return [_not_standardized(run, X, highest, confidence), finding] if is_raw(X) else [finding]


def _ends_higher(run: Run) -> bool:
    """Return whether the last losses are above most of the first ones."""
    losses = finite_losses(run)
    size = max(len(losses) // 5, 1)
    return len(losses) > 3 and float(np.median(losses[-size:])) > float(np.median(losses[:size]))


def _overshoots(run: Run, X: Array) -> list[Finding]:
    """For other optimizers: an epoch is far worse than the first predictions, and than predicting 0."""
    lr, errors = run.changes[0].lr, epoch_errors(run)
    first = run.batches[0].comparison
    if lr is None or first is None or len(errors) < 2 or len(first.targets) < 5:
        return []
    start = max(float(np.mean((first.predictions - first.targets) ** 2)), float(np.mean(first.targets**2)))
    worst = max(errors)
    if not worst > _FAR * start > 0:
        return []
    finding = Finding(
        key="lr-too-high",
        confidence="likely",
        evidence=f"The mean squared error goes from {start:.4g} to {worst:.4g} in epoch {errors.index(worst) + 1}, and ends at "
        f"{errors[-1]:.4g}: at learning rate {lr:.4g} the updates go far beyond the optimum.",
        numbers={"lr": lr, "first": start, "worst": worst, "last": errors[-1]},
        source=_line(run),
    )
    return [_not_standardized(run, X, lr, "possible"), finding] if is_raw(X) else [finding]


def _not_standardized(run: Run, X: Array, rate: float, confidence: str) -> Finding:
    spectrum = find_spectrum(run, X)
    condition = float(spectrum[0] / spectrum[-1]) if spectrum[-1] > 0 else np.inf
    return Finding(
        key="not-standardised",
        confidence=confidence,
        evidence=f"The inputs have means {_list(X.mean(axis=0))} and standard deviations {_list(X.std(axis=0))}: the condition "
        f"number of H is {condition:.3g}, and the limit of the learning rate is {2 / spectrum[0]:.3g}.",
        numbers={"condition_number": condition, "limit": float(2 / spectrum[0]), "lr": rate},
        source=run.batches[0].forward.line,
    )


def _list(values: Array) -> str:
    return ", ".join(f"{value:.4g}" for value in values[:4]) + (", ..." if len(values) > 4 else "")


# Too low


def _kept_by_theory(run: Run, spectrum: Array) -> float:
    """Return the part of its distance that the slowest direction keeps: the product of |1 - lr lam_p / (1 - momentum)|."""
    positive = spectrum[spectrum > 1e-12 * spectrum[0]]
    rates = np.array([rate for change in run.changes if (rate := rate_of(change)) is not None])
    later = max(run.trace.steps, len(run.changes)) - len(rates)
    if not len(rates):
        return 0.0
    logs = np.log(np.abs(1 - np.minimum(rates / (1 - min(momentum_of(run), 0.999)), 1 / positive[0]) * positive[-1]) + 1e-300)
    return float(np.exp(logs.sum() + later * np.median(logs[-10:])))


def _kept_at_end(run: Run, X: Array) -> float | None:
    """Return the part of the distance that the end keeps; for updates that were not recorded, as the recorded ones went on.

    With raw columns a direction can be slow that the loss hardly shows: the end must be near least squares too.
    """
    distance, recorded = distance_kept(run, X), len(run.changes)
    if distance is None:
        return None
    kept, left = distance
    later = max(run.trace.steps, recorded) / recorded
    return max(kept, 0.9) if is_raw(X) and left > 1 and kept**later > _LITTLE**4 else float(kept**later)


def _too_low(run: Run, X: Array, kept: float | None) -> Iterator[Finding]:
    if kept is None or kept <= _LITTLE:
        return
    spectrum, updates = find_spectrum(run, X), max(run.trace.steps, len(run.changes))
    rates = [rate for change in run.changes if (rate := rate_of(change)) is not None] or [np.nan]
    raw = is_raw(X)
    if raw and spectrum[0] > 1e3 * spectrum[-1]:
        yield _not_standardized(run, X, rates[0], "likely" if run.problem is None else "possible")
    last = float(np.median(rates[-10:]))
    decays = last < 1e-3 * rates[0]
    schedule = f", which falls to {last:.4g}," if decays else ""
    needed = updates * np.log(0.01) / np.log(kept) if kept < 1 else np.inf
    yield Finding(
        key="lr-too-low",
        confidence="likely" if (kept > _NOTHING or decays) and not raw else "possible",
        evidence=f"After {updates} updates at learning rate {rates[0]:.4g}{schedule} the slowest direction keeps "
        f"{100 * kept:.3g} % of its distance from the optimum; to keep 1 % takes {needed:.3g} such updates.",
        numbers={"lr": float(rates[0]), "updates": updates, "updates_needed": float(needed), "kept": kept},
        source=_line(run),
    )
