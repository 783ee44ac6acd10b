"""JSON lines: one object on each line, read in blocks of whole lines; a key that a line lacks is NULL there.

The columns and their kinds are known only after the last line, so opening a file parses it once. The first read takes the parsed
blocks if they fit into memory. Arrow parses the blocks, in threads. Where it fails, Python's parser finds the line and the value.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from weakref import WeakSet

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from squarely.data.dtypes import Kind, kind_of, unsupported_column_error
from squarely.data.files.local_file import LocalFile
from squarely.data.pandas_io import pandas_read_call
from squarely.data.scan.batch_store import read_cache_limit
from squarely.data.scan.threads import map_in_order
from squarely.data.source import Source, record_batches
from squarely.errors import DataError, show_value

_BLOCK = 2**23  # bytes
_LONGEST_LINE = 2**28
_NULL_LINE = re.compile(rb"\n[ \t\r]*null[ \t\r]*(?=\n|$)")
_BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*\n")
_TYPES = {"INT64": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "STRING": pa.string(), "NULL": pa.null()}


_OPENED: WeakSet[JsonLinesSource] = WeakSet()  # those that hold parsed blocks, which all of them together limit


class JsonLinesSource(Source):
    """A file of JSON lines on this machine, gzipped or not; `held_bytes` are those of its blocks, parsed when it was opened."""

    is_file, is_parsed = True, True

    def __init__(self, file: LocalFile) -> None:
        self.label = file.label
        self._file, self._lock = file, threading.Lock()
        self.pandas_call = pandas_read_call(str(file.real_path), "JSON lines")
        self._blocks: deque[tuple[pa.Table, int]] | None = deque()  # parsed, with their rows, until the first read takes them
        self.held_bytes = 0
        limit = read_cache_limit() - sum(each.held_bytes for each in _OPENED)
        types: dict[str, str] = {}
        for found, table, rows in map_in_order(self._iter_blocks(), lambda block: self._parse_any(*block)):
            for name, kind in found:
                types[name] = _common_type(types.get(name, "NULL"), kind)
            self.held_bytes += 0 if table is None else table.nbytes
            if table is None or self.held_bytes > limit:
                self._blocks = None
            if self._blocks is not None:
                self._blocks.append((table, rows))
        self.columns = types
        if self._blocks is not None:
            _OPENED.add(self)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        names = list(dict.fromkeys((*numbers, *labels)))
        for name in names:
            if self.kind(name) == "other":
                raise unsupported_column_error(self.label, name, self.columns[name].lower())
        schema = pa.schema([(name, _TYPES[self.columns[name]]) for name in names])
        blocks, self._blocks = self._blocks, None
        _OPENED.discard(self)
        self._file.require_unchanged()
        if blocks is not None and all(_is_castable(table.schema, schema) for table, _ in blocks):
            while blocks:
                table, rows = blocks.popleft()
                columns = [_cast_column(table, schema.field(name)) for name in (*numbers, *labels)]
                yield from record_batches(columns, rows)
            self._file.require_unchanged()
            return
        del blocks
        for table, rows in map_in_order(self._iter_blocks(), lambda block: self._parse_columns(*block, schema)):
            yield from record_batches([table.column(name) for name in (*numbers, *labels)], rows)

    def _parse_columns(self, first: int, rows: int, block: bytes, schema: pa.Schema) -> tuple[pa.Table, int]:
        try:
            return _parse_block(block, schema), rows
        except pa.ArrowException as error:
            raise self._explain_error(block, first, schema.names) or self._unreadable_error(str(error)) from error

    def require_unchanged(self) -> None:
        self._file.require_unchanged()

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        values = [dict(pairs) for _, pairs in islice(self._iter_rows(), rows)]
        return pa.table([_to_column([row.get(name) for row in values]) for name in names], names=list(names))

    def kind(self, name: str) -> Kind:
        """Return what the first value of a column is; a later value of another kind is an error of its line."""
        kind = _TYPES.get(self.columns[name])
        return "other" if kind is None else kind_of(kind)

    def _iter_blocks(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number of rows before a block, its own, and the block: whole lines; blank lines are not rows."""
        first, rest = 0, b""
        with self._file.reading("JSON lines"):
            with self._file.open_content() as file:
                while piece := file.read(_BLOCK):
                    lines, end, rest = (rest + piece).rpartition(b"\n")
                    if len(rest) > _LONGEST_LINE:
                        raise self._unreadable_error(f"a line is longer than {_LONGEST_LINE:,} bytes")
                    rows, block = self._check_block(lines + end, first)
                    if block:
                        yield first, rows, block
                        first += rows
            rows, block = self._check_block(rest, first)
            if block:
                yield first, rows, block

    def _iter_rows(self) -> Iterator[tuple[int, list[tuple[str, Any]]]]:
        for first, _, block in self._iter_blocks():
            yield from self._parse_lines(block, first)

    def _check_block(self, block: bytes, first: int) -> tuple[int, bytes]:
        """Return the number of rows and the block without its byte order mark, empty if it has no row.

        Raises a DataError at the first row of other JSON files.
        """
        block = block.removeprefix(b"\xef\xbb\xbf") if first == 0 else block
        begin = block.lstrip()[:2]
        if first == 0 and begin in {b"\xff\xfe", b"\xfe\xff"}:
            raise DataError(f"The file {self.label!r} is UTF-16 text, but JSON lines are UTF-8. Save it as UTF-8.")
        if (rows := _count_objects(block)) is not None:
            return rows, block
        if _NULL_LINE.search(b"\n" + block):  # Arrow makes a row of it, and crashes if a block has no other lines
            list(self._parse_lines(block, first))
        return (_count(block), block) if begin else (0, b"")

    def _parse_any(self, first: int, rows: int, block: bytes) -> tuple[list[tuple[str, str]], pa.Table | None, int]:
        """Return the types of a block's columns by name, the block and its rows; no block if only Python can parse it."""
        try:
            table = _parse_block(block, None)
        except pa.ArrowException:
            table = None
        if table is not None and (table.num_rows == rows or not table.num_columns):
            return [(field.name, _type_name(field.type)) for field in table.schema], table, rows
        types = []
        for _, pairs in self._parse_lines(block, first):  # a name may be repeated, or two objects be on a line
            names = [name for name, _ in pairs]
            with self._lock:
                self.duplicate_names |= {name for name in names if names.count(name) > 1}
            types += [(name, _type_of(value)) for name, value in pairs]
        return types, None, rows

    def _parse_lines(self, block: bytes, first: int) -> Iterator[tuple[int, list[tuple[str, Any]]]]:
        """Parse the lines of a block with Python; raise a DataError at the first line that is not an object."""
        for row, line in enumerate(filter(bytes.strip, block.split(b"\n")), start=first + 1):
            try:
                pairs = json.loads(line, object_pairs_hook=_JsonObject)
            except (ValueError, RecursionError) as error:
                raise self._unreadable_error(f"row {row:,} is not JSON: {error}") from error
            if not isinstance(pairs, _JsonObject):
                raise self._unreadable_error(f"row {row:,} is not an object with names and values")
            yield row, pairs

    def _explain_error(self, block: bytes, first: int, names: list[str]) -> DataError | None:
        """Return an error that names the first value of another kind than its column, None if there is none."""
        for row, pairs in self._parse_lines(block, first):
            for name, value in pairs:
                kind = self.columns[name]
                fitting = {"NULL", "INT64", "DOUBLE"} if kind == "DOUBLE" else {"NULL", kind}
                if name in names and _type_of(value) not in fitting:
                    expected = "numbers" if kind in {"INT64", "DOUBLE"} else f"{kind.lower()} values"
                    return DataError(
                        f"Column {name!r} of {self.label} holds {expected}, then something else: {show_value(value)} in data row "
                        f"{row:,}. Correct that value, or make it null."
                    )
        return None

    def _unreadable_error(self, why: str) -> DataError:
        return DataError(
            f'The file {self.label!r} cannot be read as JSON lines, with one object such as {{"x": 1}} on each line: '
            f"{why.rstrip('.')}. Correct it or write it again."
        )


