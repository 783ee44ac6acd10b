"""Which rows an epoch uses, in which order, and with which targets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.rules.batches.order import check_order, rows_of
from squarely.checkup.rules.batches.validation_rows import check_validation_rows
from squarely.checkup.rules.epochs import TrainingBatch
from squarely.checkup.rules.rows import Rows
from squarely.checkup.rules.run import Run

Flags = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def check_batches(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Check the rows of every epoch and the pairs of inputs and targets."""
    results: list[Finding | Remark] = [*_misaligned(run), *check_validation_rows(run)]
    if run.knows_rows or run.problem is None:
        epochs = _whole_epochs(run)
        results += _coverage(run, epochs)
        if not run.is_full_batch:
            results += check_order(run, epochs)
    yield from results
    if run.batches and not any(isinstance(result, Finding) for result in results):
        order = "" if run.is_full_batch else ", in an order that changes"
        yield Verified(f"{len(run.batches)} batches have the rows and targets that they should{order}.")


def _whole_epochs(run: Run) -> list[list[TrainingBatch]]:
    """The epochs without a last one that was cut off."""
    epochs = run.epochs
    return epochs[:-1] if len(epochs) > 1 and (run.trace.truncated or len(epochs[-1]) < len(epochs[0])) else epochs


def _misaligned(run: Run) -> Iterator[Finding]:
    wrong = [
        (number, batch)
        for number, batch in enumerate(run.batches, 1)
        if batch.target_rows is not None
        and run.row_numbers.by_problem
        and len(batch.target_rows) == len(batch.rows)
        and (batch.target_rows != batch.rows).mean() > 0.2
    ]
    if wrong:
        number, batch = wrong[0]
        targets = batch.rows if batch.target_rows is None else batch.target_rows
        different = int((targets != batch.rows).sum())
        first = int(np.flatnonzero(targets != batch.rows)[0])
        yield Finding(
            key="labels-misaligned",
            confidence="certain",
            evidence=f"In batch {number}, {different} of {len(batch.rows)} targets belong to other rows: row {batch.rows[first]} "
            f"has the target of row {targets[first]}. {len(wrong)} of {len(run.batches)} batches are like this.",
            numbers={"batch": number, "expected_misaligned": 0, "found_misaligned": different},
            source=batch.comparison.line if batch.comparison else batch.forward.line,
        )


def _coverage(run: Run, epochs: list[list[TrainingBatch]]) -> Iterator[Finding | Remark]:
    if not epochs or (run.problem is None and run.is_full_batch):
        return
    n = len(run.problem.X) if run.problem is not None else run.rows_in_training
    counts = np.array([np.bincount(rows_of(epoch), minlength=n)[:n] for epoch in epochs])
    evaluated = {int(row) for event in run.evaluations for row in run.row_numbers.of_inputs(event.inputs)}
    expected = np.array([row for row in range(n) if counts[:, row].any() or row not in evaluated], dtype=int)
    if not len(expected):
        return
    missed, repeated = (counts[:, expected] == 0), (counts[:, expected] > 1)
    if _is_random_draw(missed, repeated):
        yield from _random_draw(run)
        return
    if missed.any(axis=1).mean() > 0.5:
        yield from _dropped(run, epochs, missed, expected)
    if repeated.any(axis=1).mean() > 0.5:
        number = int(np.flatnonzero(repeated.any(axis=1))[0])
        many = int(repeated[number].sum())
        same = bool((repeated[0] == repeated[-1]).all()) and len(epochs) > 1
        evenly = bool((counts[number, expected] == counts[number, expected[0]]).all())  # as two passes of each batch do
        yield Finding(
            key="rows-repeated",
            confidence="likely" if (same or many > 0.05 * n) and not evenly else "possible",
            evidence=f"Epoch {number + 1} uses {many} of {len(expected)} rows more than once.",
            numbers={"epoch": number + 1, "expected_repeated": 0, "found_repeated": many},
            source=epochs[number][-1].forward.line,
        )


def _is_random_draw(missed: Flags, repeated: Flags) -> bool:
    return bool(
        missed.any(axis=1).mean() > 0.5
        and repeated.any(axis=1).mean() > 0.5
        and not missed.all(axis=0).sum() > 0.1 * missed.shape[1]
    )


def _random_draw(run: Run) -> Iterator[Finding | Remark]:
    yield Remark("Batches are drawn at random, so an epoch does not use every row once.")
    loader = next((start for start in run.loader_starts if start.sampler == "RandomSampler"), None)
    if loader is not None:  # a weighted sampler draws with replacement on purpose
        text = "The loader draws rows with replacement: an epoch uses some rows twice and others not at all."
        yield Finding(key="rows-repeated", confidence="possible", evidence=text, source=loader.line)


def _dropped(run: Run, epochs: list[list[TrainingBatch]], missed: Flags, expected: Rows) -> Iterator[Finding | Remark]:
    count, size = int(np.median(missed.sum(axis=1))), missed.shape[1]
    lost = int(missed.all(axis=0).sum())
    same = [bool((a == b).all()) for a, b in pairwise(missed)]
    if not lost and np.mean(same) > 0.5:
        yield Remark("Each epoch leaves out one part of the rows, and other epochs another part, as in cross-validation.")
        return
    held_out = lost == count and lost >= 0.08 * size and lost >= len(epochs[0][0].rows)
    if held_out:
        yield Remark(f"{lost} of {size} rows are in no epoch: the loop holds them out.")
        return
    loader = next((event for event in run.loader_starts if event.drop_last), None)
    reason = " The loader has drop_last=True." if loader is not None else ""
    always = f" {lost} rows are in no epoch at all." if lost else " They are others in each epoch."
    certain = lost and len(epochs) > 1 and not run.trace.truncated
    yield Finding(
        key="rows-dropped",
        confidence="certain" if certain else "likely" if lost else "possible",
        evidence=f"An epoch uses {size - count} of {size} rows.{always}{reason}",
        numbers={"expected_rows": size, "found_rows": size - count},
        source=(loader.line if loader is not None else None) or epochs[0][-1].forward.line,
    )
