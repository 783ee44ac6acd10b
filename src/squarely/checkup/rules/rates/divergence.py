"""Whether a run diverges, and where values stop being finite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding
from squarely.checkup.recorder.trace import Backward, Forward, TargetComparison
from squarely.checkup.rules.run import Run

_BLOWN_UP = 1e3  # times the first loss


def diverged(run: Run) -> bool:
    """Return whether the loss grows, or is not finite."""
    return bool(run.backwards) and (first_not_finite(run) is not None or loss_grows(run))


def first_not_finite(run: Run) -> int | None:
    """Return the number of the first backward pass whose loss is not finite; one more than all if the parameters end so."""
    for number, backward in enumerate(run.backwards, 1):
        if not np.isfinite(backward.loss) and any(len(values) for values in backward.loss_gradients.values()):
            return number
    final = [values for number, values in run.trace.final.items() if number in run.trained]
    return len(run.backwards) + 1 if any(not np.isfinite(values).all() for values in final) else None


def loss_grows(run: Run) -> bool:
    """Return whether the median of the last fifth of the losses is more than 3 times the first."""
    losses = finite_losses(run)
    tail = losses[-max(len(losses) // 5, 1) :]
    return len(losses) > 3 and float(np.median(tail)) > 3 * max(losses[0], 1e-30)


def finite_losses(run: Run) -> list[float]:
    """Return the losses that are finite."""
    return [backward.loss for backward in run.backwards if np.isfinite(backward.loss)]


def find_not_finite(run: Run, bad: int, *, explained: bool) -> Iterator[Finding]:
    """Say where the first value that is not finite comes from. If the learning rate explains it, it is only a consequence."""
    backward = run.backwards[bad - 1] if bad <= len(run.backwards) else None
    cause = None if backward is None else _cause(run, backward)
    before = [one.loss for one in run.backwards[: bad - 1]]
    found = "The parameters are not finite at the end." if backward is None else f"The loss of backward pass {bad} is not finite."
    last = f" The loss before is {before[-1]:.4g}." if before else ""
    yield Finding(
        key="nan-loss",
        confidence="possible" if explained and cause is None else "certain",
        evidence=found + last + (f" {cause}" if cause else ""),
        numbers={"backward_pass": bad},
        source=run.backwards[min(bad, len(run.backwards)) - 1].line if run.backwards else None,
    )
    if not explained and cause is None:
        grows = len(before) > 1 and before[-1] > _BLOWN_UP * before[0]
        growth = f"The loss grows from {before[0]:.4g} to {before[-1]:.4g} in {len(before)} backward passes. " if grows else ""
        yield Finding(
            key="lr-too-high",
            confidence="likely" if grows else "possible",
            evidence=f"{growth}A learning rate above its limit ends in values that are not finite.",
        )


def _cause(run: Run, backward: Backward) -> str | None:
    """Say what makes a loss not finite although the parameters are finite; None where they are not, or the values overflow."""
    events = run.trace.events
    forwards = [event for index in backward.forwards if isinstance(event := events[index], Forward)]
    pairs = [event for index in backward.comparisons if isinstance(event := events[index], TargetComparison)]
    for name, arrays in (("inputs", [one.inputs for one in forwards]), ("targets", [one.targets for one in pairs])):
        count = sum(int((~np.isfinite(values)).sum()) for values in arrays)
        if count:
            return f"{count} of {sum(values.size for values in arrays)} values of its {name} are not finite."
    low = next((one.dtype for one in forwards if one.dtype == "float16"), None)
    outputs = [one.outputs for one in forwards if one.outputs is not None]
    if low is not None:
        return "The inputs are float16, whose largest number is 65504."
    if outputs and all(np.isfinite(values).all() and np.abs(values).max() < 1e15 for values in outputs):
        names = ", ".join(dict.fromkeys(backward.functions)) or "the loss"
        return f"The predictions and targets are finite, so the loss makes it: its operations are {names}."
    if _gradient_breaks(run, backward):
        return "The losses before are finite, but a gradient is not: an operation of the loss has no finite derivative there."
    return None


def _gradient_breaks(run: Run, backward: Backward) -> bool:
    """Return whether a pass before has a finite loss of usual size and a gradient that is not finite."""
    return any(
        np.isfinite(one.loss)
        and abs(one.loss) < 1e15
        and any(not np.isfinite(values).all() for values in one.contribution.values())
        for one in run.backwards
        if one.index < backward.index
    )
