"""Write predictions to a file, batch by batch, with columns of the rows beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from squarely.data import Source, require_columns, write_columns
from squarely.design.matrix.prediction import LinearPredictor, iter_predictions
from squarely.errors import DataError, OptionError, show_value
from squarely.storage.disk import local_path

_WRITTEN = ("row", "predicted")


def write_predictions(
    predictor: LinearPredictor, source: Source, path: str | os.PathLike[str], *, keep: object = (), unseen: str = "error"
) -> int:
    """Write the columns `row`, those to `keep` and `predicted` to a file, and return the number of rows."""
    require_other_file(source, path)
    predictions = iter_predictions(predictor, source, unseen=unseen)
    rows, names = 0, _columns_to_keep(keep, source)

    def batches() -> Iterator[Mapping[str, np.ndarray]]:
        nonlocal rows
        yield {"row": np.empty(0, dtype=np.int64), "predicted": np.empty(0)}  # the names, even if there is no row
        for values in predictions:
            yield {"row": np.arange(rows + 1, rows + 1 + len(values)), "predicted": values}
            rows += len(values)

    write_columns(path, batches(), (names, source.read([], names)) if names else None)
    return rows


def _columns_to_keep(keep: object, source: Source) -> list[str]:
    """Check the option `keep` and return the names of the columns."""
    if isinstance(keep, str) and keep == "all":
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