class _JsonObject(list):
    """The names and values of one object, in order, with repeated names."""


def _parse_block(block: bytes, schema: pa.Schema | None) -> pa.Table:
    read = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
    parse = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore")
    return pj.read_json(pa.BufferReader(block), read_options=read, parse_options=parse)


def _to_column(values: list[Any]) -> pa.Array:
    """Return parsed values as Arrow; mixed and nested ones as JSON text."""
    kinds = {_type_of(value) for value in values} - {"NULL"}
    if kinds == {"INT64", "DOUBLE"}:
        return pa.array(values, pa.float64())
    if len(kinds) <= 1 and kinds <= _TYPES.keys():
        return pa.array(values)
    return pa.array([None if value is None else json.dumps(_to_plain(value)) for value in values], pa.string())


def _to_plain(value: Any) -> Any:
    """Return a parsed value with objects as dicts."""
    if isinstance(value, _JsonObject):
        return {name: _to_plain(inner) for name, inner in value}
    return [_to_plain(inner) for inner in value] if isinstance(value, list) else value


def _count(block: bytes) -> int:
    r"""Count the lines that are not blank.

    >>> _count(b"1\n2"), _count(b"1\n \n\n2\n")
    (2, 2)
    """
    if _BLANK_LINE.search(b"\n" + block):
        return sum(1 for line in block.split(b"\n") if line.strip())
    return block.count(b"\n") + bool(block[block.rfind(b"\n") + 1 :].strip())


