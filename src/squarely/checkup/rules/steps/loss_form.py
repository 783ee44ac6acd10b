"""The loss that is differentiated: its form, and the terms beside the predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from squarely.checkup.findings import Finding, Remark, SourceLine, Verified
from squarely.checkup.recorder.trace import Backward, Forward, TargetComparison
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import proportion
from squarely.checkup.rules.steps.loss_scale import check_scale
from squarely.numerics import Array

_OTHER_LOSSES = {
    "L1Loss": "the mean absolute error", "Abs": "the absolute error", "SmoothL1Loss": "the smooth L1 loss",
    "HuberLoss": "the Huber loss", "BinaryCrossEntropy": "binary cross entropy",
    "BinaryCrossEntropyWithLogits": "binary cross entropy", "NllLoss": "cross entropy", "LogSoftmax": "cross entropy",
    "CosineSimilarity": "the cosine similarity", "SoftMarginLoss": "the soft margin loss", "Log": "a loss with a logarithm",
    "Exp": "a loss with an exponential", "KlDiv": "the Kullback-Leibler divergence", "LinalgVectorNorm": "a norm", "Norm": "a norm",
}  # fmt: skip
_SAME = 1e-4  # of the largest gradient: float32 sums in another order
_PENALTIES = ("weight_decay", "l2", "lam", "lambda", "wd", "reg", "penalty", "ridge", "alpha", "l1", "decay")


def check_loss(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the derivative of the loss by the predictions with that of the mean squared error."""
    findings: list[Finding | Remark] = [*_broadcast(run)]
    findings = findings or [*_form(run)]
    findings += _penalty(run)
    findings = findings or [*check_scale(run)]
    yield from findings
    if run.backwards and not findings:
        yield Verified(f"The loss of {len(run.backwards)} backward passes is the squared error of each prediction and its target.")


