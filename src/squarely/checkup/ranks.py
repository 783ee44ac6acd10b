"""The updates of two processes that train together: their gradients are sums or means over the processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from squarely.checkup.findings import Finding, Remark, SourceLine, Verified
from squarely.checkup.recorder.trace import Values
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import proportion

_CHANGES = 12  # updates that are compared
ONE_RANK = (  # what the gradients and rows of one process do not tell
    "rows-dropped", "rows-repeated", "sum-for-mean", "accumulation-not-divided", "lr-too-low", "trains-on-validation",
    "undeclared-momentum", "undeclared-weight-decay", "gradient-clipped",
)  # fmt: skip


def first_changes(run: Run) -> list[dict[str, Any]]:
    """Return the first updates of a rank as values for JSON."""
    return [
        {
            "gradients": {str(number): values.tolist() for number, values in change.gradients.items()},
            "difference": {str(number): values.tolist() for number, values in change.difference.items()},
            "expected": {str(number): values.tolist() for number, values in (change.expected or {}).items()},
            "rows": change.rows,
            "lr": change.lr if change.step is not None else run.declared_lr,
            "by_hand": change.step is None,
            "line": None if change.line is None else [change.line.file, change.line.line, change.line.text],
        }
        for change in run.changes[:_CHANGES]
    ]


def epoch_rows(run: Run) -> list[list[int]]:
    """Return the rows of each whole epoch of a rank."""
    epochs = run.epochs[:-1] if run.trace.truncated else run.epochs
    return [[int(row) for batch in epoch for row in batch.rows] for epoch in epochs[:_CHANGES]]


def compare_rows(ranks: Sequence[Sequence[Sequence[int]]], rows: int) -> Iterator[Finding]:
    """Compare the rows that all ranks together use in each epoch with all `rows`."""
    epochs = [np.bincount([row for part in parts for row in part], minlength=rows) for parts in zip(*ranks, strict=False)]
    if not epochs:
        return
    repeated, missed = int((epochs[0] > 1).sum()), int((epochs[0] == 0).sum())
    if 0 < repeated < rows / 2:  # else each process trains on all rows
        yield Finding(
            key="rows-repeated",
            confidence="possible" if repeated < len(ranks) else "likely",
            evidence=f"In epoch 1 the processes together use {repeated} of {rows} rows more than once. A DistributedSampler "
            "repeats rows until each process has as many.",
            numbers={"expected_repeated": 0, "found_repeated": repeated},
        )
    if missed and all((counts == 0).any() for counts in epochs):
        always = int(np.all([counts == 0 for counts in epochs], axis=0).sum())
        yield Finding(
            key="rows-dropped",
            confidence="likely" if always and len(epochs) > 1 else "possible",
            evidence=f"In epoch 1 the processes together use {rows - missed} of {rows} rows; {always} rows are in no epoch.",
            numbers={"expected_rows": rows, "found_rows": rows - missed},
        )


def compare_ranks(ranks: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[Finding | Remark | Verified]:
    """Compare the gradients that the updates of each rank use with the mean over all rows of all ranks."""
    size = len(ranks)
    updates = list(zip(*ranks, strict=False))
    factors = [_factor(update, together=True) for update in updates]
    alone = [_factor(update, together=False) for update in updates]
    summed = [number for number, factor in enumerate(factors, 1) if np.isfinite(factor) and abs(factor - size) < 0.02 * size]
    if updates and len(summed) > 0.5 * len(updates):
        number = summed[0]
        line = updates[number - 1][0]["line"]
        yield Finding(
            key="ranks-summed",
            confidence="certain",
            evidence=f"With {size} processes the gradient of step {number} is {factors[number - 1]:.4g} times the mean gradient "
            f"over the rows of all processes. {len(summed)} of {len(updates)} compared steps are like this.",
            numbers={"step": number, "expected_factor": 1.0, "found_factor": factors[number - 1], "processes": size},
            source=None if line is None else SourceLine(file=line[0], line=line[1], text=line[2]),
        )
    elif updates and np.mean([np.isfinite(factor) and abs(factor - 1) < 0.02 for factor in factors]) > 0.5:
        yield Verified(f"With {size} processes each step uses the mean gradient over the rows of all of them.")
    elif updates and np.mean([np.isfinite(factor) and abs(factor - 1) < 0.02 for factor in alone]) > 0.5:
        yield Remark(f"The {size} processes do not combine their gradients: each trains a model of its own.")


def _factor(update: Sequence[Mapping[str, Any]], *, together: bool) -> float:
    """Return the gradient used by the first rank over the mean gradient; NaN if they are not proportional."""
    first = update[0]
    used = _values(first["gradients"])
    if first["by_hand"]:
        if not first["lr"]:
            return np.nan
        used = {number: -values / first["lr"] for number, values in _values(first["difference"]).items()}
    shares = update if together else update[:1]
    rows = sum(share["rows"] for share in shares)
    found = np.nan
    for weights in ([share["rows"] / max(rows, 1) for share in shares], [1 / len(shares)] * len(shares)):
        mean: Values = {}
        for weight, share in zip(weights, shares, strict=True):
            for number, values in _values(share["expected"]).items():
                mean[number] = mean.get(number, np.zeros_like(values)) + weight * values
        factor = proportion(used, mean, tolerance=1e-2)
        found = factor if np.isnan(found) or abs(factor - round(factor)) < abs(found - round(found)) else found
    return found


def _values(entries: Mapping[str, Sequence[float]]) -> Values:
    return {int(number): np.array(values) for number, values in entries.items()}
