"""Write predictions to a file, batch by batch, with columns of the rows beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from squarely.data import Source, require_columns, write_columns
from squarely.design.matrix.prediction import LinearPredictor, PredictedRows, iter_predictions
from squarely.errors import DataError, OptionError, show_value
from squarely.numerics import Array
from squarely.storage.disk import local_path


def write_predictions(
    predictor: LinearPredictor,
    source: Source,
    path: str | os.PathLike[str],
    *,
    keep: object = (),
    unseen: str = "error",
    names: Sequence[str] = (),
    make_columns: Callable[[PredictedRows], Sequence[Array]] = lambda rows: (),
) -> int:
    """Write the columns `row`, those to `keep` and `predicted` to a file, and return the number of rows.

    Further columns have `names`, and `make_columns` returns them for the predictions of a batch.
    """
    require_other_file(source, path)
    predictions = iter_predictions(predictor, source, unseen=unseen)
    rows, written = 0, ("predicted", *names)
    kept = _columns_to_keep(keep, source, ("row", *written))

    def batches() -> Iterator[Mapping[str, np.ndarray]]:
        nonlocal rows
        yield {"row": np.empty(0, dtype=np.int64), **{name: np.empty(0) for name in written}}  # the names, even if there is no row
        for predicted in predictions:
            values = predicted.values, *make_columns(predicted)
            yield {"row": np.arange(rows + 1, rows + 1 + len(values[0])), **dict(zip(written, values, strict=True))}
            rows += len(values[0])

    write_columns(path, batches(), (kept, source.read([], kept)) if kept else None)
    return rows


def _columns_to_keep(keep: object, source: Source, written: Sequence[str]) -> list[str]:
    """Check the option `keep` and return the names of the columns."""
    if isinstance(keep, str) and keep == "all":
        keep = [name for name in source.columns if name not in source.duplicate_names]
    names = list(dict.fromkeys(keep)) if isinstance(keep, list | tuple) else []
    if not isinstance(keep, list | tuple) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"keep={show_value(keep)} is not a list of columns. Give one, such as keep=['id'], or keep='all'.")
    require_columns(source, names)
    if taken := [name for name in names if name in written]:
        raise OptionError(f"keep={names!r} has {taken[0]!r}, which is the name of a column that is written. Rename it in the data.")
    if names and not source.ordered:
        raise OptionError(f"keep= needs rows in a fixed order, and {source.label} has none. Write them to a file and give that.")
    return names


def require_other_file(source: Source, path: str | os.PathLike[str]) -> None:
    """Raise a DataError if a file to be written is one that the rows come from."""
    read, written = source.pandas_call, local_path(path)
    if read is not None and written.exists() and any(written.samefile(file.path) for file in (read, *read.further_calls)):
        raise DataError(f"{str(path)!r} is the file that the rows come from, and would be overwritten. Give another name.")
