"""What is added to a gradient or to an update: a multiple of the parameters (weight decay), or of the one before (momentum)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from squarely.checkup.findings import Finding, Remark, SourceLine
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import Change, add_up, proportion
from squarely.numerics import Array

_FITS = 2e-3  # of the largest entry: float32 rounding of a difference of parameters
_LEAST = 6  # updates for a fit with three numbers
_DECAY_NAMES = ("weight_decay", "wd", "l2", "decay", "ridge", "penalty")
_VAGUE = ("alpha", "lam", "lambda", "reg")  # names of a penalty, and of other things
_MOMENTUM_NAMES = ("momentum", "beta", "beta1", "mu", "rho", "gamma")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A series of vectors as a sum: main * the expected vector + decay * parameters + momentum * the vector before."""

    main: float
    decay: float
    momentum: float


def check_added_terms(run: Run) -> Iterator[Finding | Remark]:
    """Look for weight decay and momentum in the gradients, in the updates by hand, and between the steps of an optimizer."""
    changes = run.changes
    if len(changes) < _LEAST or any(change.old for change in changes):
        return
    results: list[Finding | Remark] = [*_in_gradients(run, changes)]
    if all(change.step is None or not change.step.built_in for change in changes):
        results = results or [*_in_updates(run, changes)]
    elif all(change.step is not None for change in changes):
        results = results or [*_between_steps(run, changes)]
    yield from results


def _in_gradients(run: Run, changes: list[Change]) -> Iterator[Finding | Remark]:
    """A term that is added to `grad` between backward() and step()."""
    computed = [add_up(backward.contribution for backward in change.new) for change in changes]
    for number in sorted(run.trained):
        known = [
            (change, total)
            for change, total in zip(changes, computed, strict=True)
            if number in change.gradients and number in total and number in change.before
        ]
        pairs = [(before[0], *entry) for before, entry in pairwise(known)]
        fit = _fit(
            [change.gradients[number] for _, change, _ in pairs],
            [total[number] for _, _, total in pairs],
            [change.before[number] for _, change, _ in pairs],
            [before.gradients[number] for before, _, _ in pairs],
        )
        if fit is not None and (fit.momentum or (fit.decay > 0 and abs(fit.main - 1) < 0.01)):
            yield from _read(run, fit, fit.decay, changes[0].line, "gradient")
            return


def _in_updates(run: Run, changes: list[Change]) -> Iterator[Finding | Remark]:
    """An update by hand, or of an optimizer that is not torch's."""
    if all(np.isfinite(proportion(change.difference, change.gradients, tolerance=_FITS)) for change in changes):
        return
    for number in sorted(run.trained):
        pairs = [
            (before, change)
            for before, change in pairwise(changes)
            if all(number in values for values in (before.after, change.after, change.gradients))
        ]
        fit = _fit(
            [change.difference[number] for _, change in pairs],
            [change.gradients[number] for _, change in pairs],
            [change.before[number] for _, change in pairs],
            [before.difference[number] for before, _ in pairs],
        )
        if fit is not None and (fit.decay or fit.momentum):
            yield from _read(run, fit, fit.decay / fit.main if fit.main else np.nan, changes[0].line, "update")
            return


def _between_steps(run: Run, changes: list[Change]) -> Iterator[Finding | Remark]:
    """What is added to the parameters between the steps of an optimizer."""
    for number in sorted(run.trained):
        triples = [
            (before, change, after)
            for before, change, after in zip(changes[:-2], changes[1:-1], changes[2:], strict=True)
            if all(number in one.before and number in one.after for one in (before, change, after))
        ]
        added = [after.before[number] - change.after[number] for _, change, after in triples]
        if sum(bool(values.any()) for values in added) < max(0.3 * len(changes), _LEAST - 2):
            continue
        zeros = [np.zeros_like(values) for values in added]
        shrunk = [change.after[number] for _, change, _ in triples]
        moves = [change.before[number] - before.before[number] for before, change, _ in triples]
        fit = _fit(added, zeros, shrunk, moves)
        if fit is not None and (fit.decay or fit.momentum):
            yield from _read(run, fit, -fit.decay, _line_between(run, changes), "parameters")
            return


def _line_between(run: Run, changes: list[Change]) -> SourceLine | None:
    first, last = changes[0].index, changes[-1].index
    events = [event for event in run.updates if first < event.index < last]
    return events[0].line if events else changes[0].line


def _fit(found: list[Array], main: list[Array], parameters: list[Array], before: list[Array]) -> _Fit | None:
    """Return the simplest sum that gives `found` in every update; None if none does, or the updates are too few."""
    if len(found) < _LEAST - 2:
        return None
    b = np.concatenate(found)
    A = np.column_stack([np.concatenate(part) for part in (main, parameters, before)])
    if len(b) < _LEAST or not np.isfinite(A).all() or not np.isfinite(b).all() or not b.any():
        return None
    for columns in ([0], [0, 1], [0, 2], [0, 1, 2]):
        coefficients, *_ = np.linalg.lstsq(A[:, columns], b, rcond=None)
        if np.abs(A[:, columns] @ coefficients - b).max() <= _FITS * np.abs(b).max():
            by_column = dict(zip(columns, map(float, coefficients), strict=True))
            return _Fit(main=by_column[0], decay=by_column.get(1, 0.0), momentum=by_column.get(2, 0.0))
    return None


def _read(run: Run, fit: _Fit, decay: float, line: SourceLine | None, what: str) -> Iterator[Finding | Remark]:
    if abs(fit.momentum) > 1e-3:
        yield _momentum(run, fit.momentum, line, what)
    if abs(fit.decay) > 1e-6:
        yield _decay(run, decay, line, what)


def _momentum(run: Run, momentum: float, line: SourceLine | None, what: str) -> Finding | Remark:
    declared = run.declares(*_MOMENTUM_NAMES) or _option(run, "momentum")
    if declared:
        return Remark(f"The update has momentum, declared as {declared!r}.")
    named = any(word in run.source.lower() for word in ("momentum", "nesterov", "heavy ball"))
    text = {
        "gradient": f"The gradient of each step has {momentum:.4g} times that of the step before in it.",
        "update": f"Each update has {momentum:.4g} times the update before in it.",
        "parameters": f"After each step, {momentum:.4g} times the move before is added to the parameters.",
    }
    return Finding(
        key="undeclared-momentum",
        confidence="possible" if named else "likely",
        evidence=text[what],
        numbers={"found_momentum": momentum, "expected_momentum": 0.0},
        source=line,
    )


def _decay(run: Run, decay: float, line: SourceLine | None, what: str) -> Finding | Remark:
    declared = run.declares(*_DECAY_NAMES) or _option(run, "weight_decay")
    vague = run.declares(*_VAGUE)
    if declared:
        return Remark(f"The update has weight decay, declared as {declared!r}.")
    if what == "parameters":
        text = f"Beside the steps of the optimizer, parameters are multiplied by {1 - decay:.6g}."
    else:
        text = f"The gradient of each step has {decay:.4g} times the parameters in it."
    return Finding(
        key="undeclared-weight-decay",
        confidence="possible" if vague else "certain" if what == "parameters" else "likely",
        evidence=text + (f" It may be what {vague!r} declares." if vague else ""),
        numbers={"found_weight_decay": decay, "expected_weight_decay": 0.0},
        source=line,
    )


def _option(run: Run, name: str) -> str | None:
    """Return the name of an option of the optimizer that declares a term, if it is not 0."""
    return next((name for change in run.changes if change.step is not None and change.step.options.get(name)), None)
