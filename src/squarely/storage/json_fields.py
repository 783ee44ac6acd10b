"""Check the values of a JSON file as they are read, and convert values to JSON. A bad value is a TypeError or ValueError."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from squarely.errors import DataError, InputError, join_words
from squarely.numerics import Array

T = TypeVar("T")
_MAX_INT = 2**63


def read_saved(text: str, label: str, noun: str, header: tuple[str, Sequence[int]], read: Callable[[Any], T]) -> T:
    """Return what `read` makes of a saved fit or run, whose `header` is its first key and the formats that are read there.

    Raises
    ------
    DataError : the file is not JSON, not a saved `noun` of this format, or `read` refuses a value in it.
    """
    key, versions = header
    try:
        document = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"The file {label!r} is not JSON ({error}), so it is not a saved fit or run. It may be incomplete."
        ) from None
    if not isinstance(document, dict) or key not in document:
        raise DataError(f"The file {label!r} is not a saved {noun}. Save one with {noun}.save(path).")
    if document[key] not in versions:
        advice = "Fit the data again and save that fit" if document[key] in range(max(versions)) else "Update squarely"
        known = join_words([*map(str, versions)])
        raise DataError(f"The file {label!r} has format {document[key]!r}, and this version reads {known}. {advice}.")
    try:
        with np.errstate(all="ignore"):
            return read(document)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise DataError(f"The file {label!r} is damaged or was changed by hand: {what} Save the {noun} again.") from None


def read_fields(kind: type[T], written: Mapping[str, Any], **values: Any) -> T:
    """Return a dataclass of the fields in a mapping, each read by its type; `values` are those of other types."""
    names = {field.name: field.type for field in fields(kind) if field.name not in values}  # type: ignore[arg-type]
    return kind(**{name: _READERS[str(type_name)](written[name]) for name, type_name in names.items()}, **values)


def parse_json(text: str) -> Any:
    """Parse strict JSON; NaN and infinities are a ValueError, and deep nesting a RecursionError."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def as_optional(value: Any, read: Callable[[Any], T]) -> T | None:
    """Return None for null, and what `read` makes of any other value."""
    return None if value is None else read(value)


def as_text(value: Any) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string.")
    return value


def as_texts(values: Any) -> tuple[str, ...]:
    """Return a tuple of strings."""
    return tuple(as_text(value) for value in values)


def as_choice(value: Any, words: tuple[str, ...]) -> str:
    """Return one of the words."""
    if value not in words:
        raise ValueError(f"{value!r} is not one of {', '.join(words)}.")
    return str(value)


def as_bool(value: Any) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not true or false.")
    return value


def as_int(value: Any) -> int:
    """Return a count, below 2**63."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_INT:
        raise TypeError(f"{value!r} is not a count.")
    return value


def as_number(value: Any) -> float:
    """Return a number; "nan", "inf" and "-inf" stand for those that JSON lacks."""
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number.")
    return float(value)


def as_size(value: Any) -> float:
    """Return a number that is not negative."""
    number = as_number(value)
    if not number >= 0:
        raise ValueError(f"{value!r} is not a number of at least zero.")
    return number


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "bool": as_bool, "int": as_int, "float": as_number, "float | None": partial(as_optional, read=as_number),
    "str": as_text, "str | None": partial(as_optional, read=as_text), "tuple[str, ...]": as_texts,
}  # fmt: skip


def as_numbers(values: Any, shape: tuple[int, ...]) -> Array:
    """Return an array of numbers of a shape (m,) or (m, k)."""
    flat = [as_number(x) for row in values for x in row] if len(shape) == 2 else [as_number(x) for x in values]
    if len(flat) != math.prod(shape) or len(values) != shape[0]:
        raise ValueError(f"there are {len(flat)} numbers in place of {' x '.join(map(str, shape))}.")
    return np.array(flat, dtype=np.float64).reshape(shape)


def as_triangle(rows: Any, size: int) -> Array:
    """Return an upper triangular matrix (size, size) of finite numbers from its rows, each from the diagonal on."""
    if len(rows) != size:
        raise ValueError(f"there are {len(rows)} rows in place of {size}.")
    M = np.zeros((size, size))
    for i, row in enumerate(rows):
        M[i, i:] = as_numbers(row, (size - i,))
    if not np.isfinite(M).all():
        raise ValueError("a matrix has numbers that are not finite.")
    return M


def to_json(value: Any, non_finite: Callable[[float], object] = str) -> Any:
    """Return nested dataclasses, mappings, sequences and arrays as values that `json.dumps(..., allow_nan=False)` accepts.

    `non_finite` replaces NaN and infinities; `as_number` reads the words that `str` makes of them.

    >>> to_json({"x": np.array([1.0, np.nan])}), to_json((np.int64(1), float("inf")), lambda x: None)
    ({'x': [1.0, 'nan']}, [1, None])
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item, non_finite) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item, non_finite) for item in value]
    return non_finite(value) if isinstance(value, float) and not math.isfinite(value) else value
