"""Files of Stata, through pandas, and of SPSS and SAS, through pyreadstat. Value labels become categories."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from squarely.data.files.in_memory.whole_file import WholeFileSource
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.errors import DataError, MissingExtraError, first_line

_XPORT_RECORD = 80  # bytes; a transport file of SAS consists of such records
_LARGEST_HEADER = 2**24  # bytes
Labels = Mapping[Any, str]  # value -> its label


def open_stata(file: LocalFile, options: ReadOptions) -> WholeFileSource:
    """Open a file of Stata. System and extended missing values, and empty texts, are missing."""
    options.require_only((), file.label, "Stata")
    if file.head(11) == b"<stata_dta>":
        _require_end(file, b"</stata_dta>", "a Stata file")

    def read(*, labels: bool, columns: list[str] | None = None) -> pd.DataFrame:
        return pd.read_stata(file.path, convert_categoricals=labels, columns=columns)

    def read_labeled() -> tuple[pd.DataFrame, tuple[str, ...]]:
        try:
            frame = read(labels=True)
        except ValueError as error:
            if "not unique" not in str(error):
                raise
            return read(labels=False), ("codes and not value labels: two codes of a column have the same label",)
        partly = [name for name in frame if frame[name].dtype == "category" and not all(map(_is_text, frame[name].cat.categories))]
        if partly:
            notes = tuple(_partial_note(name, next(filter(_is_text, frame[name].cat.categories))) for name in partly)
            return frame.assign(**read(labels=False, columns=partly)), notes
        return frame, ()

    return _open(file, "a Stata file", read_labeled)


def open_spss(file: LocalFile, options: ReadOptions) -> WholeFileSource:
    """Open a .sav, .zsav or .por file of SPSS. System and user-missing values, and empty texts, are missing."""
    library = _import_pyreadstat("Reading a file of SPSS")
    if file.head(3) == b"$FL":
        return _open_labeled(file, options, "SPSS", library.read_sav)
    _require_end(file, b"Z", "a file of SPSS")
    return _open_labeled(file, options, "SPSS", library.read_por)


def open_sas(file: LocalFile, options: ReadOptions) -> WholeFileSource:
    """Open a .sas7bdat or .xpt file of SAS. Missing values of every letter, and empty texts, are missing."""
    library = _import_pyreadstat("Reading a file of SAS")
    if file.head(6) != b"HEADER":
        return _open_labeled(file, options, "SAS", library.read_sas7bdat)
    source = _open_labeled(file, options, "SAS", library.read_xport)
    if _is_cut_transport_file(file, library.read_xport(str(file.path), metadataonly=True)[1].variable_storage_width):
        raise _cut_error(file, "a file of SAS")
    return source


def _is_cut_transport_file(file: LocalFile, widths: Mapping[str, int]) -> bool:
    """Return whether the last row is incomplete; the library leaves it out then. Blanks fill the last record."""
    size, row = file.path.stat().st_size, max(sum(widths.values()), 1)
    head = file.head(_LARGEST_HEADER)
    begin = head.find(b"HEADER RECORD*******OBS") + _XPORT_RECORD
    rest = (size - begin) % row
    with file.path.open("rb") as opened:
        opened.seek(size - rest)
        return size % _XPORT_RECORD > 0 or opened.read().strip(b" ") != b""


def _require_end(file: LocalFile, mark: bytes, kind: str) -> None:
    """Raise a DataError unless a file ends in some bytes, with blanks behind them."""
    with file.path.open("rb") as opened:
        opened.seek(max(file.path.stat().st_size - 200, 0))
        if not opened.read().rstrip().endswith(mark):
            raise _cut_error(file, kind)


def _cut_error(file: LocalFile, kind: str) -> DataError:
    return DataError(f"The file {file.label!r} cannot be read as {kind}: it was cut short. Write or copy it again.")


def _import_pyreadstat(verb: str) -> Any:
    try:
        import pyreadstat
    except ImportError:
        raise MissingExtraError(verb, "pyreadstat", "statfiles") from None
    return pyreadstat


def _open_labeled(file: LocalFile, options: ReadOptions, program: str, read: Callable[..., Any]) -> WholeFileSource:
    options.require_only(("encoding",), file.label, program)
    arguments = {} if options.encoding is None else {"encoding": options.encoding}

    def read_labeled() -> tuple[pd.DataFrame, tuple[str, ...]]:
        frame, details = read(str(file.path), dates_as_pandas_datetime=True, **arguments)
        columns: dict[str, Any] = {}
        notes: list[str] = []
        for name, labels in details.variable_value_labels.items():
            if details.variable_measure.get(name) == "scale":
                continue
            if (labeled := _apply_labels(frame[name], labels)) is not None:
                columns[name] = labeled
            elif not frame[name].isin(labels).all():
                notes.append(_partial_note(name, next(iter(labels.values()))))
        return frame.assign(**columns), tuple(notes)

    return _open(file, f"a file of {program}", read_labeled)


def _apply_labels(column: pd.Series, labels: Labels) -> pd.Series | None:
    """Replace values by their labels, in the order of the values; None if a value has no label, or two have the same."""
    values = sorted(column[column.notna() & (column != "")].unique())
    texts = [labels.get(value) for value in values]
    if not values or None in texts or len(set(texts)) < len(texts):
        return None
    return column.map(dict(zip(values, texts, strict=True))).astype(pd.CategoricalDtype(texts, ordered=True))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _partial_note(name: str, label: str) -> str:
    return f"{name!r} as numbers, because some of its values have no label; one label is {label!r}"


def _open(file: LocalFile, kind: str, read: Callable[[], tuple[pd.DataFrame, tuple[str, ...]]]) -> WholeFileSource:
    try:
        with file.reading(kind), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame, notes = read()
    except DataError:
        raise
    except (ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        raise DataError(
            f"The file {file.label!r} cannot be read as {kind}: {first_line(error)}. Write or copy it again."
        ) from error
    except Exception as error:  # those of pyreadstat have no other base
        if not type(error).__module__.startswith("pyreadstat"):
            raise
        raise DataError(
            f"The file {file.label!r} cannot be read as {kind}: {first_line(error)}. It may be damaged, or need the option "
            "encoding, such as 'latin-1'."
        ) from error
    if any(issubclass(warning.category, UnicodeWarning) for warning in caught):
        notes = (*notes, "text that is not in the encoding of the file as Latin-1")
    texts = [name for name in frame if pd.api.types.is_string_dtype(frame[name]) and frame[name].dtype != "category"]
    frame = frame.assign(**{name: frame[name].mask(frame[name] == "") for name in texts})
    return WholeFileSource(pa.Table.from_pandas(frame, preserve_index=False), file.label, notes)
