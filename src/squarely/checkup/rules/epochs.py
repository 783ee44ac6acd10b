"""The batches of a run, and which of them make an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from squarely.checkup.recorder.trace import Backward, Forward, LoaderStart, TargetComparison, Trace
from squarely.checkup.rules.rows import Rows


@dataclass(slots=True, kw_only=True)
class TrainingBatch:
    """A batch that a backward pass used.

    Attributes
    ----------
    forward, backward, comparison : the events; `comparison` is None where predictions met no targets.
    rows : (B,) of the inputs.
    target_rows : (B,) of the targets; None if their values are not those of the problem.
    """

    forward: Forward
    backward: Backward
    comparison: TargetComparison | None
    rows: Rows
    target_rows: Rows | None


def count_rows(batches: list[TrainingBatch]) -> int:
    """Return how many different rows batches have."""
    return len({int(row) for batch in batches for row in batch.rows})


def is_full_batch(batches: list[TrainingBatch]) -> bool:
    """Return whether nearly every batch has the rows of the one before: all of the data, or all of a fold."""
    rows = [frozenset(batch.rows.tolist()) for batch in batches]
    same = sum(before == after for before, after in pairwise(rows))
    return bool(rows) and (len(rows) == 1 or same > 0.8 * (len(rows) - 1))


def find_epochs(batches: list[TrainingBatch], trace: Trace, declared: int | None) -> list[list[TrainingBatch]]:
    """Split the batches where a loader begins, or by the `declared` number of epochs, or where rows come again."""
    if not batches:
        return []
    starts = _starts_of_training(batches, trace)
    if starts and starts[0].index < batches[0].forward.index:
        groups = _split_at_starts(batches, starts)
        if len(groups) == 1 or max(len(group) for group in groups) > 1:
            return groups
    if is_full_batch(batches):
        return [[batch] for batch in batches]
    count = len(batches)
    if declared and not starts and not trace.truncated and count % declared == 0:
        size = count // declared
        return [batches[first : first + size] for first in range(0, count, size)]
    return _split_at_repeats(batches, count_rows(batches))


def _starts_of_training(batches: list[TrainingBatch], trace: Trace) -> list[LoaderStart]:
    """Return the starts of loaders after which the next forward pass is trained on."""
    used = {batch.forward.index for batch in batches}
    found: list[LoaderStart] = []
    waiting: list[LoaderStart] = []
    for event in trace.events:
        if isinstance(event, LoaderStart):
            waiting.append(event)
        elif isinstance(event, Forward):
            found += waiting[-1:] if event.index in used else []
            waiting = []
    return found


def _split_at_starts(batches: list[TrainingBatch], starts: list[LoaderStart]) -> list[list[TrainingBatch]]:
    groups: dict[int, list[TrainingBatch]] = {}
    for batch in batches:
        begin = max((number for number, start in enumerate(starts) if start.index < batch.forward.index), default=0)
        groups.setdefault(begin, []).append(batch)
    epochs = []
    for number, group in groups.items():
        rows = starts[number].rows
        cycles = rows is not None and sum(len(batch.rows) for batch in group) > 1.6 * rows  # as itertools.cycle does
        epochs += _split_at_repeats(group, rows or 0) if cycles else [group]
    return epochs


def _split_at_repeats(batches: list[TrainingBatch], rows_in_training: int) -> list[list[TrainingBatch]]:
    """Begin an epoch when three quarters of the rows are used and a batch repeats one of them."""
    epochs: list[list[TrainingBatch]] = [[]]
    done: set[int] = set()
    for batch in batches:
        rows = set(batch.rows.tolist())
        if rows & done and len(done) >= 0.75 * rows_in_training:
            epochs.append([])
            done = set()
        epochs[-1].append(batch)
        done |= rows
    return epochs
