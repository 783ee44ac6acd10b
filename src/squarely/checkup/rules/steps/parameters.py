"""Which parameters are trained, and whether the optimizer has those of the model."""

from __future__ import annotations

from collections.abc import Iterator

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import Backward, Forward, Step
from squarely.checkup.rules.run import Run

_CUTS = (".detach()", ".item()", "no_grad", ".data", "torch.tensor(", ".numpy()")


def check_parameters(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the parameters of the model, of the graph of the loss, and of the optimizers."""
    findings = [*_another_model(run), *_detached(run)]
    findings = findings or [*_not_trained(run), *_plain_tensors(run)]
    findings += _never_moves(run, explained=bool(findings))
    findings += _put_back(run)
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


def _ended_elsewhere(run: Run) -> set[int]:
    """The parameters whose final values are not the first ones."""
    initial = run.trace.initial
    return {number for number, values in run.trace.final.items() if number in initial and (values != initial[number]).any()}


def _moved(run: Run) -> set[int]:
    changed = {number for change in run.changes for number, values in change.difference.items() if values.any()}
    return changed | _ended_elsewhere(run)


def _names(run: Run, numbers: list[int]) -> str:
    return ", ".join(repr(run.trace.parameters[number].name) for number in numbers[:4])


def _another_model(run: Run) -> Iterator[Finding]:
    """Steps of an optimizer none of whose parameters is in the graph of the backward passes since the step before."""
    reached: set[int] = set()
    foreign: list[Step] = []
    for event in run.trace.events:
        if isinstance(event, Backward) and event.forwards:
            reached |= set(event.reached)
        elif isinstance(event, Step):
            foreign += [event] if reached and not reached & set(event.parameters) else []
            reached = set()
    steps = run.events(Step)
    if len(foreign) < 0.3 * len(steps) or not foreign or _trained_elsewhere(run, foreign):
        return
    step, model = foreign[0], set(_model_parameters(run)) or run.trained
    yield Finding(
        key="optimizer-of-another-model",
        confidence="certain",
        evidence=f"None of the {len(step.parameters)} parameter tensors of the optimizer is in the graph of the loss, which has "
        f"{_names(run, sorted(model - set(step.parameters)))}. {len(foreign)} of {len(steps)} steps are like this.",
        numbers={"shared_parameters": 0.0, "steps": len(foreign)},
        source=run.line_with("optim.") or step.line,
    )


def _trained_elsewhere(run: Run, foreign: list[Step]) -> bool:
    """Whether all that the loss reaches moves although these steps do not move it: something else trains the model."""
    mine = {number for step in foreign for number in step.parameters}
    return run.trained - mine <= _moved(run)


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
            source=run.line_with(*_CUTS) or unreached[0].line,
        )
        return
    cut = _without_gradient(run, model)
    if cut:
        yield Finding(
            key="graph-detached",
            confidence="likely",
            evidence=f"The loss does not depend on {_names(run, cut)}: the graph is cut between these and the predictions, or the "
            "model does not use them.",
            numbers={"parameters": len(cut)},
            source=run.line_with(*_CUTS),
        )
        yield Finding(
            key="parameter-not-trained",
            confidence="likely",
            evidence=f"{_names(run, cut)} never gets a gradient.",
            numbers={"parameters": len(cut)},
        )


def _without_gradient(run: Run, model: list[int]) -> list[int]:
    """The parameters of the model, or beside trained ones in an optimizer, that ask for a gradient and are in no graph."""
    if not run.trained:
        return []
    beside = {number for step in run.events(Step) if run.trained & set(step.parameters) for number in step.parameters}
    numbers = sorted({*model, *beside} - run.trained)
    moved = _moved(run)
    return [number for number in numbers if run.trace.parameters[number].requires_grad and number not in moved]


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


def _plain_tensors(run: Run) -> Iterator[Finding]:
    """Tensors that a model has as attributes, and neither as parameters nor as buffers: no optimizer is given them."""
    names = run.trace.plain_tensors
    if names:
        yield Finding(
            key="parameter-not-trained",
            confidence="likely",
            evidence=f"The model has the tensor {', '.join(map(repr, names[:4]))}, which is not a Parameter: model.parameters() "
            "does not have it, so no optimizer trains it.",
            numbers={"tensors": len(names)},
            source=run.line_with(*(f"self.{name.rpartition('.')[2]} =" for name in names)),
        )


def _never_moves(run: Run, *, explained: bool) -> Iterator[Finding]:
    """No parameter ever changes. `explained` means that another finding is the reason."""
    parameters = set(_model_parameters(run)) | run.trained
    if not parameters or parameters & _moved(run) or not (run.backwards or run.trace.steps):
        return
    steps, passes = run.trace.steps, run.trace.backwards
    last = run.events(Step)[-1].line if run.events(Step) else (run.backwards[-1].line if run.backwards else None)
    empty = any(not change.new and not change.old for change in run.changes) and _computes_gradients(run)
    yield Finding(
        key="weights-never-move",
        confidence="likely" if explained or empty else "certain",
        evidence=f"After {steps} steps and {passes} backward passes every parameter of the model has its first value. "
        f"{_reason(run)}",
        numbers={"steps": steps, "backward_passes": passes, "forward_passes": len(run.events(Forward))},
        source=last,
    )


def _computes_gradients(run: Run) -> bool:
    return any(values.any() for backward in run.backwards for values in backward.contribution.values())


def _reason(run: Run) -> str:
    if not run.trace.backwards:
        return "There is no backward pass, so there is no gradient."
    if not run.trace.steps and not run.changes:
        return "Nothing updates the parameters: no optimizer steps."
    if not _computes_gradients(run):
        return "Every gradient is 0."
    steps = run.events(Step)
    if steps and all(step.lrs and max(step.lrs) == 0 for step in steps):
        return "The learning rate is 0."
    return "No step changes a parameter of the model."


def _put_back(run: Run) -> Iterator[Finding]:
    """Steps change the parameters, and they end with their first values."""
    trained = {number for change in run.changes for number, values in change.difference.items() if values.any()} & run.trained
    if not trained or trained & _ended_elsewhere(run) or not trained & set(run.trace.final) or run.trace.truncated:
        return
    moves = sum(change.moved for change in run.changes)
    yield Finding(
        key="weights-never-move",
        confidence="likely",
        evidence=f"{moves} updates change the parameters, and the loop ends with the values with which it began: something puts "
        "the first values back.",
        numbers={"steps": moves},
        source=run.line_with("load_state_dict", "copy_("),
    )
