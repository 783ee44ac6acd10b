"""The loss that is differentiated: its form, its scale, and the terms beside the predictions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import Backward, Comparison
from squarely.checkup.rules.run import Change, Run, flatten, proportion
from squarely.numerics import Array

_OTHER_LOSSES = {
    "L1Loss": "the mean absolute error", "Abs": "the absolute error", "SmoothL1Loss": "the smooth L1 loss", "HuberLoss": "the Huber loss",
    "BinaryCrossEntropy": "binary cross entropy", "BinaryCrossEntropyWithLogits": "binary cross entropy", "NllLoss": "cross entropy",
    "LogSoftmax": "cross entropy", "CosineSimilarity": "the cosine similarity", "SoftMarginLoss": "the soft margin loss",
    "Log": "a loss with a logarithm", "Exp": "a loss with an exponential", "KlDiv": "the Kullback-Leibler divergence",
    "LinalgVectorNorm": "a norm", "Norm": "a norm",
}  # fmt: skip
_SAME = 2e-3  # relative difference that float32 and bfloat16 sums may leave


def check_loss(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Compare the derivative of the loss by the predictions with that of the mean squared error."""
    findings = [*_broadcast(run)]
    if not findings:
        findings += _form(run)
    findings += _penalty(run)
    if not findings:
        findings += _scale(run)
    yield from findings
    if run.backwards and not findings:
        yield Verified(f"The loss of {len(run.backwards)} backward passes is the squared error of each prediction and its target.")


def _broadcast(run: Run) -> Iterator[Finding]:
    events = [event for event in run.comparisons if event.broadcast]
    if not events:
        return
    event = events[0]
    in_training = [one for one in events if one.grad_enabled]
    event = in_training[0] if in_training else event
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


def _pairs(run: Run) -> Iterator[tuple[Backward, Comparison, Array, Array]]:
    """Yield the backward pass, the pair, the derivative v of the loss by the predictions, and that of the mean squared error."""
    for backward in run.backwards:
        for index in backward.comparisons[:1]:
            pair = run.trace.events[index]
            if isinstance(pair, Comparison) and pair.forward in backward.loss_gradients:
                v = backward.loss_gradients[pair.forward]
                residuals = pair.predictions - pair.targets
                if len(v) == len(residuals) and np.isfinite(v).all() and np.isfinite(residuals).all():
                    yield backward, pair, v, 2 * residuals / len(residuals)


def _form(run: Run) -> Iterator[Finding]:
    pairs = list(_pairs(run))
    named = next((name for backward in run.backwards for name in backward.functions if name in _OTHER_LOSSES), None)
    other = [entry for entry in pairs if np.isnan(_factor(entry[2], entry[3]))]
    negative = [entry for entry in pairs if _factor(entry[2], entry[3]) < 0]
    if negative and len(negative) > 0.5 * len(pairs):
        backward, pair, v, expected = negative[0]
        yield Finding(
            key="wrong-loss",
            confidence="certain",
            evidence=f"The derivative of the loss by the predictions is {_factor(v, expected):.4g} times that of the mean squared "
            "error: each step makes the squared error larger.",
            numbers={"factor": _factor(v, expected)},
            source=pair.line,
        )
    elif named or len(other) > 0.5 * max(len(pairs), 1):
        backward, pair, v, expected = (other or pairs or [(None, None, None, None)])[0]
        line = pair.line if pair is not None else run.backwards[0].line
        shape = _describe(v, expected) if v is not None else ""
        name = _OTHER_LOSSES.get(named or "", shape or "another function of the predictions")
        confidence = "likely" if other else "possible"
        yield Finding(
            key="wrong-loss",
            confidence=confidence,
            evidence=f"The loss is {name}, not the mean squared error: its derivative by the predictions is not proportional to "
            "predictions minus targets.",
            source=line,
        )


def _factor(v: Array, expected: Array) -> float:
    return proportion({0: v}, {0: expected}, tolerance=1e-2)


