"""Which batches make an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squarely.checkup.recorder.trace import Forward, LoaderStart

if TYPE_CHECKING:
    from squarely.checkup.rules.run import Batch, Run


def find_epochs(run: Run) -> list[list[Batch]]:
    """Split the batches where a loader begins, or by the declared number of epochs, or where rows come again."""
    if not run.batches:
        return []
    starts = _starts_of_training(run)
    if starts and starts[0].index < run.batches[0].forward.index:
        groups = _split_at_starts(run, starts)
        if len(groups) == 1 or max(len(batches) for batches in groups) > 1:
            return groups
    if run.is_full_batch:
        return [[batch] for batch in run.batches]
    count = len(run.batches)
    epochs = run.declared_epochs
    if epochs and not starts and not run.trace.truncated and count % epochs == 0:
        size = count // epochs
        return [run.batches[first : first + size] for first in range(0, count, size)]
    return _split_at_repeats(run.batches, run.rows_in_training)


def _starts_of_training(run: Run) -> list[LoaderStart]:
    """Return the starts of loaders after which the next forward pass is trained on."""
    used = {batch.forward.index for batch in run.batches}
    found: list[LoaderStart] = []
    waiting: list[LoaderStart] = []
    for event in run.trace.events:
        if isinstance(event, LoaderStart):
            waiting.append(event)
        elif isinstance(event, Forward):
            found += waiting[-1:] if event.index in used else []
            waiting = []
    return found


def _split_at_starts(run: Run, starts: list[LoaderStart]) -> list[list[Batch]]:
    groups: dict[int, list[Batch]] = {}
    for batch in run.batches:
        begin = max((number for number, start in enumerate(starts) if start.index < batch.forward.index), default=0)
        groups.setdefault(begin, []).append(batch)
    epochs = []
    for number, batches in groups.items():
        rows = starts[number].rows
        cycles = rows is not None and sum(len(batch.rows) for batch in batches) > 1.6 * rows  # as itertools.cycle does
        epochs += _split_at_repeats(batches, rows or 0) if cycles else [batches]
    return epochs


def _split_at_repeats(batches: list[Batch], rows_in_training: int) -> list[list[Batch]]:
    """Begin an epoch when three quarters of the rows are used and a batch repeats one of them."""
    epochs: list[list[Batch]] = [[]]
    done: set[int] = set()
    for batch in batches:
        rows = set(batch.rows.tolist())
        if rows & done and len(done) >= 0.75 * rows_in_training:
            epochs.append([])
            done = set()
        epochs[-1].append(batch)
        done |= rows
    return epochs
