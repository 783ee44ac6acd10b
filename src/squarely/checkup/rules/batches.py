"""Which rows an epoch uses, in which order, and with which targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.recorder.trace import LoaderStart
from squarely.checkup.rules.rows import Rows
from squarely.checkup.rules.run import Batch, Run


def check_batches(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Check the rows of every epoch and the pairs of inputs and targets."""
    findings = [*_misaligned(run), *_validation_rows(run)]
    if run.row_numbers.by_problem or run.problem is None:
        epochs = _whole_epochs(run)
        findings += _coverage(run, epochs)
        if not run.is_full_batch:
            findings += _order(run, epochs)
    yield from findings
    if run.batches and not findings:
        yield Verified(f"{len(run.batches)} batches have the rows and targets that they should, in an order that changes.")


def _whole_epochs(run: Run) -> list[list[Batch]]:
    """The epochs without a last one that was cut off."""
    epochs = run.epochs
    return epochs[:-1] if len(epochs) > 1 and (run.trace.truncated or len(epochs[-1]) < len(epochs[0])) else epochs


def _rows(epoch: list[Batch]) -> Rows:
    return np.concatenate([batch.rows for batch in epoch])


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
        different = int((batch.target_rows != batch.rows).sum())
        first = int(np.flatnonzero(batch.target_rows != batch.rows)[0])
        yield Finding(
            key="labels-misaligned",
            confidence="certain",
            evidence=f"In batch {number}, {different} of {len(batch.rows)} targets belong to other rows: row "
            f"{batch.rows[first]} meets the target of row {batch.target_rows[first]}. "  # type: ignore[index]
            f"{len(wrong)} of {len(run.batches)} batches are like this.",
            numbers={"batch": number, "expected_misaligned": 0, "found_misaligned": different},
            source=batch.comparison.line if batch.comparison else batch.forward.line,
        )


def _validation_rows(run: Run) -> Iterator[Finding]:
    if run.problem is None or not run.row_numbers.by_problem:
        return
    n = len(run.problem.X)
    given = any("val" in name for name in run.given)
    leaks = [(number, batch) for number, batch in enumerate(run.batches, 1) if (batch.rows >= n).any()]
    if leaks and given:
        number, batch = leaks[0]
        yield Finding(
            key="trains-on-validation",
            confidence="certain",
            evidence=f"Backward pass {number} uses {int((batch.rows >= n).sum())} validation rows. {len(leaks)} of "
            f"{len(run.batches)} batches have such rows.",
            numbers={"batch": number, "validation_rows": int((batch.rows >= n).sum())},
            source=batch.backward.line,
        )
        return
    yield from _own_split(run)


def _own_split(run: Run) -> Iterator[Finding]:
    """Rows that are always the same part of the data are evaluated, and are trained on too."""
    trained = {int(row) for batch in run.batches for row in batch.rows}
    blocks: dict[frozenset[int], list[int]] = {}
    for group in _evaluation_groups(run):
        rows = frozenset(int(row) for event in group for row in run.row_numbers.of_inputs(event.inputs))
        blocks.setdefault(rows, []).append(group[0].index)
    for rows, indices in blocks.items():
        shared = rows & trained
        if 3 <= len(rows) < 0.6 * len(trained) and len(shared) > 0.5 * len(rows) and len(indices) > 1 and len(trained) > len(rows):
            event = run.trace.events[indices[0]]
            yield Finding(
                key="trains-on-validation",
                confidence="likely",
                evidence=f"{len(rows)} rows are evaluated {len(indices)} times without a backward pass, as validation rows are, and "
                f"{len(shared)} of them are trained on too.",
                numbers={"validation_rows": len(rows), "trained_on": len(shared)},
                source=event.line,
            )
            return


def _evaluation_groups(run: Run) -> list[list]:
    groups: list[list] = []
    used = {index for backward in run.backwards for index in backward.forwards}
    last_training = True
    for event in run.forwards:
        if event.index in used:
            last_training = True
        else:
            if last_training or len(groups[-1][0].inputs) == len(event.inputs) == 0:
                groups.append([])
            groups[-1].append(event)
            last_training = False
    return groups


