"""Which gradients an update uses: those of this step, of earlier steps, or none."""

from __future__ import annotations

from collections.abc import Iterator

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import Forward, ZeroGrad
from squarely.checkup.rules.run import Change, Run


def check_gradients(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the backward passes in each gradient with those since the last update."""
    findings = [*_old_gradients(run), *_repeated_graphs(run), *_stale(run), *_twice(run), *_empty(run)]
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
    confidence = "certain" if len(mixed) > 1 else "likely"
    yield Finding(
        key="no-zero-grad",
        confidence=confidence,
        evidence=f"The gradient of step {number} is the sum of {passes} backward passes, of which earlier steps have used "
        f"{len(change.old)}. {len(mixed)} of {len(run.changes)} steps are like this.",
        numbers={"step": number, "expected_passes": len(change.new), "found_passes": passes},
        source=change.line,
    )


def _repeated_graphs(run: Run) -> Iterator[Finding]:
    updates = [change.index for change in run.changes]
    for number, backward in enumerate(run.backwards, 1):
        earlier = [index for index in backward.repeated if any(index < update < backward.index for update in updates)]
        if earlier:
            yield Finding(
                key="backward-on-accumulated-loss",
                confidence="certain",
                evidence=f"The loss of backward pass {number} contains {len(backward.forwards)} forward passes, of which earlier "
                f"steps have used {len(earlier)}.",
                numbers={"backward_pass": number, "expected_forwards": len(backward.forwards) - len(earlier)},
                source=backward.line,
            )
            return


def _stale(run: Run) -> Iterator[Finding]:
    """A gradient of weights that a step has changed since: its forward pass lies before the previous update."""
    stale = []
    before = -1
    for number, change in _numbered(run):
        forwards = [index for backward in change.new for index in backward.forwards if index not in backward.repeated]
        if forwards and not change.old and min(forwards) < before:
            stale.append((number, change))
        if change.moved:
            before = change.index
    if len(stale) < 2:
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


def _twice(run: Run) -> Iterator[Finding]:
    again = [(number, change) for number, change in _numbered(run) if change.old and not change.new and change.moved]
    if not again:
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


def _empty(run: Run) -> Iterator[Finding]:
    """Steps without any gradient, though there are backward passes."""
    empty = [
        change
        for change in run.changes
        if not change.new and not change.old and not change.moved and set(change.after) & run.trained
    ]
    if not run.backwards or len(empty) < 2 or len(empty) < 0.5 * len(run.changes):
        return
    change = empty[-1]
    zeros = [event.index for event in run.events(ZeroGrad) if event.index < change.index]
    forward = max((event.index for event in run.events(Forward) if event.index < change.index), default=-1)
    is_early = any(forward in backward.forwards and backward.index > change.index for backward in run.backwards)
    first = "step-before-backward" if not zeros or is_early else "zero-grad-before-step"
    second = "zero-grad-before-step" if first == "step-before-backward" else "step-before-backward"
    line = next((event.line for event in reversed(run.events(ZeroGrad)) if event.index < change.index), change.line)
    text = f"{len(empty)} of {len(run.changes)} steps find no gradient, although {run.trace.backwards} backward passes ran."
    yield Finding(
        key=first,
        confidence="certain",
        evidence=text
        + (
            " The step comes before the backward pass of its iteration."
            if first == "step-before-backward"
            else " The gradients are set to zero between the backward pass and the step."
        ),
        numbers={"empty_steps": len(empty)},
        source=change.line if first == "step-before-backward" else line,
    )
    yield Finding(key=second, confidence="possible", evidence=text, numbers={"empty_steps": len(empty)}, source=change.line)
