"""The updates: clipped gradients, and what changes the parameters beside lr times the gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import GradientChange, Step, Update
from squarely.checkup.rules.run import Change, Run, flatten, proportion
from squarely.numerics import Array


def check_updates(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare each change of the parameters with the declared update."""
    findings = [*_clipped(run), *_changed_options(run), *_decay_by_hand(run), *_fitted(run)]
    yield from findings
    if run.changes and not findings:
        yield Verified(f"{len(run.changes)} updates are what the optimizer and its options say.")


def _clipped(run: Run) -> Iterator[Finding | Remark]:
    clips = [event for event in run.events(GradientChange) if event.function.startswith("clip")]
    ratios = {number: _clip_ratio(change) for number, change in enumerate(run.changes, 1)}
    short = {number: ratio for number, ratio in ratios.items() if ratio < 0.999}
    if not clips:
        return
    if not short:
        yield Remark(f"Gradients are clipped at {clips[0].limit:g}; no gradient reaches it.")
        return
    number = next(iter(short))
    late = [number for number in short if number > 0.75 * len(run.changes)]
    often = len(short) > 0.5 * len(run.changes) and bool(late)
    yield Finding(
        key="gradient-clipped",
        confidence="certain" if often else "possible",
        evidence=f"Clipping at {clips[0].limit:g} makes the gradient of step {number} {short[number]:.3g} times as long. It changes "
        f"{len(short)} of {len(run.changes)} steps.",
        numbers={"step": number, "expected_factor": 1.0, "found_factor": short[number], "clipped_steps": len(short)},
        source=clips[0].line,
    )


def _clip_ratio(change: Change) -> float:
    """Return the length of the gradient used over that of the sum of the contributions in it."""
    if not change.new or change.step is None:
        return 1.0
    total: dict[int, Array] = {}
    for backward in (*change.old, *change.new):
        for number, values in backward.contribution.items():
            total[number] = total.get(number, 0.0) + values
    numbers = [number for number in change.gradients if number in total]
    whole, used = flatten(total, numbers), flatten(change.gradients, numbers)
    return float(np.linalg.norm(used) / np.linalg.norm(whole)) if np.linalg.norm(whole) > 0 else 1.0


_DECLARED = {
    "momentum": ("undeclared-momentum", "momentum", "beta"),
    "weight_decay": ("undeclared-weight-decay", "weight_decay", "wd", "l2"),
}


def _changed_options(run: Run) -> Iterator[Finding]:
    """The optimizer that the loop was given has another momentum or weight decay when it steps."""
    for step in run.events(Step):
        if step.optimizer_class != "SGD" or not _is_given(run, step):
            continue
        for option, (key, *_) in _DECLARED.items():
            if step.options.get(option):
                yield Finding(
                    key=key,
                    confidence="certain",
                    evidence=f"The optimizer was given with {option}=0, and steps with {option}={step.options[option]:g}.",
                    numbers={f"found_{option}": float(step.options[option])},  # type: ignore[arg-type]
                    source=run.line_with(option) or step.line,
                )
        return


def _is_given(run: Run, step: Step) -> bool:
    return step.optimizer in run.given_optimizers


def _decay_by_hand(run: Run) -> Iterator[Finding]:
    """Parameters that shrink between the steps of an optimizer."""
    steps = run.events(Step)
    if not steps:
        return
    shrinks = []
    for event in run.events(Update):
        ratio = proportion(event.after, event.before, tolerance=1e-5)
        if np.isfinite(ratio) and 0 < ratio < 1:
            shrinks.append((event, ratio))
    if len(shrinks) > 0.3 * len(steps) and run.declares("weight_decay", "wd", "l2", "decay", "lam", "lambda", "reg") is None:
        event, ratio = shrinks[0]
        yield Finding(
            key="undeclared-weight-decay",
            confidence="certain",
            evidence=f"Beside the steps of the optimizer, the parameters are multiplied by {ratio:.6g}. This happens "
            f"{len(shrinks)} times in {len(steps)} steps.",
            numbers={"found_factor": ratio, "expected_factor": 1.0},
            source=event.line,
        )