def _coverage(run: Run, epochs: list[list[Batch]]) -> Iterator[Finding | Remark]:
    if not epochs or (run.problem is None and run.is_full_batch):
        return
    n = len(run.problem.X) if run.problem is not None else run.rows_in_training
    counts = np.array([np.bincount(_rows(epoch), minlength=n)[:n] for epoch in epochs])
    evaluated = {int(row) for event in run.evaluations for row in run.row_numbers.of_inputs(event.inputs)}
    expected = np.array([row for row in range(n) if counts[:, row].any() or row not in evaluated], dtype=int)
    if not len(expected):
        return
    missed, repeated = (counts[:, expected] == 0), (counts[:, expected] > 1)
    if _is_random_draw(run, missed, repeated):
        yield Remark("Batches are drawn at random, so an epoch does not use every row once.")
        return
    lost = [int(row) for row in expected[missed.all(axis=0)]]
    if missed.any():
        yield from _dropped(run, epochs, missed, lost, len(expected))
    if repeated.any(axis=1).mean() > 0.5:
        number = int(np.flatnonzero(repeated.any(axis=1))[0])
        many = int(repeated[number].sum())
        same = bool((repeated[0] == repeated[-1]).all()) and len(epochs) > 1
        yield Finding(
            key="rows-repeated",
            confidence="likely" if same or many > 0.05 * n else "possible",
            evidence=f"Epoch {number + 1} uses {many} of {len(expected)} rows more than once.",
            numbers={"epoch": number + 1, "expected_repeated": 0, "found_repeated": many},
            source=epochs[number][-1].forward.line,
        )


def _is_random_draw(run: Run, missed: np.ndarray, repeated: np.ndarray) -> bool:
    return bool(
        missed.any(axis=1).mean() > 0.5
        and repeated.any(axis=1).mean() > 0.5
        and not missed.all(axis=0).sum() > 0.1 * missed.shape[1]
    )


def _dropped(run: Run, epochs: list[list[Batch]], missed: np.ndarray, lost: list[int], expected: int) -> Iterator[Finding]:
    if missed.any(axis=1).mean() <= 0.5:
        return
    count = int(np.median(missed.sum(axis=1)))
    loader = next((event for event in run.events(LoaderStart) if event.drop_last), None)
    reason = " The loader has drop_last=True." if loader is not None else ""
    always = f" {len(lost)} rows are in no epoch at all." if lost else " They are others in each epoch."
    yield Finding(
        key="rows-dropped",
        confidence="certain" if lost and len(epochs) > 1 else "likely" if lost else "possible",
        evidence=f"An epoch uses {expected - count} of {expected} rows.{always}{reason}",
        numbers={"expected_rows": expected, "found_rows": expected - count},
        source=(loader.line if loader is not None else None) or epochs[0][-1].forward.line,
    )


def _order(run: Run, epochs: list[list[Batch]]) -> Iterator[Finding]:
    if len(epochs) < 2 or len(epochs[0]) < 2:
        return
    orders = [_rows(epoch) for epoch in epochs]
    same = [len(a) == len(b) and bool((a == b).all()) for a, b in zip(orders[:-1], orders[1:], strict=True)]
    if np.mean(same) < 0.9:
        return
    is_sorted = bool((np.diff(orders[0]) > 0).all())
    line = epochs[0][0].forward.line
    seeded = run.line_with(
        "manual_seed", "np.random.seed", "random.seed", "generator=", "set_epoch", "default_rng(", "RandomState("
    )
    states = [event.rng_state for event in run.events(LoaderStart)]
    reset = len(states) > 1 and len(set(states)) < 0.6 * len(states)
    text = f"All {len(epochs)} epochs use the rows in the same order"
    numbers = {"epochs": len(epochs), "expected_orders": len(epochs), "found_orders": 1}
    shuffled = "random-state-fixed-per-epoch"
    if is_sorted:
        yield Finding(
            key="not-shuffled",
            confidence="likely",
            evidence=f"{text}, that of the data.",
            numbers=numbers,
            source=run.line_with("DataLoader(", "shuffle") or line,
        )
        return
    first, second = (shuffled, "not-shuffled") if reset or seeded else ("not-shuffled", shuffled)
    yield Finding(
        key=first, confidence="likely", evidence=f"{text}, which is not that of the data.", numbers=numbers, source=seeded or line
    )
    yield Finding(key=second, confidence="possible", evidence=f"{text}.", numbers=numbers, source=line)
