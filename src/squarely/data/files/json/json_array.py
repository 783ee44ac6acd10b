"""JSON documents with an array of objects: rewritten as JSON lines, one by one, so that memory does not grow with the file."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from squarely.data.files.file_kinds import named_suffix
from squarely.data.files.local_file import LocalFile
from squarely.data.files.staging.temporary_copy import TemporaryCopy
from squarely.errors import DataError, first_line

_PIECE = 2**22  # bytes
_LINES = (".jsonl", ".ndjson")  # names of JSON lines alone
_LONGEST_LINE = 2**28  # bytes of a first line; what is longer is one document
_NOT_BLANK = re.compile(r"[^ \t\r\n]")
_DECODER = json.JSONDecoder()
_DATAFRAME = "pandas.DataFrame(json.load(open({path!r})))"


def copy_as_lines(file: LocalFile) -> tuple[LocalFile, str]:
    """Copy the objects of a JSON document as JSON lines, and return where they were: "array", "document", or "lines" (no copy).

    The document is an array of objects, or an object in which one key has an array of objects, such as {"data": [...]}.

    Raises
    ------
    DataError : the document has another shape, is damaged or was cut short.
    """
    with file.reading("JSON"), file.open_content() as opened:
        begin = opened.read(1024).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        opened.seek(0)
        is_array = begin == b"["
        if not is_array and (begin != b"{" or named_suffix(file.name) in _LINES or _is_lines(opened)):
            return file, "lines"
        opened.seek(0)
        try:
            copy = TemporaryCopy(_iter_lines(_Scanner(opened), file, is_array=is_array), file.label)
        except (ValueError, RecursionError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"The file {file.label!r} cannot be read as JSON, because it is damaged or was cut short: {first_line(error)}. "
                "Write or copy it again."
            ) from error
    if copy.path.stat().st_size == 0:
        raise DataError(f"The JSON file {file.label!r} holds an empty array. Give a file with column names and rows.")
    return file.with_copy(copy, file.compression or "", file.name, file.notes), "array" if is_array else "document"


def _is_lines(opened: IO[bytes]) -> bool:
    """Return whether the first line is an object, with other lines behind it or with plain values alone."""
    line = opened.readline(_LONGEST_LINE)
    while line.isspace():
        line = opened.readline(_LONGEST_LINE)
    try:
        first = json.loads(line.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:
        if "Extra data" in str(error):
            return True
        return line.rstrip().endswith(b"}") and b"\n" in opened.read(_PIECE)  # the error is one of JSON lines
    return bool(opened.read(_PIECE).strip()) or not any(isinstance(value, list | dict) for value in first.values())


class _Scanner:
    """The text of a document, of which only a window is in memory."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened, self._text, self._at = opened, "", 0
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def _read_more(self) -> bool:
        """Lengthen the window, in proportion to its size, and return whether there was more."""
        piece = self._opened.read(max(_PIECE, len(self._text) - self._at))
        self._text = self._text[self._at :] + self._decoder.decode(piece, final=not piece)
        self._at = 0
        return bool(piece)

    def peek(self) -> str:
        """Return the next sign that is not blank, without taking it; an empty text at the end."""
        while (match := _NOT_BLANK.search(self._text, self._at)) is None:
            self._at = len(self._text)
            if not self._read_more():
                return ""
        self._at = match.start()
        return self._text[self._at]

    def take(self, signs: str) -> str:
        """Take the next sign, which must be one of `signs`."""
        sign = self.peek()
        if not sign or sign not in signs:
            raise ValueError(f"{sign!r} where one of {signs!r} should be" if sign else "it ends too early")
        self._at += 1
        return sign

    def iter_items(self, end: str) -> Iterator[None]:
        """Take the rest of an array or object up to its bracket `end`, and yield before each item, which the caller takes."""
        sign = self.take(end) if self.peek() == end else ","
        while sign == ",":
            yield
            sign = self.take("," + end)

    def decode(self) -> tuple[Any, str]:
        """Take the next value, and return it with its text."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if self._read_more():
                    continue
                raise
            if end < len(self._text) or not self._read_more():  # at the end of the window a number may go on
                text = self._text[self._at : end]
                self._at = end
                return value, text


def _iter_lines(scanner: _Scanner, file: LocalFile, *, is_array: bool) -> Iterator[bytes]:
    if is_array:
        scanner.take("[")
        yield from _iter_objects(scanner, file, "")
    else:
        yield from _iter_document(scanner, file)
    if sign := scanner.peek():
        raise ValueError(f"there is {sign!r} behind its end")


def _iter_document(scanner: _Scanner, file: LocalFile) -> Iterator[bytes]:
    """Yield the objects of the one key of a document that has an array of objects."""
    found, others = "", {}
    scanner.take("{")
    for _ in scanner.iter_items("}"):
        name, _ = scanner.decode()
        scanner.take(":")
        if scanner.peek() != "[":
            others[name] = scanner.decode()[0]
            continue
        scanner.take("[")
        inner = scanner.peek()
        if inner == "{" and found:
            raise _shape_error(file, f"has two arrays of objects, {found!r} and {name!r}", f"jq -c '.{found}[]'")
        if inner in ("[", "{"):
            found = name
            yield from _iter_objects(scanner, file, name)
        else:
            others[name] = [scanner.decode()[0] for _ in scanner.iter_items("]")][:1]
    if not found:
        raise _other_shape_error(file, others)


def _iter_objects(scanner: _Scanner, file: LocalFile, name: str) -> Iterator[bytes]:
    """Yield the objects of an array, whose bracket was taken, each as a line."""
    for number, _ in enumerate(scanner.iter_items("]"), 1):
        if scanner.peek() == "[":
            path, orient = str(file.given_path), "split" if name == "data" else "values"
            raise _shape_error(file, "holds arrays of values, not objects", f"pandas.read_json({path!r}, orient={orient!r})")
        value, text = scanner.decode()
        if not isinstance(value, dict):
            raise ValueError(f"element {number:,} of the array is not an object with names and values")  # noqa: TRY004  # as JSON's own
        yield re.sub(r"[\r\n]+", " ", text).encode() + b"\n"


def _other_shape_error(file: LocalFile, values: dict[str, Any]) -> DataError:
    path = str(file.given_path)
    if values and all(isinstance(value, dict) for value in values.values()):
        return _shape_error(
            file, "holds an object for each column or row", f"pandas.read_json({path!r}), with orient='index' for rows"
        )
    if values and all(isinstance(value, list) for value in values.values()):
        return _shape_error(file, "holds an array for each column", _DATAFRAME.format(path=path))
    return _shape_error(file, "has no array of objects", _DATAFRAME.format(path=path))


def _shape_error(file: LocalFile, what: str, call: str) -> DataError:
    advice = f"write one object on each line: {call}" if call.startswith("jq") else f"load it with {call}, and pass the DataFrame"
    return DataError(
        f'The JSON file {file.label!r} {what}, where rows should be [{{"x": 1}}, ...]. {advice[0].upper()}{advice[1:]}.'
    )
