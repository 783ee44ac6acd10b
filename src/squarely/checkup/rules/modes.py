"""Training and evaluation mode, gradients in evaluation, and graphs that are kept."""

from __future__ import annotations

from collections.abc import Iterator

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import Forward
from squarely.checkup.rules.run import Run


def check_modes(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Check the modes of the model in forward passes with and without a backward pass."""
    findings = [*_no_train_mode(run), *_no_eval_mode(run), *_grad_in_validation(run), *_graph_kept(run)]
    yield from findings
    if run.batches and not findings:
        yield Verified("The model is in training mode where it is trained, and no graph is kept after its step.")


def _no_train_mode(run: Run) -> Iterator[Finding]:
    training = [batch.forward for batch in run.batches if batch.forward.training is not None]
    wrong = [event for event in training if not event.training]
    if len(wrong) < 0.3 * len(training) or not wrong:
        return
    first = training.index(wrong[0]) + 1
    flips = any(event.training for event in training)
    evaluated = run.line_with(".eval()", "train(False)")
    yield Finding(
        key="no-train-mode",
        confidence="certain" if flips or any(event.mode_matters for event in wrong) else "likely",
        evidence=f"{len(wrong)} of {len(training)} forward passes that are trained on run in evaluation mode, "
        f"from number {first} on.",
        numbers={"first": first, "expected_in_evaluation_mode": 0, "found_in_evaluation_mode": len(wrong)},
        source=evaluated or wrong[0].line,
    )


def _is_validation(run: Run, event: Forward) -> bool:
    """Whether most rows of a forward pass are not trained on."""
    trained = {int(row) for batch in run.batches for row in batch.rows}
    rows = run.row_numbers.of_inputs(event.inputs)
    return sum(int(row) not in trained for row in rows) > 0.5 * len(rows)


def _evaluations(run: Run) -> list[Forward]:
    """The evaluations between and after the training steps, without those of the last, unfinished backward pass."""
    if not run.batches:
        return []
    modules = {batch.forward.module for batch in run.batches}
    return [event for event in run.evaluations if event.module in modules and not event.optimizer_step]


def _no_eval_mode(run: Run) -> Iterator[Finding]:
    found = [event for event in _evaluations(run) if event.training]
    if not found or not any(batch.forward.training for batch in run.batches):
        return
    validation = [event for event in found if _is_validation(run, event)]
    matters = any(event.mode_matters for event in found)
    if not matters and not validation:
        return
    event = (validation or found)[0]
    given = "model" in run.given
    confidence = "likely" if matters or given else "possible"
    yield Finding(
        key="no-eval-mode",
        confidence=confidence,
        evidence=f"{len(found)} forward passes without a backward pass run in training mode"
        + (f", {len(validation)} of them on rows that are not trained on." if validation else "."),
        numbers={"expected_in_training_mode": 0, "found_in_training_mode": len(found)},
        source=event.line,
    )


def _grad_in_validation(run: Run) -> Iterator[Finding]:
    found = [event for event in _evaluations(run) if event.grad_enabled]
    if not found:
        return
    validation = [event for event in found if _is_validation(run, event)]
    event = (validation or found)[0]
    if len(validation or found) < 2 and not validation and run.trace.backwards <= 1:
        return
    yield Finding(
        key="grad-in-validation",
        confidence="likely" if validation else "possible",
        evidence=f"{len(found)} forward passes record a graph that no backward pass uses"
        + (f", {len(validation)} of them on rows that are not trained on." if validation else "."),
        numbers={"expected": 0, "found": len(found)},
        source=event.line,
    )


def _graph_kept(run: Run) -> Iterator[Finding]:
    passes, alive, kept = run.trace.backwards, run.trace.graphs_alive, run.trace.graphs_kept
    if passes < 6 or not (alive >= 5 or (alive >= 2 and kept >= 0.3 * min(passes, 400))):
        return
    repeated = any(backward.repeated for backward in run.backwards)  # a sum of losses, on which backward is called again
    bounded = len(run.epochs) > 1 and alive < max(len(epoch) for epoch in run.epochs)  # dropped at the end of each epoch
    yield Finding(
        key="graph-kept",
        confidence="possible" if repeated or bounded else "certain",
        evidence=f"{kept} graphs of earlier forward passes stay in memory while later batches are trained on, {alive} at one time. "
        "A loop that keeps numbers alone has none.",
        numbers={"expected": 0, "found": alive},
        source=run.line_with("+= loss", ".append(loss", "+ loss", "append(l)", "+= l", ".append(") or run.backwards[0].line,
    )