def _broadcast(run: Run) -> Iterator[Finding]:
    events = [event for event in run.comparisons if event.broadcast]
    if not events:
        return
    in_training = [one for one in events if one.grad_enabled]
    event = (in_training or events)[0]
    rows = len(event.predictions)
    spread = float(np.mean((event.predictions[:, None] - event.targets[None, :]) ** 2))
    right = float(np.mean((event.predictions - event.targets) ** 2))
    yield Finding(
        key="shape-broadcast",
        confidence="certain" if in_training else "likely",
        evidence=f"Predictions of shape {event.prediction_shape} meet targets of shape {event.target_shape}: the result has "
        f"{rows} x {rows} numbers. Its mean square is {spread:.5g}, that of the {rows} pairs {right:.5g}.",
        numbers={"expected_loss": right, "found_loss": spread, "rows": rows},
        source=event.line,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Derivative:
    """The derivative of a loss by the predictions, beside that of the mean squared error.

    Attributes
    ----------
    found, expected : (B,) the two derivatives.
    predictions : (B,).
    compared : whether the loop was observed to compare the predictions with targets; else these are those of the rows.
    line : of the comparison, or of the backward pass.
    """

    found: Array
    expected: Array
    predictions: Array
    compared: bool
    line: SourceLine | None

    @property
    def factor(self) -> float:
        """The number with found = factor * expected; NaN if there is none."""
        return proportion({0: self.found}, {0: self.expected}, tolerance=1e-2)


def _derivatives(run: Run) -> Iterator[_Derivative]:
    for backward in run.backwards:
        for index in backward.forwards[:1]:
            entry = _derivative(run, backward, index)
            if entry is not None and all(np.isfinite(values).all() for values in (entry.found, entry.expected)):
                yield entry


def _derivative(run: Run, backward: Backward, forward: int) -> _Derivative | None:
    found = backward.loss_gradients.get(forward)
    event = run.trace.events[forward]
    if found is None or not isinstance(event, Forward):
        return None
    for index in backward.comparisons:
        pair = run.trace.events[index]
        if isinstance(pair, TargetComparison) and pair.forward == forward and len(pair.predictions) == len(found):
            expected = 2 * (pair.predictions - pair.targets) / len(found)
            return _Derivative(found=found, expected=expected, predictions=pair.predictions, compared=True, line=pair.line)
    targets = _targets_of_rows(run, event)
    if targets is None or event.outputs is None or len(event.outputs) != len(found):
        return None
    expected = 2 * (event.outputs - targets) / len(found)
    return _Derivative(found=found, expected=expected, predictions=event.outputs, compared=False, line=backward.line)


def _targets_of_rows(run: Run, forward: Forward) -> Array | None:
    if run.problem is None or not run.row_numbers.by_problem or not forward.inputs.size:
        return None
    return np.concatenate([run.problem.y, run.problem.y_validation])[run.row_numbers.of_inputs(forward.inputs)]


def _form(run: Run) -> Iterator[Finding]:
    entries = list(_derivatives(run))
    named = next((name for backward in run.backwards for name in backward.functions if name in _OTHER_LOSSES), None)
    other = [entry for entry in entries if np.isnan(entry.factor)]
    negative = [entry for entry in entries if entry.factor < 0]
    if len(negative) > 0.5 * len(entries):
        yield Finding(
            key="wrong-loss",
            confidence="certain",
            evidence=f"The derivative of the loss by the predictions is {negative[0].factor:.4g} times that of the mean squared "
            "error: each step makes the squared error larger.",
            numbers={"factor": negative[0].factor},
            source=negative[0].line,
        )
    elif len(other) > 0.5 * len(entries):
        yield _another_loss(other[0], named)
    elif named and sum(not entry.found.any() for entry in entries) > 0.5 * len(entries):
        yield Finding(
            key="wrong-loss",
            confidence="likely",
            evidence=f"The loss is {_OTHER_LOSSES[named]}, and its derivative by the predictions is 0 for all rows.",
            source=run.backwards[0].line,
        )
    elif named and not entries:
        yield Finding(
            key="wrong-loss",
            confidence="possible",
            evidence=f"The loss is {_OTHER_LOSSES[named]}, not the mean squared error.",
            source=run.backwards[0].line,
        )


def _another_loss(entry: _Derivative, named: str | None) -> Finding:
    alone = proportion({0: entry.found}, {0: entry.predictions}, tolerance=1e-2)
    if not entry.compared and np.isfinite(alone) and alone != 0:
        name, confidence = "a function of the predictions alone", "likely"
    else:
        name = _OTHER_LOSSES.get(named or "") or _describe(entry.found)
        confidence = "likely" if entry.compared else "possible"
    return Finding(
        key="wrong-loss",
        confidence=confidence,
        evidence=f"The loss is {name}, not the mean squared error: its derivative by the predictions is not proportional to "
        "predictions minus targets.",
        source=entry.line,
    )


def _describe(v: Array) -> str:
    if not v.any():
        return "flat where the predictions are"
    if np.allclose(np.abs(v), np.abs(v).max(), rtol=1e-3):
        return "a sum of differences" if np.all(v > 0) or np.all(v < 0) else "the absolute error"
    return "another function of the predictions"


def _penalty(run: Run) -> Iterator[Finding | Remark]:
    """A term of the loss that is a function of the parameters alone."""
    for backward in run.backwards:
        kind, amount = _read_penalty(run, backward)
        if not kind:
            continue
        declared = run.declares(*_PENALTIES)
        if declared:
            yield Remark(f"The loss has a penalty on {kind} parameters, declared as {declared!r}.")
            return
        part = "parameters" if kind == "squared" else "signs of the parameters"
        yield Finding(
            key="undeclared-weight-decay",
            confidence="likely",
            evidence=f"The loss has a penalty on the {kind} parameters beside the squared error. The gradient has "
            f"{amount:.4g} times the {part} in it.",
            numbers={"weight_decay": amount},
            source=backward.line,
        )
        return


def _read_penalty(run: Run, backward: Backward) -> tuple[str, float]:
    """Return "squared" or "absolute" and the factor of the penalty, in the loss or added by a hook; "" without one."""
    if backward.chain is None or not backward.forwards:
        return "", 0.0
    extra = {
        number: backward.contribution[number] - backward.chain[number]
        for number in backward.direct or backward.reached
        if number in backward.chain and number in backward.contribution
    }
    before = _values_at(run, backward)
    size = max((float(np.abs(values).max()) for values in backward.contribution.values()), default=0.0)
    if not any((np.abs(values) > _SAME * size).any() for values in extra.values()):
        return "", 0.0
    ridge = proportion(extra, before, tolerance=1e-2)
    lasso = proportion(extra, {number: np.sign(values) for number, values in before.items()}, tolerance=1e-2)
    if np.isfinite(ridge):
        return "squared", ridge
    return ("absolute", lasso) if np.isfinite(lasso) else ("", 0.0)


def _values_at(run: Run, backward: Backward) -> dict[int, Array]:
    forward = run.trace.events[backward.forwards[-1]]
    values = forward.parameters if isinstance(forward, Forward) else {}
    return {number: values.get(number, run.trace.initial[number]) for number in backward.reached}
