"""Predictions from a solution, batch by batch: the bodies of methods of `Fit`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from squarely.data import Source, require_columns, write_columns
from squarely.design import LinearPredictor, require_rank_deficient
from squarely.errors import DataError, OptionError, show_value
from squarely.exact import Solution, check_of
from squarely.numerics import Array, two_sum
from squarely.storage.disk import local_path

_WRITTEN = ("row", "predicted")
_CANCELLATION_RATIO = 1e3  # terms of a prediction this much larger than the scale of the response lose digits in doubles


def make_predictor(solution: Solution, rank_deficient: str) -> LinearPredictor:
    """Return the linear predictor of a solution in the units of the data, with low parts where its terms cancel."""
    require_rank_deficient(rank_deficient)
    design = solution.moments.design
    first = int(design.intercept)
    at = solution.factor.columns[first:]  # in the columns [1, x_1 ... x_p, y]
    scale, (hi, lo) = design.scales[-1], solution.scaled_params
    level, rest = two_sum(design.centers[-1:], scale * hi[:1] if first else np.zeros(1))
    slopes = solution.params[solution.factor.selected][first:]
    lows = None
    if np.abs(hi[first:]).sum() > _CANCELLATION_RATIO:
        ratio = scale / design.column_scales[at]
        low_level = float(rest[0] + (scale * lo[0] if first else 0.0))
        lows = low_level, np.where(slopes, hi[first:] * ratio - slopes + lo[first:] * ratio, 0.0)
    return LinearPredictor(
        design=design,
        selected=[j - 1 for j in at],
        level=float(level[0]),
        slopes=slopes,
        low_parts=lows,
        center=design.column_centers[at],
        check=check_of(solution) if rank_deficient == "nan" else None,
    )


def write_predicted(path: str | os.PathLike[str], predictions: Iterator[Array], source: Source, keep: object = ()) -> int:
    """Write the columns `row`, those to `keep` and `predicted` to a file, batch by batch, and return the number of rows."""
    done, names = 0, _columns_to_keep(keep, source)

    def batches() -> Iterator[Mapping[str, np.ndarray]]:
        nonlocal done
        yield {"row": np.empty(0, dtype=np.int64), "predicted": np.empty(0)}  # the names, even if there is no row
        for values in predictions:
            yield {"row": np.arange(done + 1, done + 1 + len(values)), "predicted": values}
            done += len(values)

    write_columns(path, batches(), (names, source.read([], names)) if names else None)
    return done


def _columns_to_keep(keep: object, source: Source) -> list[str]:
    """Check the option `keep` and return the names of the columns."""
    if keep == "all":
        keep = [name for name in source.columns if name not in source.duplicate_names]
    names = list(dict.fromkeys(keep)) if isinstance(keep, list | tuple) else []
    if not isinstance(keep, list | tuple) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"keep={show_value(keep)} is not a list of columns. Give one, such as keep=['id'], or keep='all'.")
    require_columns(source, names)
    if taken := [name for name in names if name in _WRITTEN]:
        raise OptionError(f"keep={names!r} has {taken[0]!r}, which is the name of a column that is written. Rename it in the data.")
    if names and not source.ordered:
        raise OptionError(f"keep= needs rows in a fixed order, and {source.label} has none. Write them to a file and give that.")
    return names


def require_other_file(source: Source, path: str | os.PathLike[str]) -> None:
    """Raise a DataError if a file to be written is one that the rows come from."""
    read, written = source.pandas_call, local_path(path)
    if read is not None and written.exists() and any(written.samefile(file.path) for file in (read, *read.further_calls)):
        raise DataError(f"{str(path)!r} is the file that the rows come from, and would be overwritten. Give another name.")
