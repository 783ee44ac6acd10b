"""The learning rate against the limits that theory gives for the rows of the run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import flatten, proportion
from squarely.numerics import Array


def check_rate(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the learning rate with its limit 2 / lam_1, and the updates with those needed."""
    spectrum = _spectrum(run)
    bad = _first_bad(run)
    findings = []
    if spectrum is not None and run.changes:
        findings += _against_theory(run, spectrum, bad)
    if bad is not None:
        findings += _not_finite(run, bad, explained=bool(findings))
    yield from findings
    lr = _rate(run)
    if spectrum is not None and lr and not findings:
        yield Verified(f"The learning rate {lr:.4g} is below its limit {2 / spectrum[0]:.4g}.")


def _inputs(run: Run) -> Array:
    rows = {}
    for batch in run.batches:
        for row, values in zip(batch.rows.tolist(), batch.forward.inputs, strict=True):
            rows.setdefault(row, values)
    return np.array(list(rows.values()))


def _spectrum(run: Run) -> Array | None:
    """Return the eigenvalues of H = (2/n) X'X with a column of ones, the largest first; None without inputs."""
    if not run.batches or len({batch.forward.inputs.shape[1] for batch in run.batches}) != 1:
        return None
    X = _inputs(run)
    if len(X) < 2 or not np.isfinite(X).all():
        return None
    if not (np.ptp(X, axis=0) == 0).any() and _has_intercept(run):
        X = np.column_stack([X, np.ones(len(X))])
    return np.linalg.svd(X, compute_uv=False) ** 2 * (2 / len(X))


def _has_intercept(run: Run) -> bool:
    columns = run.batches[0].forward.inputs.shape[1]
    sizes = [int(np.prod(run.trace.parameters[number].shape)) for number in run.trained]
    return sum(sizes) == columns + 1


def _is_linear(run: Run) -> bool:
    columns = run.batches[0].forward.inputs.shape[1]
    return sum(int(np.prod(run.trace.parameters[number].shape)) for number in run.trained) in {columns, columns + 1}


def _rate(run: Run) -> float | None:
    """Return the learning rate of the steps; for updates by hand, -(change) over the gradient of the mean squared error."""
    for change in run.changes:
        if change.lr is not None:
            return change.lr
        if change.expected is not None:
            rate = -proportion(change.difference, change.expected, tolerance=1e-2)
            if np.isfinite(rate):
                return rate
    return None


def _first_bad(run: Run) -> int | None:
    """Return the number of the first backward pass whose loss is not finite; one more than all if the parameters end so."""
    for number, backward in enumerate(run.backwards, 1):
        if not np.isfinite(backward.loss) and any(len(values) for values in backward.loss_gradients.values()):
            return number
    final = [values for number, values in run.trace.final.items() if number in run.trained]
    return len(run.backwards) + 1 if any(not np.isfinite(values).all() for values in final) else None


def _is_plain(run: Run) -> bool:
    """Whether the updates are those of gradient descent without momentum."""
    step = run.changes[0].step
    return step is None or (step.optimizer_class == "SGD" and not step.options.get("momentum"))


def _against_theory(run: Run, spectrum: Array, bad: int | None) -> Iterator[Finding | Remark]:
    lr = _rate(run)
    if lr is None or not _is_linear(run) or lr <= 0:
        return
    limit = 2 / spectrum[0]
    step = run.changes[0].step
    if step is not None and step.optimizer_class == "SGD":
        limit *= 1 + float(step.options.get("momentum") or 0.0)  # type: ignore[arg-type]
    scale = np.median([change.factor for change in run.changes if np.isfinite(change.factor)] or [1.0]) if step is not None else 1.0
    grows = _loss_grows(run)
    condition = spectrum[0] / spectrum[-1] if spectrum[-1] > 0 else np.inf
    raw = _is_raw(run)
    line = run.line_with("lr=", "lr =", "learning_rate") or run.changes[0].line
    if (bad is not None or grows) and (step is None or step.optimizer_class == "SGD") and lr * max(scale, 1e-300) > 0.6 * limit:
        if raw:
            yield _not_standardized(run, lr, limit, condition, "certain")
        yield Finding(
            key="lr-too-high",
            confidence="certain",
            evidence=f"The learning rate {lr:.4g}{'' if abs(scale - 1) < 0.01 else f' times {scale:.4g}'} is above the limit "
            f"{limit:.4g} of these rows: the largest eigenvalue of H is {spectrum[0]:.4g}. The loss goes from "
            f"{_losses(run)[0]:.4g} to {_losses(run)[-1]:.4g}.",
            numbers={"lr": lr, "limit": limit, "lr_best": 2 / (spectrum[0] + spectrum[-1])},
            source=line,
        )
    elif bad is None and _is_plain(run):
        yield from _too_low(run, lr * scale, spectrum, raw)
    elif bad is None:
        yield from _hardly_moved(run, lr)


def diverged(run: Run) -> bool:
    """Return whether the loss grows, or is not finite."""
    return bool(run.backwards) and (_first_bad(run) is not None or _loss_grows(run))


def _losses(run: Run) -> list[float]:
    return [backward.loss for backward in run.backwards] or [np.nan]


