"""Write columns to a file, batch by batch; the target is replaced once the new file is complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from squarely.errors import DataError, first_line
from squarely.storage.disk import local_path, replacement, writable_path

SUFFIXES = (".csv", ".parquet", ".arrow", ".feather", ".jsonl")


def write_columns(path: str | os.PathLike[str], batches: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write columns to a .csv, .parquet, .arrow, .feather or .jsonl file; NaN becomes NULL, in CSV an empty field.

    The first batch determines names and types. The rows go to a temporary file beside the target, which replaces it at the end.

    Raises
    ------
    DataError : the suffix is unknown, the file cannot be written, there is no batch, or the batches have different columns.
    """
    target = local_path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"The suffix of {str(path)!r} is not a format to write. Use one of {', '.join(SUFFIXES)}.")
    try:
        with replacement(writable_path(target)) as part:
            _write_batches(part, suffix, batches)
    except (OSError, pa.ArrowException, UnicodeError) as error:
        raise DataError(
            f"{str(path)!r} was not written: {first_line(error)}. A file of that name, if there was one, is unchanged."
        ) from error


def _write_batches(part: Path, suffix: str, batches: Iterable[Mapping[str, np.ndarray]]) -> None:
    remaining = iter(batches)
    first_columns = next(remaining, None)
    if first_columns is None:
        raise DataError(
            "There is nothing to write: no batch, so no column names. Give at least one batch, if need be without rows."
        )
    first = _make_record_batch(first_columns, None)
    record_batches = chain([first], (_make_record_batch(columns, first.schema) for columns in remaining))
    with part.open("xb") as file:
        if suffix == ".jsonl":
            file.writelines(map(_to_json_lines, record_batches))
        else:
            with _open_writer(file, first.schema, suffix) as writer:
                for batch in record_batches:
                    writer.write_batch(batch)
        file.flush()
        os.fsync(file.fileno())


def _make_record_batch(columns: Mapping[str, np.ndarray], schema: pa.Schema | None) -> pa.RecordBatch:
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}  # from_pandas: NaN is NULL
    batch = pa.RecordBatch.from_pydict(arrays)
    if schema is None:
        return batch
    if list(columns) != schema.names:
        raise DataError(f"A batch has the columns {list(columns)}, and the first one {schema.names}. Every batch needs the same.")
    return batch.cast(schema)


def _open_writer(file: IO[bytes], schema: pa.Schema, suffix: str) -> Any:
    if suffix == ".csv":
        import pyarrow.csv

        return pyarrow.csv.CSVWriter(file, schema)
    if suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.ParquetWriter(file, schema)
    return pa.ipc.new_file(file, schema)


def _to_json_lines(batch: pa.RecordBatch) -> bytes:
    try:
        return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in batch.to_pylist()).encode()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"JSON lines cannot hold the columns {batch.schema.names}: {error}. Write .csv or .parquet instead."
        ) from error
