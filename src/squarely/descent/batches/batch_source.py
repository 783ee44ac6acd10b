"""`BatchSource`, the standardized rows of a run in batches, and `RunInputs`, all that a run reads.

All kinds have `n` rows in all processes of their `group`, and `features` inputs. `batches(epoch, size, skip)` yields the rows of an
epoch in batches of `size`, the last one shorter, without the first `skip`; a seed and the epoch decide the order. With several
processes, each yields its own rows of a batch, or none; `count_batch_rows` returns how many rows a batch has in all, of which this
process has `local`. `sequential` yields the rows of this process in the order of the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from squarely.data import RowAccount, Source, scan_purpose
from squarely.descent.batches.in_memory import InMemoryBatches
from squarely.descent.batches.loader import LoaderBatches
from squarely.descent.batches.streamed import StreamedBatches
from squarely.descent.run_theory.theory_inputs import TheoryInputs
from squarely.design import Design, iter_blocks

BatchSource = InMemoryBatches | StreamedBatches | LoaderBatches


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunInputs:
    """What one run reads, resolved once."""

    theory: TheoryInputs
    batches: BatchSource
    validation: BatchSource | None
    validation_account: RowAccount | None
    is_streamed: bool  # whether the rows are read again in each epoch
    remarks: tuple[str, ...]  # on how the rows are read


def account_rows(design: Design, source: Source) -> RowAccount:
    """Count the complete rows of a source, and the others by what they lack."""
    with scan_purpose("number of rows"):
        return sum((block.account for block in iter_blocks(design, source)), RowAccount())
