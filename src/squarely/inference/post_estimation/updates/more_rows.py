"""Add rows to a fit: only the new ones are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from squarely.data import Source, open_new_rows
from squarely.design import learn_new_levels
from squarely.errors import OptionError
from squarely.exact import Solution, solve_least_squares
from squarely.inference.serialization.merge import detach_source, merge_solutions
from squarely.moments import gather_moments
from squarely.types import Data

_NOT_ROBUST = "Standard errors are classical: robust ones need all rows at once."


def add_rows(
    solution: Solution, source: Source, rows: Data, read: Mapping[str, object] | None, duplicates: str, *, is_robust: bool
) -> tuple[Solution, Source]:
    """Return the solution for the rows of a fit and new ones; `Fit.update` documents it.

    The new rows have a solution, too, whose dropped columns they do not determine, and both are merged.
    """
    design = solution.moments.design
    if design.absorbed is not None:
        raise OptionError("A fit with absorbed fixed effects cannot take more rows. Fit all rows at once.")
    new_source = open_new_rows(rows, design.formula.names, read)
    moments = gather_moments(learn_new_levels(design, new_source), new_source)
    more = solve_least_squares(moments, new_source, absent=len(design.names) + len(moments.design.names))
    sources = [source, new_source]
    merged = merge_solutions([solution, more], [], sources, duplicates=duplicates)
    if is_robust:
        merged = replace(merged, moments=replace(merged.moments, remarks=(*merged.moments.remarks, _NOT_ROBUST)))
    return merged, detach_source(sources)
