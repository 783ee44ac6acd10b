"""When the learning rate changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import SchedulerStep, Step
from squarely.checkup.rules.run import Run
from squarely.numerics import Array

_PER_BATCH = {"OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts"}
_LENGTHS = ("T_max", "total_steps", "total_iters", "step_size", "milestones", "patience")
_SPENT = 1e-3  # of the largest learning rate: what is left halfway through the training


def check_schedule(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the steps of the scheduler with those of the optimizer and with the epochs."""
    steps = run.events(SchedulerStep)
    findings = [*_per_batch(run, steps)] if steps else [*_own_per_batch(run)]
    if steps and not findings:
        findings = [*_before_optimizer(run, steps)]
    yield from findings
    if steps and not findings:
        yield Verified(f"The scheduler steps {len(steps)} times, each after the optimizer.")


def _before_optimizer(run: Run, steps: list[SchedulerStep]) -> Iterator[Finding]:
    updates = [event.index for event in run.events(Step)]
    warned = any("lr_scheduler.step()` before `optimizer.step()" in text for text in run.trace.warnings)
    if not updates or (steps[0].index > updates[0] and not warned):
        return
    name = steps[0].scheduler_class
    yield Finding(
        key="scheduler-before-optimizer",
        confidence="certain",
        evidence=f"{name}.step() comes before the first step of the optimizer, so the first learning rate is skipped.",
        numbers={"scheduler_steps_before": sum(event.index < updates[0] for event in steps)},
        source=steps[0].line,
    )


def _per_batch(run: Run, steps: list[SchedulerStep]) -> Iterator[Finding]:
    """A scheduler whose options count epochs steps once a batch."""
    epochs, batches = len(run.epochs), len(run.batches)
    if run.is_full_batch or epochs < 1 or batches < 2 * epochs or len(steps) < 0.8 * max(len(run.events(Step)), 2 * epochs):
        return
    confidence = _counts_epochs(run, steps[0], batches / epochs)
    if confidence is None:
        return
    yield Finding(
        key="scheduler-per-batch",
        confidence=confidence,
        evidence=f"{steps[0].scheduler_class} steps {len(steps)} times in {epochs} epochs of {batches / epochs:.3g} batches. "
        "Its options count epochs.",
        numbers={"expected_steps": epochs, "found_steps": len(steps)},
        source=steps[0].line,
    )


def _counts_epochs(run: Run, step: SchedulerStep, batches: float) -> str | None:
    """Return how likely it is that the options of a scheduler that steps once a batch count epochs; None if they do not."""
    if "scheduler" in run.given and step.optimizer in run.given_optimizers:
        return "likely"
    if step.scheduler_class in _PER_BATCH:
        return None
    epochs = run.declared_epochs or len(run.epochs)
    lengths = [value for name in _LENGTHS if isinstance(value := step.options.get(name), (int, float)) and value > 1]
    spent = _is_spent(_learning_rates(run))
    if lengths and step.scheduler_class not in {"SequentialLR", "LinearLR", "ConstantLR"}:
        if lengths[0] > epochs or lengths[0] % batches == 0:
            return None
        return "likely"
    return "likely" if spent else "possible" if _ends_early(_learning_rates(run)) else None


def _own_per_batch(run: Run) -> Iterator[Finding]:
    """A learning rate that the loop sets itself falls in each batch, and is spent before half of the training is done."""
    rates = _learning_rates(run)
    epochs = len(run.epochs)
    if run.is_full_batch or len(rates) < 2 * max(epochs, 1) or not _is_spent(rates):
        return
    changes = np.flatnonzero(np.diff(rates))
    if len(changes) < 0.8 * (changes[-1] + 1):
        return
    yield Finding(
        key="scheduler-per-batch",
        confidence="likely",
        evidence=f"The learning rate falls in each batch: from {rates[0]:.3g} to {rates[len(rates) // 2]:.3g} when half of the "
        f"{len(rates)} steps are done.",
        numbers={"epochs": epochs, "found_changes": len(changes)},
        source=run.line_with('["lr"]', "['lr']", ".lr =") or run.events(Step)[0].line,
    )


def _learning_rates(run: Run) -> Array:
    return np.array([event.lrs[0] for event in run.events(Step)])


def _is_spent(rates: Array) -> bool:
    return bool(len(rates) > 3 and rates[len(rates) // 2 :].max() < _SPENT * rates.max())


def _ends_early(rates: Array) -> bool:
    """Whether the second half of the training has one learning rate, or one that rises and falls again."""
    half = np.diff(rates[len(rates) // 2 :])
    return bool(len(half) and ((half == 0).all() or (half > 0).any()))
