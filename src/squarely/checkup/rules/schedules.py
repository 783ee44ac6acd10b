"""When the scheduler steps."""

from __future__ import annotations

from collections.abc import Iterator

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import SchedulerStep, Step
from squarely.checkup.rules.run import Run

PER_BATCH = {"OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts"}
EITHER = {"LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler", "LinearLR", "PolynomialLR", "ConstantLR"}


def check_schedule(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the steps of the scheduler with those of the optimizer and with the epochs."""
    steps = run.events(SchedulerStep)
    if not steps:
        return
    findings = [*_before_optimizer(run, steps), *_per_batch(run, steps)]
    yield from findings
    if not findings:
        yield Verified(f"The scheduler steps {len(steps)} times, each after the optimizer.")


def _before_optimizer(run: Run, steps: list[SchedulerStep]) -> Iterator[Finding]:
    updates = [event.index for event in run.events(Step)]
    warned = any("lr_scheduler.step()` before `optimizer.step()" in text for text in run.trace.warnings)
    if not updates or (steps[0].index > updates[0] and not warned):
        return
    yield Finding(
        key="scheduler-before-optimizer",
        confidence="certain",
        evidence=f"{steps[0].scheduler_class}.step() comes before the first step of the optimizer, so the first learning rate is skipped.",
        numbers={"scheduler_steps_before": sum(event.index < updates[0] for event in steps)},
        source=steps[0].line,
    )


def _per_batch(run: Run, steps: list[SchedulerStep]) -> Iterator[Finding]:
    updates = len(run.events(Step))
    epochs = len(run.epochs)
    if run.is_full_batch or epochs < 1 or updates < 2 * epochs or len(steps) < 0.8 * updates:
        return
    name, options = steps[0].scheduler_class, steps[0].options
    length = next((options[key] for key in ("T_max", "total_steps", "total_iters", "step_size") if key in options), None)
    declared = run.declared_epochs or epochs
    if name in PER_BATCH or (isinstance(length, (int, float)) and length > 1.5 * declared and name != "StepLR"):
        return
    if name == "StepLR" and isinstance(length, (int, float)) and length >= updates / epochs * 2:
        return
    yield Finding(
        key="scheduler-per-batch",
        confidence="possible" if name in EITHER and not _is_given(run) else "likely",
        evidence=f"{name} steps {len(steps)} times in {epochs} epochs of {updates / epochs:.3g} batches: once a batch. Its options count epochs.",
        numbers={"expected_steps": epochs, "found_steps": len(steps)},
        source=steps[0].line,
    )


def _is_given(run: Run) -> bool:
    return "scheduler" in run.given
