"""Which parameters are trained, and whether the optimizer has those of the model."""

from __future__ import annotations

from collections.abc import Iterator

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import Forward, Step
from squarely.checkup.rules.run import Run


def check_parameters(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the parameters of the model, of the graph of the loss, and of the optimizers."""
    findings = [*_another_model(run)]
    findings += _detached(run)
    if not findings:
        findings += _not_trained(run)
    findings += _never_moves(run)
    yield from findings
    if run.changes and not findings:
        yield Verified(f"All {len(_model_parameters(run) or run.trained)} parameter tensors of the model are updated.")


def _model_parameters(run: Run) -> list[int]:
    """The parameters of the modules that made the predictions in the backward passes, or were called if there are none."""
    used = {index for backward in run.backwards for index in backward.forwards}
    modules = {event.module for event in run.forwards if event.module is not None and (not used or event.index in used)}
    return [number for number, info in run.trace.parameters.items() if info.module in modules]


def _in_optimizers(run: Run) -> set[int]:
    return {number for step in run.events(Step) for number in step.parameters}


def _moved(run: Run) -> set[int]:
    changed = {number for change in run.changes for number, after in change.after.items() if (after != change.before[number]).any()}
    final = {
        number
        for number, values in run.trace.final.items()
        if number in run.trace.initial and (values != run.trace.initial[number]).any()
    }
    return changed | final


def _names(run: Run, numbers: list[int]) -> str:
    return ", ".join(repr(run.trace.parameters[number].name) for number in numbers[:4])


def _another_model(run: Run) -> Iterator[Finding]:
    optimized = _in_optimizers(run)
    model = set(_model_parameters(run)) or run.trained
    if not optimized or not model or optimized & (model | run.trained):
        return
    step = run.events(Step)[0]
    yield Finding(
        key="optimizer-of-another-model",
        confidence="certain",
        evidence=f"None of the {len(optimized)} parameter tensors of the optimizer belongs to the model that makes the predictions "
        f"(it has {_names(run, sorted(model))}).",
        numbers={"shared_parameters": 0.0},
        source=run.line_with("optim.") or step.line,
    )


def _detached(run: Run) -> Iterator[Finding]:
    model = _model_parameters(run)
    unreached = [backward for backward in run.backwards if not backward.forwards and run.forwards]
    if run.backwards and len(unreached) == len(run.backwards) and model and not run.trained.intersection(model):
        yield Finding(
            key="graph-detached",
            confidence="certain",
            evidence=f"The graph of the loss reaches no prediction of the model: {len(unreached)} of {len(run.backwards)} backward "
            "passes give the model no gradient.",
            numbers={"backward_passes": len(run.backwards)},
            source=run.line_with(".detach()", ".item()", "no_grad", ".data", "torch.tensor(", ".numpy()") or unreached[0].line,
        )
        return
    cut = [number for number in model if run.trained and number not in run.trained and run.trace.parameters[number].requires_grad]
    if cut:
        yield Finding(
            key="graph-detached",
            confidence="likely",
            evidence=f"The loss does not depend on {_names(run, cut)}: the graph is cut between these and the predictions, or the "
            "model does not use them.",
            numbers={"parameters": len(cut)},
            source=run.line_with(".detach()", "no_grad", ".data", ".numpy()"),
        )
        yield Finding(
            key="parameter-not-trained",
            confidence="likely",
            evidence=f"{_names(run, cut)} never gets a gradient.",
            numbers={"parameters": len(cut)},
        )


def _not_trained(run: Run) -> Iterator[Finding]:
    moved = _moved(run)
    if not moved & (run.trained | set(_model_parameters(run))):
        return
    still = [number for number in sorted({*_model_parameters(run), *run.trained}) if number not in moved]
    if not still:
        return
    frozen = [number for number in still if not run.trace.parameters[number].requires_grad]
    optimized = _in_optimizers(run)
    if frozen:
        reason = "requires_grad is False for it"
    elif optimized and not optimized.intersection(still):
        reason = "it is not among the parameters of the optimizer"
    else:
        reason = "no update changes it"
    yield Finding(
        key="parameter-not-trained",
        confidence="likely" if frozen else "certain",
        evidence=f"{_names(run, still)} keeps its first value through {len(run.changes)} updates: {reason}.",
        numbers={"parameters": len(still), "updates": len(run.changes)},
        source=run.line_with("requires_grad") if frozen else run.line_with("optim.", "Optimizer("),
    )


def _never_moves(run: Run) -> Iterator[Finding]:
    parameters = set(_model_parameters(run)) | run.trained
    if not parameters or parameters & _moved(run) or not (run.backwards or run.trace.steps):
        return
    steps, passes = run.trace.steps, run.trace.backwards
    last = run.events(Step)[-1].line if run.events(Step) else (run.backwards[-1].line if run.backwards else None)
    if not passes:
        reason = "There is no backward pass, so there is no gradient."
    elif not steps:
        reason = "Nothing updates the parameters: no optimizer steps."
    elif all(step.lrs and max(step.lrs) == 0 for step in run.events(Step)):
        reason = "The learning rate is 0."
    else:
        reason = "No step changes a parameter of the model."
    yield Finding(
        key="weights-never-move",
        confidence="certain",
        evidence=f"After {steps} steps and {passes} backward passes every parameter of the model has its first value. {reason}",
        numbers={"steps": steps, "backward_passes": passes, "forward_passes": len(run.events(Forward))},
        source=last,
    )
