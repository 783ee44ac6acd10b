"""Decimals as the nearest doubles. Arrow's own cast multiplies by a rounded power of ten and misses one price in eight."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.numerics import Array

_EXACT = 2**53  # integers up to here are doubles
_LARGEST_POWER = 22  # so is ten to this power and to every lower one
_IN_ONE_WORD = 18  # digits that are sure to fit into the lower of the two words of 64 bits


def nearest_doubles(column: pa.Array) -> Array:
    """Cast decimals to doubles, correctly rounded; NULL becomes NaN.

    Where the digits, and the power of ten that divides them, are doubles themselves, one division rounds once. Others are read from
    their text.

    >>> from decimal import Decimal
    >>> nearest_doubles(pa.array([Decimal("0.07"), None, Decimal("-12.30")])).tolist()
    [0.07, nan, -12.3]
    """
    kind = column.type
    if pa.types.is_decimal128(kind) and kind.precision <= _IN_ONE_WORD and 0 <= kind.scale <= _LARGEST_POWER:
        words = np.frombuffer(column.buffers()[1], dtype="<i8")[::2][column.offset : column.offset + len(column)]
        gaps = column.is_null().to_numpy(zero_copy_only=False)
        digits = np.where(gaps, 0, words)
        if not len(digits) or np.abs(digits).max() <= _EXACT:
            return np.where(gaps, np.nan, digits / 10.0**kind.scale)
    values: Array = pc.cast(pc.cast(column, pa.string()), pa.float64()).to_numpy(zero_copy_only=False)
    return values