def _loss_grows(run: Run) -> bool:
    losses = [loss for loss in _losses(run) if np.isfinite(loss)]
    tail = losses[-max(len(losses) // 5, 1) :]
    return len(losses) > 3 and float(np.median(tail)) > 3 * max(losses[0], 1e-30)


def _is_raw(run: Run) -> bool:
    X = _inputs(run)
    spread, mean = X.std(axis=0), np.abs(X.mean(axis=0))
    varied = spread > 0
    return bool(((spread > 10) | (mean > 10 * np.maximum(spread, 1e-300)))[varied].any() or (spread[varied] < 0.01).any())


def _not_standardized(run: Run, lr: float, limit: float, condition: float, confidence: str) -> Finding:
    X = _inputs(run)
    return Finding(
        key="not-standardised",
        confidence=confidence,
        evidence=f"The inputs have means {_list(X.mean(axis=0))} and standard deviations {_list(X.std(axis=0))}: the condition number "
        f"of H is {condition:.3g}, and the limit of the learning rate is {limit:.3g}.",
        numbers={"condition_number": float(condition), "limit": limit, "lr": lr},
        source=run.batches[0].forward.line,
    )


def _list(values: Array) -> str:
    return ", ".join(f"{value:.4g}" for value in values[:4]) + (", ..." if len(values) > 4 else "")


def _too_low(run: Run, rate: float, spectrum: Array, raw: bool) -> Iterator[Finding]:
    positive = spectrum[spectrum > 1e-12 * spectrum[0]]
    updates = max(run.trace.steps, len(run.changes))
    left = float(np.abs(1 - min(rate, 1 / positive[0]) * positive[-1]) ** updates)
    needed = float(np.log(100) / (rate * positive[-1])) if rate * positive[-1] > 0 else np.inf
    if left < 0.5:
        return
    if raw and positive[0] / positive[-1] > 1e3:
        yield _not_standardized(
            run, rate, 2 / positive[0], positive[0] / positive[-1], "likely" if run.problem is None else "possible"
        )
    yield Finding(
        key="lr-too-low",
        confidence="likely" if left > 0.97 and not raw else "possible",
        evidence=f"After {updates} updates at learning rate {rate:.4g} the slowest direction keeps {100 * left:.3g} % of its distance from "
        f"the optimum; to keep 1 % takes {needed:.3g} updates.",
        numbers={"lr": rate, "updates": updates, "updates_needed": needed, "lr_best": float(2 / (positive[0] + positive[-1]))},
        source=run.line_with("lr=", "lr =", "learning_rate") or run.changes[0].line,
    )


def _hardly_moved(run: Run, lr: float) -> Iterator[Finding]:
    """For other optimizers: the parameters moved by a small part of their distance from least squares."""
    optimum = least_squares(run)
    if optimum is None:
        return
    numbers = sorted(run.trained)
    first, last = flatten(run.trace.initial, numbers), flatten(run.trace.final, numbers)
    w = optimum(first)
    if w is None or not np.isfinite(last).all():
        return
    before, after = np.linalg.norm(first - w), np.linalg.norm(last - w)
    if before > 0 and after > 0.5 * before:
        yield Finding(
            key="lr-too-low",
            confidence="likely" if after > 0.97 * before else "possible",
            evidence=f"After {run.trace.steps} updates at learning rate {lr:.4g} the parameters keep {100 * after / before:.3g} % of "
            "their first distance from least squares.",
            numbers={"lr": lr, "updates": run.trace.steps, "left": float(after / before)},
            source=run.line_with("lr=", "lr =", "learning_rate") or run.changes[0].line,
        )


def least_squares(run: Run):
    """Return a function that gives the optimum in the layout of a vector of parameters; None if the model is not linear."""
    pairs = [batch for batch in run.batches if batch.comparison is not None and len(batch.comparison.targets) == len(batch.rows)]
    if not pairs or not _is_linear(run) or len({batch.forward.inputs.shape[1] for batch in pairs}) != 1:
        return None
    rows = {
        int(row): (x, t)
        for batch in pairs
        for row, x, t in zip(batch.rows, batch.forward.inputs, batch.comparison.targets, strict=True)
    }
    X, y = np.array([x for x, _ in rows.values()]), np.array([t for _, t in rows.values()])
    if not np.isfinite(X).all() or not np.isfinite(y).all():
        return None
    with_intercept = _has_intercept(run)
    A = np.column_stack([X, np.ones(len(X))]) if with_intercept else X
    solution = np.linalg.lstsq(A, y, rcond=None)[0]
    numbers = sorted(run.trained)
    sizes = [len(run.trace.initial[number]) for number in numbers]

    def place(first: Array) -> Array | None:
        if not with_intercept:
            return solution if len(numbers) == 1 else None
        if sorted(sizes) != sorted([X.shape[1], 1]):
            return None
        slopes_first = sizes[0] == X.shape[1] and (
            X.shape[1] > 1 or len(run.trace.parameters[numbers[0]].shape) >= len(run.trace.parameters[numbers[1]].shape)
        )
        return solution if slopes_first else np.concatenate([solution[-1:], solution[:-1]])

    return place


def _not_finite(run: Run, bad: int, *, explained: bool) -> Iterator[Finding]:
    before = [backward.loss for backward in run.backwards[: bad - 1]]
    last = f"{before[-1]:.4g}" if before else "none"
    yield Finding(
        key="nan-loss",
        confidence="certain",
        evidence=f"The loss of backward pass {bad} is not finite; the one before is {last}."
        if bad <= len(run.backwards)
        else "The parameters are not finite at the end.",
        numbers={"backward_pass": bad},
        source=run.backwards[min(bad, len(run.backwards)) - 1].line if run.backwards else None,
    )
    if not explained:
        yield Finding(
            key="lr-too-high",
            confidence="possible",
            evidence="A learning rate above its limit ends in values that are not finite too.",
        )
