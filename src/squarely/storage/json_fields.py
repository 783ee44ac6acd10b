"""Check the values of a JSON file as they are read, and convert values to JSON. A bad value is a TypeError or ValueError."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from squarely.numerics import Array

T = TypeVar("T")
_MAX_INT = 2**63


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
    """Return nested mappings, sequences and arrays as values that `json.dumps(..., allow_nan=False)` accepts.

    `non_finite` replaces NaN and infinities; `as_number` reads the words that `str` makes of them.

    >>> to_json({"x": np.array([1.0, np.nan])}), to_json((np.int64(1), float("inf")), lambda x: None)
    ({'x': [1.0, 'nan']}, [1, None])
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json(item, non_finite) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item, non_finite) for item in value]
    return non_finite(value) if isinstance(value, float) and not math.isfinite(value) else value
