"""Read arrays of coefficients, of NumPy, pandas or torch, as doubles, with the precision that held them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from squarely.errors import InputError, show_value
from squarely.numerics import Array

_ROUNDOFF = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}
_DOUBLE = 2.0**-52
_LARGEST = 1e75  # with columns of the largest size that a fit takes, squares of predictions are representable


def read_numbers(label: str, value: Any) -> Array:
    """Return a number, a sequence or an array of numbers as doubles, one row or column as a vector.

    Raises
    ------
    InputError : there is something else in it than finite real numbers, or it has several rows and columns.
    """
    array = _to_array(label, value)
    if array.ndim > 1 and max(array.shape) != array.size:
        raise InputError(
            f"{label} has coefficients of shape {array.shape}, so it is the answer of several responses. Give those of one."
        )
    numbers = array.ravel()
    if not np.isfinite(numbers).all():
        raise InputError(
            f"{label} has the coefficient {numbers[~np.isfinite(numbers)][0]}, which is not a finite number. The training has "
            "diverged, or a column was dropped: leave such a column out of both."
        )
    if (np.abs(numbers) > _LARGEST).any():
        raise InputError(
            f"{label} has the coefficient {np.abs(numbers).max():.3g}, and a double does not hold its square. The training has "
            "diverged: try a smaller learning rate."
        )
    return numbers


def _to_array(label: str, value: Any) -> Array:
    if hasattr(value, "detach"):  # a tensor, perhaps on a device
        value = value.detach().double().cpu().numpy() if not value.is_complex() else value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype == object and array.size and all(hasattr(each, "__float__") for each in array.ravel()):
        array = array.astype(np.float64)  # such as fractions and decimals
    if array.dtype.kind not in "iuf":
        what = "a complex number" if array.dtype.kind == "c" else show_value(value)
        raise InputError(f"{label} has {what} as a coefficient, which is not a real number. Give numbers, such as 35.2.")
    return array.astype(np.float64)


def find_roundoff(*values: Any) -> float:
    """Return the roundoff of the least precise dtype among arrays; Python's numbers and integers count as double.

    Doubles that are all float32 numbers, and not all short, were float32 before.
    """
    names = [str(getattr(value, "dtype", "")).removeprefix("torch.") for value in values]
    coarsest = max((_ROUNDOFF.get(name, _DOUBLE) for name in names), default=_DOUBLE)
    if coarsest > _DOUBLE:
        return coarsest
    numbers = np.concatenate([_to_array("", value).ravel() for value in values] or [np.zeros(0)])
    with np.errstate(over="ignore"):
        is_single = (numbers == numbers.astype(np.float32)).all()
        is_short = (numbers == numbers.astype(np.float16)).all()
    return _ROUNDOFF["float32"] if is_single and not is_short else _DOUBLE


def read_mapping(label: str, params: Mapping[Any, Any]) -> tuple[list[Any], Array]:
    """Return the names and the coefficients of a mapping of numbers.

    Raises
    ------
    InputError : it is empty, or a value is not a number.
    """
    if not params:
        raise InputError(f"{label} has no coefficients. Give one for each column, such as {{'Intercept': 35.2, 'x': -0.06}}.")
    for name, value in params.items():
        if isinstance(value, Mapping):
            raise InputError(
                f"{label} has another mapping under {name!r}. Give that mapping itself, with one number for each coefficient."
            )
    return list(params), np.array([_read_number(label, name, value) for name, value in params.items()])


def _read_number(label: str, name: Any, value: Any) -> float:
    if isinstance(value, bool | np.bool_ | str) or value is None:
        raise InputError(f"{label} has {show_value(value)} as the coefficient of {name!r}, which is not a number. Give a number.")
    numbers = read_numbers(label, value)
    if len(numbers) != 1:
        raise InputError(f"{label} has {len(numbers):,} numbers under {name!r}. Give one number for each coefficient.")
    return float(numbers[0])
