"""Whether rows of validation are trained on."""

from __future__ import annotations

from collections.abc import Iterator

from squarely.checkup.findings import Finding
from squarely.checkup.recorder.trace import Forward
from squarely.checkup.rules.run import Run


def check_validation_rows(run: Run) -> Iterator[Finding]:
    """Find validation rows of the problem in backward passes, and rows that are evaluated as validation rows are."""
    if run.problem is None or not run.knows_rows:
        return
    n = len(run.problem.X)
    leaks = [(number, batch) for number, batch in enumerate(run.batches, 1) if (batch.rows >= n).any()]
    if leaks:
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
    """Rows that are always the same part of the data are evaluated, and the same model is trained on them too."""
    blocks: dict[tuple[int | None, frozenset[int]], list[int]] = {}
    for group in _evaluation_groups(run):
        rows = frozenset(int(row) for event in group for row in run.row_numbers.of_inputs(event.inputs))
        blocks.setdefault((group[0].module, rows), []).append(group[0].index)
    for (module, rows), indices in blocks.items():
        shared, many = _count_shared(run, module, rows, indices[-1])
        if len(indices) < 2 or len(rows) < 3 or len(rows) >= 0.6 * many or shared <= 0.5 * len(rows):
            continue
        others = [known for known, same in blocks if same == rows and known != module]
        apart = any(_count_shared(run, known, rows, len(run.trace.events))[0] == 0 for known in others)
        yield Finding(
            key="trains-on-validation",
            confidence="possible" if apart else "likely",  # a model that is trained on all rows after the choice of another
            evidence=f"{len(rows)} rows are evaluated {len(indices)} times without a backward pass, as validation rows are. "
            f"{shared} of them are trained on too.",
            numbers={"validation_rows": len(rows), "trained_on": shared},
            source=run.trace.events[indices[0]].line,
        )
        return


def _count_shared(run: Run, module: int | None, rows: frozenset[int], end: int) -> tuple[int, int]:
    """Return how many of `rows` a model is trained on before the event `end`, and how many rows in all."""
    batches = [batch for batch in run.batches if batch.forward.module == module and batch.forward.index < end]
    trained = {int(row) for batch in batches for row in batch.rows}
    return len(rows & trained), len(trained)


def _evaluation_groups(run: Run) -> list[list[Forward]]:
    """Return the evaluations between two training passes together."""
    groups: list[list[Forward]] = []
    used = {index for backward in run.backwards for index in backward.forwards}
    begins = True
    for event in run.forwards:
        if event.index in used:
            begins = True
            continue
        if begins:
            groups.append([])
        groups[-1].append(event)
        begins = False
    return groups
