"""The updates of a run: each step of an optimizer or by hand, with the backward passes whose gradients it uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from squarely.checkup.findings import SourceLine
from squarely.checkup.recorder.trace import Backward, Event, Forward, Step, TargetComparison, Trace, Update, Values
from squarely.numerics import Array

_BY_HAND, _BESIDE = 1e-2, 1e-3  # float32 rounding of a small update; the second where a write may have another reason


@dataclass(slots=True, kw_only=True, eq=False)
class Change:
    """The parameters changed, or an optimizer stepped.

    Attributes
    ----------
    index : of the event.
    step : the Step event; None for an update by hand.
    before, after : values of the parameters; those of an update by hand are all that changed.
    new : the backward passes whose contributions are used here first.
    old : those that an earlier change had used.
    gradients : what the change used, by parameter.
    scale : the factor by which the gradients were multiplied after the backward passes, NaN if they changed otherwise.
    expected : the mean of the gradients of the mean squared error of the `new` passes, weighted by their rows; None where unknown.
    rows : of the `new` passes together.
    factor : gradients = factor * expected, NaN if no number does it.
    lr : of the optimizer's first group; None for an update by hand.
    line : of the user.
    """

    index: int
    step: Step | None
    before: Values
    after: Values
    new: list[Backward]
    old: list[Backward]
    gradients: Values
    scale: float
    expected: Values | None
    rows: int
    factor: float
    lr: float | None
    line: SourceLine | None

    @property
    def difference(self) -> Values:
        """What was added to each parameter."""
        return {number: after - self.before[number] for number, after in self.after.items()}

    @property
    def moved(self) -> bool:
        """Whether any parameter changed."""
        return any((values != self.before[number]).any() for number, values in self.after.items())


def flatten(values: Values, numbers: list[int]) -> Array:
    """Return the values of parameters as one vector; absent ones must be given zeros by the caller."""
    return np.concatenate([values[number] for number in numbers]) if numbers else np.zeros(0)


def proportion(actual: Values, expected: Values, *, tolerance: float = 1e-3) -> float:
    """Return c where actual = c * expected to `tolerance`, relative to the largest entry; NaN if there is none."""
    numbers = sorted(set(actual) & set(expected))
    left, right = flatten(actual, numbers), flatten(expected, numbers)
    size = float(right @ right)
    if not numbers or not np.isfinite(left).all() or not np.isfinite(right).all() or size == 0:
        return np.nan
    factor = float(left @ right) / size
    error = np.abs(left - factor * right).max()
    return factor if error <= tolerance * max(float(np.abs(left).max()), 1e-30) else np.nan


def add_up(terms: Iterable[Values]) -> Values:
    """Return the sum by parameter."""
    total: Values = {}
    for term in terms:
        for number, values in term.items():
            total[number] = total.get(number, 0.0) + values
    return total


def find_changes(trace: Trace, trained: set[int]) -> list[Change]:
    """Return the steps of optimizers, and the updates by hand that use a gradient.

    Other writes are no changes: weights that are loaded, averaged, clamped or shrunk.
    """
    used: dict[int, set[int]] = {}  # by parameter: the backward passes that changes have used
    last: Backward | None = None
    changes: list[Change] = []
    optimizers = any(isinstance(event, Step) for event in trace.events)
    for event in trace.events:
        if isinstance(event, Backward):
            last = event
        elif isinstance(event, Step):
            new, old = _split_sources(event.sources, event.parameters, used)
            scale = _common(event.scales[number] for number in event.parameters if number in event.gradients)
            changes.append(_make_change(trace.events, event, (new, old), event.gradients, scale, step=event))
        elif isinstance(event, Update) and last is not None and trained & set(event.after):
            change = _change_by_hand(trace.events, event, last, used, alone=not optimizers)
            changes += [] if change is None else [change]
    return changes


def _change_by_hand(
    events: list[Event], update: Update, last: Backward, used: dict[int, set[int]], *, alone: bool
) -> Change | None:
    """Return an update without an optimizer as a change if it uses the gradient; `alone` means that the run has no optimizer."""
    gradients, sources = (last.gradients, last.sources) if update.gradients is None else (update.gradients, update.sources)
    numbers = [number for number in update.after if number in gradients]
    known = {number: set(passes) for number, passes in used.items()}
    new, old = _split_sources(sources, numbers, known)
    mine = {number: gradients[number] for number in numbers}
    difference = {number: update.after[number] - update.before[number] for number in numbers}
    moved = any(values.any() for values in difference.values())
    along = proportion(difference, mine, tolerance=_BY_HAND if alone else _BESIDE) < 0
    if not (along or (alone and (new or not (moved or old)))):
        return None
    used |= known
    scale = _common(update.scales.get(number, 1.0) for number in numbers)
    return _make_change(events, update, (new, old), mine, scale, step=None)


def _common(factors: Iterable[float]) -> float:
    values = np.array(list(factors) or [1.0])
    return float(values[0]) if np.allclose(values, values[0], rtol=2e-3) else np.nan


def _split_sources(
    sources: Mapping[int, tuple[int, ...]], numbers: Iterable[int], used: dict[int, set[int]]
) -> tuple[set[int], set[int]]:
    new: set[int] = set()
    old: set[int] = set()
    for number in numbers:
        before = used.setdefault(number, set())
        new |= set(sources.get(number, ())) - before
        old |= set(sources.get(number, ())) & before
        before |= set(sources.get(number, ()))
    return new, old


def _make_change(
    events: list[Event],
    event: Step | Update,
    passes: tuple[set[int], set[int]],
    gradients: Values,
    scale: float,
    *,
    step: Step | None,
) -> Change:
    new = _backwards(events, passes[0])
    rows = [sum(len(forward.inputs) for forward in _forwards(events, one)) for one in new]
    expected = _mean_gradient(new, rows)
    return Change(
        index=event.index,
        step=step,
        before=event.before,
        after=event.after,
        new=new,
        old=_backwards(events, passes[1]),
        gradients=gradients,
        scale=scale,
        expected=expected,
        rows=sum(rows),
        factor=np.nan if expected is None else proportion(gradients, expected),
        lr=None if step is None else step.lrs[0],
        line=event.line,
    )


def _backwards(events: list[Event], indices: set[int]) -> list[Backward]:
    return [event for index in sorted(indices) if isinstance(event := events[index], Backward)]


def _forwards(events: list[Event], backward: Backward) -> list[Forward]:
    return [event for index in backward.forwards if isinstance(event := events[index], Forward)]


def _mean_gradient(passes: list[Backward], rows: list[int]) -> Values | None:
    if not passes or sum(rows) == 0 or any(one.mse_gradient is None for one in passes):
        return None
    return add_up(
        {number: values * (weight / sum(rows)) for number, values in (one.mse_gradient or {}).items()}
        for one, weight in zip(passes, rows, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """How much one forward pass counts in a gradient: 1 for the mean squared error of its rows.

    Attributes
    ----------
    forward : the index of the Forward event.
    rows : of the forward pass.
    factor : the gradient has `factor` times that of the mean squared error in it; NaN where it has none.
    """

    forward: int
    rows: int
    factor: float


def weigh_forwards(trace: Trace, change: Change) -> list[Weight]:
    """Return the weight of each forward pass in the gradient that a change uses, before the gradient was scaled."""
    factors: dict[int, float] = {}
    for backward in change.new:
        for forward in _forwards(trace.events, backward):
            factors[forward.index] = factors.get(forward.index, 0.0) + _weight_of(trace, backward, forward)
    return [Weight(forward=index, rows=_rows(trace, index), factor=factor) for index, factor in factors.items()]


def _rows(trace: Trace, index: int) -> int:
    forward = trace.events[index]
    return len(forward.inputs) if isinstance(forward, Forward) else 0


def _weight_of(trace: Trace, backward: Backward, forward: Forward) -> float:
    v = backward.loss_gradients.get(forward.index)
    for index in backward.comparisons if v is not None else ():
        pair = trace.events[index]
        if isinstance(pair, TargetComparison) and pair.forward == forward.index and len(pair.predictions) == len(v):  # type: ignore[arg-type]
            return proportion({0: v}, {0: 2 * (pair.predictions - pair.targets) / len(pair.targets)}, tolerance=1e-2)  # type: ignore[dict-item]
    if len(backward.forwards) == 1 and backward.mse_gradient is not None:
        return proportion(backward.chain or backward.contribution, backward.mse_gradient, tolerance=1e-2)
    return np.nan