def _count_objects(block: bytes) -> int | None:
    r"""Count the lines if each begins with a brace, as objects do, in a tenth of the time of a pattern; else return None.

    >>> _count_objects(b'{"x": 1}\n{"x": 2}'), _count_objects(b'{"x": 1}\n\n'), _count_objects(b"null"), _count_objects(b"")
    (2, None, None, None)
    """
    pair = int.from_bytes(b"\n{", "little")
    words = (np.frombuffer(block, "<u2", (len(block) - first) // 2, first) for first in (0, 1) if len(block) > first + 1)
    begins = block.startswith(b"{") + sum(int(np.count_nonzero(each == pair)) for each in words)
    lines = int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))) + (not block.endswith(b"\n"))
    return lines if begins == lines else None


def _is_castable(found: pa.Schema, wanted: pa.Schema) -> bool:
    """Return whether the columns of a block that was parsed without a schema are those that a schema would give."""
    fields = [(field, found.field(field.name).type) for field in wanted if field.name in found.names]
    return all(
        kind in (field.type, pa.null()) or (pa.types.is_int64(kind) and pa.types.is_float64(field.type)) for field, kind in fields
    )


def _cast_column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    return table.column(field.name).cast(field.type, safe=False)


def _common_type(one: str, other: str) -> str:
    """Return the type that holds two types; for two kinds, the first.

    >>> _common_type("NULL", "INT64"), _common_type("INT64", "DOUBLE"), _common_type("DOUBLE", "STRING")
    ('INT64', 'DOUBLE', 'DOUBLE')
    """
    if one == "NULL":
        return other
    return "DOUBLE" if {one, other} == {"INT64", "DOUBLE"} else one


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "STRING"  # JSON has no dates: Arrow has parsed them from the text
    if pa.types.is_nested(kind):
        return "LIST" if pa.types.is_list(kind) else "OBJECT"
    return next((name for name, arrow_type in _TYPES.items() if arrow_type == kind), str(kind).upper())


def _type_of(value: Any) -> str:
    """Return the type of a value that Python parsed; a bool is an int in Python, but not here."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "INT64" if -(2**63) <= value < 2**63 else "DOUBLE"
    kinds = {type(None): "NULL", bool: "BOOLEAN", float: "DOUBLE", str: "STRING", list: "LIST", _JsonObject: "OBJECT"}
    return kinds[type(value)]
