"""Whether gradients are made shorter before an update uses them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark
from squarely.checkup.recorder.trace import GradientChange
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import Change, add_up, flatten
from squarely.numerics import Array

_SHORTER = 0.995  # a gradient that is less than this part of what autograd computes was made shorter


def check_clipping(run: Run) -> Iterator[Finding | Remark]:
    """Compare the length of each gradient that is used with the one that the backward passes compute."""
    clips = [event for event in run.events(GradientChange) if event.function.startswith("clip")]
    ratios = _ratios(run.changes)
    short = {number: ratio for number, ratio in ratios.items() if ratio < _SHORTER}
    if clips and not short:
        yield Remark(f"Gradients are clipped at {clips[0].limit:g}; no gradient reaches it.")
    elif clips:
        yield _reached(run, clips[0], short)
    elif len(short) >= 3:
        yield from _by_hand(run, short)
    if not clips:
        yield from _constant_length(run)


def _reached(run: Run, clip: GradientChange, short: dict[int, float]) -> Finding:
    number = next(iter(short))
    late = [number for number in short if number > 0.75 * len(run.changes)]
    return Finding(
        key="gradient-clipped",
        confidence="certain" if len(short) > 0.5 * len(run.changes) and late else "possible",
        evidence=f"Clipping at {clip.limit:g} makes the gradient of step {number} {short[number]:.3g} times as long. It changes "
        f"{len(short)} of {len(run.changes)} steps.",
        numbers={"step": number, "expected_factor": 1.0, "found_factor": short[number], "clipped_steps": len(short)},
        source=clip.line,
    )


def _ratios(changes: list[Change]) -> dict[int, float]:
    """Return, by number of the change, the length of the gradient used over that of the one computed.

    A factor that most changes share is none of clipping: the scale of mixed precision, or a division by a number of passes.
    """
    found = {number: ratio for number, change in enumerate(changes, 1) if (ratio := _ratio(change)) is not None}
    if not found:
        return {}
    values = np.array(list(found.values()))
    shared = float(values.max())
    if shared > 1 or (np.abs(values - shared) <= 1e-3 * shared).mean() > 0.5 or _is_power_of_two(shared):
        found = {number: ratio / shared for number, ratio in found.items()}
    return found


def _is_power_of_two(value: float) -> bool:
    return value < 1 and abs(np.log2(value) - round(np.log2(value))) < 1e-4


def _ratio(change: Change) -> float | None:
    if not change.new or (change.step is not None and change.step.closure and len(change.new) > 1):
        return None
    passes = (*change.old, *change.new)
    total = add_up(
        backward.contribution if backward.direct or not backward.chain else backward.chain for backward in passes
    )  # a hook changes the contribution; the chain is without hooks
    numbers = [number for number in change.gradients if number in total]
    whole, used = float(np.linalg.norm(flatten(total, numbers))), float(np.linalg.norm(flatten(change.gradients, numbers)))
    return used / whole if np.isfinite(whole) and whole > 0 and np.isfinite(used) else None


def _by_hand(run: Run, short: dict[int, float]) -> Iterator[Finding]:
    """Shorter gradients that share their length, or their largest entry, have a limit."""
    used = {number: _flat(run.changes[number - 1]) for number in short}
    for what, size in (("length", np.linalg.norm), ("largest entry", _largest)):
        sizes = {number: float(size(values)) for number, values in used.items()}
        limit = float(np.median(list(sizes.values())))
        at = [number for number, value in sizes.items() if limit > 0 and abs(value - limit) <= 1e-3 * limit]
        if len(at) >= max(3, 0.6 * len(short)) and len({round(short[number], 4) for number in at}) > 1:
            number = at[0]
            often = len(short) > 0.5 * len(run.changes)
            yield Finding(
                key="gradient-clipped",
                confidence="likely" if often else "possible",
                evidence=f"The gradient of step {number} is {short[number]:.3g} times as long as the one that backward() computes, "
                f"and {len(at)} of {len(run.changes)} gradients have the same {what}, {limit:.4g}.",
                numbers={"step": number, "expected_factor": 1.0, "found_factor": short[number], "clipped_steps": len(short)},
                source=run.line_with("clamp", "clip", "norm(", "register_hook", ".grad *=") or run.changes[number - 1].line,
            )
            return


def _flat(change: Change) -> Array:
    return flatten(change.gradients, sorted(change.gradients))


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0.0))


def _constant_length(run: Run) -> Iterator[Finding]:
    """Updates by hand, or of an optimizer that is not torch's, of one length, while the gradient gets shorter."""
    changes = [change for change in run.changes if (change.step is None or not change.step.built_in) and change.gradients]
    if len(changes) < 6 or len(changes) < len(run.changes):
        return
    moves = [flatten(change.difference, sorted(change.after)) for change in changes]
    lengths = np.array([np.linalg.norm(move) for move in moves])
    gradients = np.array([np.linalg.norm(_flat(change)) for change in changes])
    same = np.abs(lengths - np.median(lengths)) <= 1e-3 * np.median(lengths)
    if (
        not np.isfinite(gradients).all()
        or not np.median(lengths) > 0
        or same.mean() <= 0.5
        or np.ptp(gradients) <= 0.05 * gradients.max()
    ):
        return
    signs = all(np.ptp(np.abs(move)) <= 1e-3 * _largest(move) for move in moves)
    yield Finding(
        key="gradient-clipped",
        confidence="possible" if signs else "likely",
        evidence=f"{same.sum()} of {len(lengths)} updates have the length {np.median(lengths):.4g}, while the length of the "
        f"gradient goes from {gradients.max():.3g} to {gradients.min():.3g}."
        + (" Each update uses the signs alone." if signs else ""),
        numbers={"length": float(np.median(lengths))},
        source=changes[0].line,
    )