def _describe(v: Array, expected: Array) -> str:
    if not v.any():
        return "flat where the predictions are"
    if np.allclose(np.abs(v), np.abs(v).max(), rtol=1e-3):
        return "a sum of differences" if np.all(v > 0) or np.all(v < 0) else "the absolute error"
    return ""


def _penalty(run: Run) -> Iterator[Finding | Remark]:
    """A term of the loss that is a function of the parameters alone."""
    for backward in run.backwards:
        if not backward.direct or backward.chain is None or not backward.forwards:
            continue
        extra = {
            number: backward.contribution[number] - backward.chain[number]
            for number in backward.direct
            if number in backward.chain and number in backward.contribution
        }
        before = _values_at(run, backward)
        ridge = proportion(extra, before, tolerance=1e-2)
        lasso = proportion(extra, {number: np.sign(values) for number, values in before.items()}, tolerance=1e-2)
        size = max((float(np.abs(values).max()) for values in extra.values()), default=0.0)
        if size == 0 or (np.isnan(ridge) and np.isnan(lasso)):
            continue
        kind, amount = ("squared", ridge) if not np.isnan(ridge) else ("absolute", lasso)
        declared = run.declares("weight_decay", "l2", "lam", "lambda", "wd", "reg", "penalty", "ridge", "alpha", "l1", "decay")
        text = f"The gradient has {amount:.4g} times the {'parameters' if kind == 'squared' else 'signs of the parameters'} in it."
        if declared:
            yield Remark(f"The loss has a penalty on {kind} parameters, declared as {declared!r}.")
            return
        yield Finding(
            key="undeclared-weight-decay",
            confidence="likely",
            evidence=f"The loss has a penalty on the {kind} parameters beside the squared error. {text}",
            numbers={"weight_decay": amount},
            source=backward.line,
        )
        return


def _values_at(run: Run, backward: Backward) -> dict[int, Array]:
    forward = run.trace.events[backward.forwards[-1]]
    values = getattr(forward, "parameters", {})
    return {number: values.get(number, run.trace.initial[number]) for number in backward.reached}


def _scale(run: Run) -> Iterator[Finding | Remark]:
    factors = [(number, change, _effective(run, change)) for number, change in enumerate(run.changes, 1)]
    usable = [(number, change, factor) for number, change, factor in factors if np.isfinite(factor) and factor > 0]
    if len(usable) < 1 or len(usable) < 0.4 * len(factors):
        return
    number, change, factor = usable[0]
    passes = len(change.new)
    rows = change.rows / passes if passes else 0
    readings = {
        "accumulation-not-divided": lambda c, f: len(c.new) > 1 and _is_near(f, len(c.new)),
        "sum-for-mean": lambda c, f: (
            c.rows > 1 and any(_is_near(f, size) for size in (c.rows, c.rows / len(c.new), c.rows / 2, c.rows / len(c.new) / 2))
        ),
    }
    for key, fits in readings.items():
        count = sum(fits(one, value) for _, one, value in usable)
        if count >= 0.8 * len(usable) and count >= 0.4 * len(factors):
            unit = f"{passes} passes" if key == "accumulation-not-divided" else f"{rows:g} rows"
            yield Finding(
                key=key,
                confidence="certain" if len(usable) > 1 else "likely",
                evidence=f"The gradient of step {number} is {factor:.4g} times the mean gradient of its {unit}. "
                f"{count} of {len(factors)} steps are like this.",
                numbers={"step": number, "expected_factor": 1.0, "found_factor": factor},
                source=change.line,
            )
            return
    constant = np.median([value for _, _, value in usable])
    if _is_near(constant, 0.5):
        yield Remark("The loss is half the mean squared error: the effective learning rate is half of lr.")


def _effective(run: Run, change: Change) -> float:
    """Return the factor between the gradient used and the mean gradient; for an update by hand, between -(change)/lr and it."""
    if change.old or change.expected is None:
        return np.nan
    if change.step is not None:
        return change.factor
    if run.declared_lr is None:
        return np.nan
    return -proportion(change.difference, change.expected, tolerance=1e-2) / run.declared_lr


def _is_near(value: float, target: float) -> bool:
    return abs(value - target) <= 0.01 * abs(target)
