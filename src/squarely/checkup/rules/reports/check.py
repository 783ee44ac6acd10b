"""Which definition of an epoch's loss the reported numbers have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.rules.reports.numbers import Numbers, read_numbers
from squarely.checkup.rules.reports.passes import Pass, evaluation_passes, training_passes
from squarely.checkup.rules.run import Run
from squarely.numerics import Array

MAX_SINGLE = 6  # so few numbers may be those of the last epoch alone
_DEFINITIONS: dict[str, Callable[[Pass], float]] = {
    "last": lambda each: float(each.losses[-1]),
    "mean of batch means": lambda each: float(each.losses.mean()),
    "sum of batch means": lambda each: float(each.losses.sum()),
    "sum of batch means, divided by the rows": lambda each: float(each.losses.sum() / each.sizes.sum()),
    "sum of batch means, times the first batch's rows, divided by the rows": lambda each: float(
        each.losses.sum() * each.sizes[0] / each.sizes.sum()
    ),
    "mean": lambda each: each.mean,
    "sum": lambda each: float(each.losses @ each.sizes),
}


def check_reports(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Find the definition that gives the printed and returned numbers. At most two findings."""
    numbers = read_numbers(run.output, run.returned)
    if not len(numbers.values):
        return
    evaluations = evaluation_passes(run)
    numbers = numbers.without(each.mean for passes in evaluations for each in passes)
    findings: dict[str, Finding] = {}
    for passes in evaluations:
        for finding in _compare(run, numbers, [each for each in passes if len(each.sizes) > 1], trained=False):
            findings.setdefault(finding.key, finding)
    for passes in training_passes(run):
        for finding in _compare(run, numbers, passes, trained=run.moves_in_epochs):
            findings.setdefault(finding.key, finding)
    order = ["last-batch-loss", "mean-of-batch-means", "loss-while-moving"]
    yield from sorted(findings.values(), key=lambda finding: order.index(finding.key))[:2]


def _compare(run: Run, numbers: Numbers, passes: list[Pass], *, trained: bool) -> Iterator[Finding]:
    """Yield what the definition says that gives most of the reported numbers."""
    if not passes or not len(numbers.values):
        return
    series = {name: np.array([define(each) for each in passes]) for name, define in _DEFINITIONS.items()}
    found = {name: _matched(numbers, values) for name, values in series.items()}
    if found["last"] and _reports_every_batch(numbers, passes):
        found["last"] = set()
    best = max(len(epochs) for epochs in found.values())
    fitting = [name for name, epochs in found.items() if epochs and len(epochs) >= 0.9 * best]
    if not fitting:
        yield from _never_reset(run, numbers, passes, series)
        return
    for name in fitting:
        number = min(found[name])
        yield from _name(run, name, number, passes[number], series[name][number], trained=trained)


def _matched(numbers: Numbers, values: Array) -> set[int]:
    """Return the passes whose value is reported: most of them, each k-th, or the last alone."""
    near = np.array([numbers.near(value) for value in values])
    epochs = np.flatnonzero(near.any(axis=1))
    last = len(values) - 1
    if not len(epochs):
        return set()
    steps = np.diff(epochs)
    distinct = len(np.unique(numbers.values[near.any(axis=0)]))
    most = len(epochs) >= max(2, 0.6 * len(values))
    regular = len(epochs) > 1 and len(set(steps.tolist())) == 1 and epochs[0] <= steps[0] and last - epochs[-1] < steps[0]
    if distinct > 1 and (most or regular):
        return set(epochs.tolist())
    precise = numbers.errors[near[last]].min(initial=np.inf) <= 0.005 * abs(values[last])
    return {last} if last in epochs and len(numbers.values) <= MAX_SINGLE and precise else set()


def _reports_every_batch(numbers: Numbers, passes: list[Pass]) -> bool:
    """Whether the losses of other batches than the last are reported too."""
    others = np.array([each.losses[position] for each in passes for position in (0, (len(each.losses) - 1) // 2)])
    return bool(np.mean([numbers.near(value).any() for value in others]) > 0.4)


def _never_reset(run: Run, numbers: Numbers, passes: list[Pass], series: dict[str, Array]) -> Iterator[Finding]:
    """A sum over an epoch that goes on from the epoch before."""
    if len(passes) < 2:
        return
    batches, rows = len(passes[0].sizes), float(passes[0].sizes.sum())
    count = np.arange(1, len(passes) + 1)
    means, squares = np.cumsum(series["sum of batch means"]), np.cumsum(series["sum"])
    candidates = [
        means,
        means / batches,
        means / rows,
        means / (batches * count),
        squares,
        squares / rows,
        squares / (rows * count),
    ]
    for values in candidates:
        epochs = _matched(numbers, values[1:])
        if len(epochs) > 1:
            yield _finding(
                run,
                "loss-while-moving",
                f"The loss reported for epoch 2, {values[1]:.5g}, contains that of epoch 1: the sum goes on over all epochs. "
                f"The mean over the rows of epoch 2 is {passes[1].mean:.5g}.",
                expected=passes[1].mean,
                found=float(values[1]),
            )
            return


def _name(run: Run, definition: str, number: int, each: Pass, found: float, *, trained: bool) -> Iterator[Finding]:
    what = f"The loss reported for {'epoch' if trained else 'evaluation'} {number + 1}"
    batches, sizes = len(each.sizes), each.sizes
    if definition == "last":
        yield _finding(
            run,
            "last-batch-loss",
            f"{what} is that of its last batch of {sizes[-1]} rows, {found:.5g}. "
            f"Over all {sizes.sum()} rows it is {each.mean:.5g}.",
            expected=each.mean,
            found=found,
        )
        return
    if definition not in {"mean", "sum"} and (not each.is_even or (definition.endswith("divided by the rows") and sizes[0] > 1)):
        yield _finding(
            run,
            "mean-of-batch-means",
            f"{what} is the {definition}: {found:.5g} from {batches} batches, of which the first has {sizes[0]} rows and the last "
            f"{sizes[-1]}. The mean over rows is {each.mean:.5g}.",
            expected=each.mean,
            found=found,
        )
    if trained:
        yield _finding(
            run,
            "loss-while-moving",
            f"{what}, {found:.5g}, is added up while the weights move: it belongs to no single set of weights.",
            expected=each.mean,
            found=found,
        )


def _finding(run: Run, key: str, evidence: str, *, expected: float, found: float) -> Finding:
    line = run.line_with("print(", "append(", "log(", "loss")
    return Finding(key=key, confidence="possible", evidence=evidence, numbers={"expected": expected, "found": found}, source=line)
