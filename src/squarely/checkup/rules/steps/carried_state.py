"""Runs that start where another run has ended: inside one call, and from one call to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from squarely.checkup.findings import Finding
from squarely.checkup.recorder.trace import LoaderStart, Step, Update, Values
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import Change

_MOST_PHASES = 40
_LEAST_STEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    """Successive updates with one optimizer on one set of rows.

    Attributes
    ----------
    changes : the updates.
    rows : the rows that they used.
    uses : how many times on average they used each.
    """

    changes: list[Change]
    rows: frozenset[int]
    uses: float


def check_carried_state(run: Run) -> Iterator[Finding]:
    """Look for several trainings in one call, of which one starts with the parameters or the optimizer state of another."""
    yield from _left_in_optimizer(run)
    phases = _find_phases(run)
    if not 2 <= len(phases) <= _MOST_PHASES or not all(_continues(run, first, second) for first, second in pairwise(phases)):
        return
    steps = [len(phase.changes) for phase in phases]
    if min(steps) < _LEAST_STEPS or max(steps) > 1.25 * min(steps) or min(phase.uses for phase in phases) < 1.9:
        return
    folds = all(_overlap(first, second) for first, second in pairwise(phases))
    optimizers = {phase.changes[0].step.optimizer for phase in phases if phase.changes[0].step is not None}
    if not folds and len(optimizers) < len(phases):
        return
    yield Finding(
        key="state-carried-over",
        confidence="likely" if folds and len(phases) > 2 else "possible",
        evidence=f"The loop trains {len(phases)} times, {steps[0]} steps each, "
        + ("on sets of rows that overlap" if folds else "with an optimizer each")
        + ". Each training after the first starts with the parameters at which the one before ended.",
        numbers={"trainings": len(phases), "largest_difference": 0.0},
        source=phases[1].changes[0].line,
    )


def _find_phases(run: Run) -> list[_Phase]:
    changes = [change for change in run.changes if change.new]
    streams = _streams(run, changes)
    keyed = [
        (None if change.step is None else change.step.optimizer, stream) for change, stream in zip(changes, streams, strict=True)
    ]
    groups = [(key, [index for index, _ in group]) for key, group in groupby(enumerate(keyed), key=lambda entry: entry[1])]
    if len({key for key, _ in groups}) < len(groups) or len(groups) > _MOST_PHASES:
        return []
    phases = []
    for _, indices in groups:
        rows = [row for index in indices for row in _rows(run, changes[index])]
        distinct = frozenset(rows)
        phases.append(_Phase(changes=[changes[index] for index in indices], rows=distinct, uses=len(rows) / max(len(distinct), 1)))
    return phases


def _streams(run: Run, changes: list[Change]) -> list[int]:
    """Return, for each change, the number of its loader, or of its set of rows if there are few sets."""
    starts: list[LoaderStart] = run.loader_starts
    if starts:
        positions = np.array([start.index for start in starts])
        places = [int(np.searchsorted(positions, min(change.new[0].forwards, default=0))) - 1 for change in changes]
        return [starts[place].loader if place >= 0 else -1 for place in places]
    sets: dict[frozenset[int], int] = {}
    numbers = [sets.setdefault(frozenset(_rows(run, change)), len(sets)) for change in changes]
    return numbers if len(sets) <= _MOST_PHASES and 2 * len(sets) < len(changes) else [0] * len(changes)


def _rows(run: Run, change: Change) -> list[int]:
    used = {index for backward in change.new for index in backward.forwards}
    return [row for index in used for row in run.rows_of_forward.get(index, ())]


def _continues(run: Run, first: _Phase, second: _Phase) -> bool:
    after, before = first.changes[-1].after, second.changes[0].before
    return bool(run.trained & set(after)) and all(
        number in before and np.array_equal(after[number], before[number]) for number in run.trained & set(after)
    )


def _overlap(first: _Phase, second: _Phase) -> bool:
    shared = len(first.rows & second.rows)
    return first.rows != second.rows and shared < min(len(first.rows), len(second.rows)) and shared > 0.4 * len(second.rows)


def _left_in_optimizer(run: Run) -> Iterator[Finding]:
    """Parameters are set to their first values, and the optimizer goes on with the state of the steps before."""
    steps: list[Step] = run.events(Step)
    for update in run.updates:
        later = [step for step in steps if step.index > update.index]
        if len(steps) - len(later) < _LEAST_STEPS or len(later) < _LEAST_STEPS or not later[0].had_state:
            continue
        if _is_reset(run, update):
            yield _left_over(later[0], "The parameters are set to their first values", "likely")
            return


def _is_reset(run: Run, update: Update) -> bool:
    initial: Values = run.trace.initial
    numbers = run.trained & set(update.after)
    return numbers == run.trained and all(np.array_equal(update.after[number], initial[number]) for number in numbers)


def _left_over(step: Step, start: str, confidence: str) -> Finding:
    return Finding(
        key="state-carried-over",
        confidence=confidence,
        evidence=f"{start}, and the {step.optimizer_class} optimizer still has the state of the steps before.",
        numbers={"largest_difference": 0.0},
        source=step.line,
    )


def compare_calls(first: Run, second: Run, *, fresh: bool) -> Finding | None:
    """Return a finding if a second call of a loop starts with what the first call has left; `fresh` means with new arguments."""
    started, ended, again = (
        first.trained_values(first.trace.initial),
        first.trained_values(first.trace.final),
        second.trained_values(second.trace.initial),
    )
    if (
        len(ended) == len(again)
        and np.isfinite(ended).all()
        and np.array_equal(ended, again)
        and not np.array_equal(started, ended)
    ):
        return Finding(
            key="state-carried-over",
            confidence="certain" if fresh else "possible",
            evidence="A second call starts with the parameters at which the first call ended: the model is not created again.",
            numbers={"largest_difference": 0.0},
            source=first.line_with("nn.Linear(", "Sequential(", "requires_grad=True", "Model("),
        )
    before, steps = first.events(Step), second.events(Step)
    if before and steps and steps[0].had_state and not before[0].had_state:
        return _left_over(steps[0], "A second call creates or resets the parameters", "certain" if fresh else "possible")
    return None
