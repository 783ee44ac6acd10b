"""Which gradients an update uses: those of this step, of earlier steps, or none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from squarely.checkup.findings import Finding, Remark, SourceLine, Verified
from squarely.checkup.recorder.trace import Backward, Step, ZeroGrad
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import Change, proportion


def check_gradients(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the backward passes in each gradient with those since the last update."""
    findings = [*_old_gradients(run), *_repeated_graphs(run), *_stale(run), *_twice(run), *_empty(run), *_same_pass_twice(run)]
    yield from findings
    if run.changes and not findings:
        yield Verified(f"Each of {len(run.changes)} updates uses the gradients of its own step.")


def _numbered(run: Run) -> Iterator[tuple[int, Change]]:
    return enumerate(run.changes, 1)


def _old_gradients(run: Run) -> Iterator[Finding]:
    mixed = [(number, change) for number, change in _numbered(run) if change.new and change.old]
    if not mixed:
        return
    number, change = mixed[0]
    passes = len(change.new) + len(change.old)
    shrunk = [change.scale for _, change in mixed if np.isfinite(change.scale) and 0 < change.scale < 0.9999]
    if len(shrunk) > 0.5 * len(mixed):  # the old gradients are multiplied by a number, as momentum does
        yield Finding(
            key="undeclared-momentum",
            confidence="likely",
            evidence=f"The gradient of step {number} has {shrunk[0]:.4g} times that of the step before in it.",
            numbers={"found_momentum": shrunk[0], "expected_momentum": 0.0},
            source=change.line,
        )
    yield Finding(
        key="no-zero-grad",
        confidence="likely" if shrunk or len(mixed) == 1 else "certain",
        evidence=f"The gradient of step {number} is the sum of {passes} backward passes, of which earlier steps have used "
        f"{len(change.old)}. {len(mixed)} of {len(run.changes)} steps are like this.",
        numbers={"step": number, "expected_passes": len(change.new), "found_passes": passes},
        source=change.line,
    )


def _repeated_graphs(run: Run) -> Iterator[Finding]:
    """A loss that holds forward passes of earlier steps: beside new ones it is a sum over steps, without them it is old."""
    updates = [change.index for change in run.changes]
    for number, backward in enumerate(run.backwards, 1):
        earlier = [index for index in backward.repeated if any(index < update < backward.index for update in updates)]
        if not earlier:
            continue
        accumulated = Finding(
            key="backward-on-accumulated-loss",
            confidence="certain",
            evidence=f"The loss of backward pass {number} contains {len(backward.forwards)} forward passes, of which earlier "
            f"steps have used {len(earlier)}.",
            numbers={"backward_pass": number, "expected_forwards": len(backward.forwards) - len(earlier)},
            source=backward.line,
        )
        stale = Finding(
            key="stale-gradient",
            confidence="certain",
            evidence=f"Backward pass {number} runs on the forward pass of an earlier step: its weights are no longer those of the "
            "model.",
            numbers={"backward_pass": number},
            source=backward.line,
        )
        yield stale if len(earlier) == len(backward.forwards) else accumulated
        return


def _stale(run: Run) -> Iterator[Finding]:
    """A gradient of weights that a step has changed since: its forward pass lies before the previous update."""
    stale = []
    before = -1
    for number, change in _numbered(run):
        forwards = [index for backward in change.new for index in backward.forwards if index not in backward.repeated]
        if forwards and not change.old and min(forwards) < before:
            stale.append((number, change))
        if change.moved and _shares_parameters(change, run.changes[number : number + 1]):
            before = change.index
    if len(stale) < 2:
        yield from _late(run)
        return
    number, change = stale[0]
    text = (
        f"Step {number} uses the gradient of a forward pass that lies before the previous step: its weights are no longer those of "
        f"the model. {len(stale)} of {len(run.changes)} steps are like this."
    )
    yield Finding(key="stale-gradient", confidence="certain", evidence=text, numbers={"step": number}, source=change.line)
    yield Finding(
        key="step-before-backward",
        confidence="likely",
        evidence="In each iteration the step comes before the backward pass, so it uses the gradient of the iteration before.",
        numbers={"step": number},
        source=change.line,
    )