def _fitted(run: Run) -> Iterator[Finding | Remark]:
    """Fit each update by hand, or of an optimizer that is not torch's, to a gradient, the parameters and the update before."""
    changes = [change for change in run.changes if change.step is None or not change.step.built_in]
    if len(changes) < 6 or len(changes) < len(run.changes):
        return
    design, moves = [], []
    for before, change in zip(changes[:-1], changes[1:], strict=True):
        numbers = sorted(set(change.gradients) & set(change.after) & set(before.after) & set(before.gradients))
        if not numbers or change.old:
            return
        design.append(np.column_stack([
            flatten(change.gradients, numbers), flatten(change.before, numbers), flatten(before.difference, numbers),
        ]))  # fmt: skip
        moves.append(flatten(change.difference, numbers))
    A, b = np.concatenate(design), np.concatenate(moves)
    if not np.isfinite(A).all() or not np.isfinite(b).all() or not b.any():
        return
    for columns in ([0], [0, 2], [0, 1], [0, 1, 2]):
        coefficients, *_ = np.linalg.lstsq(A[:, columns], b, rcond=None)
        if np.abs(A[:, columns] @ coefficients - b).max() <= 2e-3 * np.abs(b).max():
            yield from _read_fit(run, dict(zip(columns, coefficients, strict=True)), changes)
            return
    yield from _constant_length(run, changes)


def _read_fit(run: Run, fit: dict[int, float], changes: list[Change]) -> Iterator[Finding | Remark]:
    lr, decay, momentum = -fit[0], fit.get(1, 0.0), fit.get(2, 0.0)
    line = changes[0].line
    if abs(momentum) > 1e-3:
        declared = run.declares("momentum", "beta", "beta1", "mu", "rho", "gamma")
        text = f"Each update has {momentum:.4g} times the update before in it, and lr is {lr:.4g}."
        if declared:
            yield Remark(f"The update has momentum, declared as {declared!r}.")
        else:
            named = any(word in run.source.lower() for word in ("momentum", "nesterov", "heavy ball"))
            yield Finding(
                key="undeclared-momentum",
                confidence="possible" if named else "likely",
                evidence=text,
                numbers={"found_momentum": momentum, "expected_momentum": 0.0},
                source=line,
            )
    if abs(decay) > 1e-6:
        declared = run.declares("weight_decay", "wd", "l2", "decay", "lam", "lambda", "reg", "alpha")
        if declared:
            yield Remark(f"The update has weight decay, declared as {declared!r}.")
        else:
            yield Finding(
                key="undeclared-weight-decay",
                confidence="likely",
                evidence=f"Each update adds {decay:.4g} times the parameters: a weight decay of {-decay / lr if lr else np.nan:.4g}.",
                numbers={"found_weight_decay": -decay / lr if lr else np.nan, "expected_weight_decay": 0.0},
                source=line,
            )


def _constant_length(run: Run, changes: list[Change]) -> Iterator[Finding]:
    lengths = np.array([np.linalg.norm(flatten(change.difference, sorted(change.after))) for change in changes])
    gradients = np.array([np.linalg.norm(flatten(change.gradients, sorted(change.gradients))) for change in changes])
    same = np.abs(lengths - lengths[0]) <= 1e-3 * lengths[0]
    if same.mean() > 0.5 and np.ptp(gradients) > 0.05 * gradients.max():
        yield Finding(
            key="gradient-clipped",
            confidence="likely",
            evidence=f"{same.sum()} of {len(lengths)} updates have the length {lengths[0]:.4g}, while the length of the gradient goes "
            f"from {gradients.max():.3g} to {gradients.min():.3g}.",
            numbers={"length": float(lengths[0])},
            source=changes[0].line,
        )
