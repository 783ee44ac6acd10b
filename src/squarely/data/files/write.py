"""Write columns to a file, batch by batch; the target is replaced once the new file is complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.errors import DataError, first_line
from squarely.storage.disk import local_path, replacement, writable_path

OtherColumns: TypeAlias = tuple[Sequence[str], Iterator[pa.RecordBatch]]  # names, and batches of these columns in this order
SUFFIXES = (".csv", ".parquet", ".arrow", ".feather", ".jsonl")


def write_columns(
    path: str | os.PathLike[str], batches: Iterable[Mapping[str, np.ndarray]], others: OtherColumns | None = None
) -> None:
    """Write columns to a .csv, .parquet, .arrow, .feather or .jsonl file; NaN becomes NULL, in CSV an empty field.

    The first batch determines names and types. Other columns of the same rows are written after the first one. The rows go to a
    temporary file beside the target, which replaces it at the end.

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
            _write_batches(part, suffix, batches, others)
    except (OSError, pa.ArrowException, UnicodeError) as error:
        raise DataError(
            f"{str(path)!r} was not written: {first_line(error)}. A file of that name, if there was one, is unchanged."
        ) from error


def _write_batches(part: Path, suffix: str, batches: Iterable[Mapping[str, np.ndarray]], others: OtherColumns | None) -> None:
    remaining = iter(batches)
    first_columns = next(remaining, None)
    if first_columns is None:
        raise DataError(
            "There is nothing to write: no batch, so no column names. Give at least one batch, if need be without rows."
        )
    empty = _make_record_batch(first_columns, None)
    made = chain([empty], (_make_record_batch(columns, empty.schema) for columns in remaining))
    completed = made if others is None else _put_beside(made, *others)
    first = next(completed)
    record_batches = chain([first], completed)
    with part.open("xb") as file:
        if suffix == ".jsonl":
            file.writelines(map(_to_json_lines, record_batches))
        else:
            with _open_writer(file, first.schema, suffix) as writer:
                for batch in record_batches:
                    writer.write_batch(batch)
        file.flush()
        os.fsync(file.fileno())


def _put_beside(
    batches: Iterator[pa.RecordBatch], names: Sequence[str], others: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Add columns of the same rows, which come in batches of other sizes, after the first column of each batch."""
    ahead = next(others, None)
    types = [pa.null() for _ in names] if ahead is None else [_plain_type(field.type) for field in ahead.schema]
    schema = pa.schema(list(zip(names, types, strict=True)))
    for batch in batches:
        pieces, rows = [], 0
        while ahead is not None and rows < batch.num_rows:
            pieces.append(ahead.slice(0, batch.num_rows - rows))
            rows += pieces[-1].num_rows
            rest = ahead.slice(pieces[-1].num_rows)
            ahead = rest if rest.num_rows else next(others, None)
        if rows < batch.num_rows:
            raise DataError("The rows have changed while they were read. Run again when nothing writes to them.")
        cast = [[_to_plain(column, kind) for column, kind in zip(piece.columns, types, strict=True)] for piece in pieces]
        table = pa.Table.from_batches([pa.RecordBatch.from_arrays(columns, schema=schema) for columns in cast], schema)
        beside = {name: table.column(i).combine_chunks() for i, name in enumerate(names)}
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        first = batch.schema.names[0]
        yield pa.RecordBatch.from_pydict({first: columns.pop(first), **beside, **columns})


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary, which CSV cannot hold; any other type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _to_plain(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast a column; NaN becomes NULL."""
    plain = column.cast(kind)
    return pc.if_else(pc.is_nan(plain), None, plain) if pa.types.is_floating(kind) else plain


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