def _late(run: Run) -> Iterator[Finding]:
    """Each step uses the gradient of the batch before, at weights that no step has changed since: only the ends differ."""
    first = run.changes[0] if run.changes else None
    if (
        len(run.changes) < 3
        or first is None
        or not run.backwards
        or first.index > run.backwards[0].index
        or first.new
        or first.moved
    ):
        return
    text = (
        "In each iteration the step comes before the backward pass: the first step has no gradient, the others use that of the "
        "batch before, and nothing uses the last one."
    )
    for key in ("step-before-backward", "stale-gradient"):
        yield Finding(key=key, confidence="possible", evidence=text, numbers={"step": 1}, source=first.line)


def _shares_parameters(change: Change, following: list[Change]) -> bool:
    """Return whether the next change is of the same parameters: two optimizers of one model take turns on one gradient."""
    return not following or bool(set(change.after) & set(following[0].after))


def _twice(run: Run) -> Iterator[Finding]:
    again = [(number, change) for number, change in _numbered(run) if change.old and not change.new and change.moved]
    by_optimizer = [change for _, change in again if change.step is not None]
    if not again or (not by_optimizer and len(again) < 0.3 * len(run.changes)):  # a write that is along the gradient by chance
        return
    number, change = again[0]
    yield Finding(
        key="double-step",
        confidence="certain" if len(again) > 1 else "likely",
        evidence=f"Step {number} uses a gradient that a step has used already: there is no backward pass between them. "
        f"{len(again)} of {len(run.changes)} steps are like this.",
        numbers={"step": number, "steps": len(run.changes), "backward_passes": run.trace.backwards},
        source=change.line,
    )


def _same_pass_twice(run: Run) -> Iterator[Finding]:
    """Two backward passes of one step through the same predictions, with the same gradient: each row counts twice."""
    again = [(number, change) for number, change in _numbered(run) if any(_is_repeated(*two) for two in pairwise(change.new))]
    if len(again) > max(1, 0.5 * len(run.changes)):
        number, change = again[0]
        yield Finding(
            key="double-step",
            confidence="likely",
            evidence=f"The gradient of step {number} has {len(change.new)} backward passes through the same predictions in it, so "
            f"each row counts more than once. {len(again)} of {len(run.changes)} steps are like this.",
            numbers={"step": number, "expected_passes": 1, "found_passes": len(change.new)},
            source=change.new[-1].line,
        )


def _is_repeated(first: Backward, second: Backward) -> bool:
    same = bool(first.forwards) and first.forwards == second.forwards and first.loss == second.loss
    return same and abs(proportion(second.contribution, first.contribution) - 1) < 1e-3


def _empty(run: Run) -> Iterator[Finding]:
    """Steps without any gradient, though the backward passes compute one."""
    empty = [
        change
        for change in run.changes
        if not change.new and not change.old and not change.moved and set(change.after) & _reached_lately(run, change)
    ]
    if len(empty) < 2 or len(empty) < 0.5 * len(run.changes):
        return
    if not any(values.any() for backward in run.backwards for values in backward.contribution.values()):
        return
    early = empty[0].index < run.backwards[0].index  # the first iteration already has the wrong order
    first, second = ("step-before-backward", "zero-grad-before-step")[:: 1 if early else -1]
    text = f"{len(empty)} of {len(run.changes)} steps find no gradient, although {run.trace.backwards} backward passes ran."
    order = (
        "The step comes before the backward pass of its iteration."
        if early
        else "The gradients are set to zero between the backward pass and the step."
    )
    yield Finding(
        key=first,
        confidence="certain",
        evidence=f"{text} {order}",
        numbers={"empty_steps": len(empty)},
        source=empty[-1].line if early else _line_of_zero_grad(run, empty[-1]),
    )
    yield Finding(key=second, confidence="possible", evidence=text, numbers={"empty_steps": len(empty)}, source=empty[-1].line)


def _reached_lately(run: Run, change: Change) -> set[int]:
    """The parameters in the graph of the last backward pass before a change, or of all if there is none."""
    before = [backward for backward in run.backwards if backward.index < change.index]
    return set(before[-1].reached) if before else run.trained


def _line_of_zero_grad(run: Run, change: Change) -> SourceLine | None:
    zeros = [event for event in run.events(ZeroGrad) if event.index < change.index]
    return zeros[-1].line if zeros and isinstance(change.step, Step) else change.line
