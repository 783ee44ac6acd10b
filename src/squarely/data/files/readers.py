"""The reader of each kind of file, imported when a file of that kind is opened."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from squarely.data.files.file_kinds import ADVICE, is_json, named_kind, named_suffix
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.data.files.staging.compression import detect_zip_kind, read_text_head
from squarely.data.pandas_io import decompressing_call
from squarely.data.source import Source
from squarely.errors import DataError, show_value

_TEXT_KINDS = ("CSV", "JSON lines")
_JSON_START = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"[^"]*"\s*:')
_TEXT_SUFFIXES = (".xls",)  # many programs write text with tabs under this name


def detect_file_kind(file: LocalFile, text: str) -> str:
    """Detect a file's kind from its content; raise a DataError if it is not read, or if the name says another one."""
    found = detect_zip_kind(file) or file.detect_kind()
    if found in ADVICE:
        what, advice = ADVICE[found]
        raise DataError(f"{text!r} is {what}. {advice.format(path=repr(text))}.")
    is_copy = file.copy is not None
    name = file.name if is_copy else text
    named, suffix = named_kind(name), named_suffix(name)
    if (
        (file.original or not is_copy)
        and named
        and named != found
        and (found or (named not in _TEXT_KINDS and suffix not in _TEXT_SUFFIXES))
    ):
        what = (
            f"that of {_with_article(found)} file" if found else f"not that of {_with_article(named)} file: it is text or damaged"
        )
        raise DataError(f"{text!r} is called {suffix}, but its content is {what}. Rename the file.")
    if named == "CSV" and not found and _JSON_START.match(read_text_head(file)):
        raise DataError(f"{text!r} is called {suffix}, but its content is that of a JSON file. Rename the file, such as to .json.")
    if found or named in _TEXT_KINDS:
        return found or str(named)
    return "JSON lines" if is_json(read_text_head(file)) else "CSV"


def _with_article(kind: str) -> str:
    return f"{'an' if kind in {'Arrow', 'Excel', 'ORC', 'SPSS'} else 'a'} {kind}"


def open_reader(kind: str, file: LocalFile, options: ReadOptions) -> Source:
    """Open a file as a Source; its kind is what `detect_file_kind` returns."""
    source = _choose_reader(kind, file, options)
    source.notes = (*file.notes, *source.notes)
    packed = file.compression or ("gzip" if file.is_gzip else None)
    explicit = {name: show_value(value) for name, value in options.explicit.items()}
    source.dialect = {"format": kind, **({"compression": packed} if packed else {}), **explicit, **source.dialect}
    if file.copy is not None:
        source.pandas_call = decompressing_call(source.pandas_call, file.compression)
    return source


def _choose_reader(kind: str, file: LocalFile, options: ReadOptions) -> Source:
    """Open a file of a kind, and import its reader only now."""
    if kind == "ORC":
        return _open_orc(file, options)
    if kind in ("Excel", "Stata", "SPSS", "SAS"):
        return _open_in_memory(kind, file, options)
    if kind != "CSV":
        options.require_only(("na_values",) if kind == "JSON lines" else (), file.label, kind)
    if kind == "Parquet":
        from squarely.data.files.parquet import ParquetSource

        return ParquetSource(file)
    if kind == "Arrow":
        from squarely.data.files.arrow_ipc import IpcSource

        return IpcSource(file)
    if kind == "JSON lines":
        return _open_json(file, options)
    from squarely.data.files.csv.source import CsvSource

    return CsvSource(file, options)


def _open_orc(file: LocalFile, options: ReadOptions) -> Source:
    from pyarrow import dataset

    from squarely.data.frames.arrow_dataset import ArrowDatasetSource

    options.require_only((), file.label, "ORC")
    with file.reading("ORC"):
        rows = dataset.dataset(str(file.path), format="orc")
    return ArrowDatasetSource(rows, file.label, partial(file.reading, "ORC"))


def _open_json(file: LocalFile, options: ReadOptions) -> Source:
    from squarely.data.files.json.json_array import copy_as_lines
    from squarely.data.files.json.json_lines import JsonLinesSource
    from squarely.data.files.json.quoted_numbers import QuotedNumbersSource

    lines, place = copy_as_lines(file)
    source = JsonLinesSource(lines)
    if place != "lines" and source.pandas_call is not None:
        call = source.pandas_call
        source.pandas_call = replace(call, options={**call.options, "lines": False}) if place == "array" else None
    return QuotedNumbersSource(source, options)


def _open_in_memory(kind: str, file: LocalFile, options: ReadOptions) -> Source:
    if kind == "Excel":
        from squarely.data.files.in_memory.workbook import open_workbook

        return open_workbook(file, options)
    from squarely.data.files.in_memory import statistics_packages

    openers = {"Stata": statistics_packages.open_stata, "SPSS": statistics_packages.open_spss, "SAS": statistics_packages.open_sas}
    return openers[kind](file, options)
