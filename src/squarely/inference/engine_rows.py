"""The rows of a fit in the engine that has them: what `scan` is for rows that are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squarely.data import Source
from squarely.design import row_account_in_engine
from squarely.errors import changed_error
from squarely.exact import Solution
from squarely.inference.scan import require_complete
from squarely.moments import EngineSolution, WhitenedQuery, whiten_in_engine
from squarely.numerics import Array


def is_in_engine(solution: Solution, source: Source) -> bool:
    """Return whether the engine that solved by aggregates can be asked for more of them."""
    record = solution.moments.engine_record
    return record is not None and record.solution is not None and source.engine is not None


def has_windows(solution: Solution, source: Source) -> bool:
    """Return whether windows over neighboring rows are left to the engine: Spark would move all rows to one of its tasks."""
    return is_in_engine(solution, source) and not source.partitioned


def whiten_rows_in_engine(solution: Solution, source: Source, groups: Sequence[str] = ()) -> WhitenedQuery:
    """Return the rows of a fit as a query, with the labels of `groups`; rows without a label are left out."""
    return whiten_in_engine(_solution_in_engine(solution), source, groups)


def require_rows_of_fit(solution: Solution, source: Source, rows: WhitenedQuery, n: int, gradient: Array) -> None:
    """Raise a DataError unless a scan has the number of rows of the fit, whose scores sum (q,) to zero up to rounding."""
    moments, gram = solution.moments, _solution_in_engine(solution).engine_gram.gram
    if n < moments.n:
        account, _ = row_account_in_engine(source, rows.complete_rows, n)
        require_complete(source, solution, account, tuple(rows.labels), ())
    if n != moments.n or not (np.abs(gradient) <= 1e-10 * np.sqrt(gram[-1, -1])).all():
        raise changed_error(
            source.label, f"{moments.n:,} complete rows", f"{n:,}" + (" with other values" if n == moments.n else "")
        )


def _solution_in_engine(solution: Solution) -> EngineSolution:
    record = solution.moments.engine_record
    assert record is not None and record.solution is not None  # noqa: PT018, S101  # as `is_in_engine` says
    return record.solution
