"""The numbers that a loop prints and returns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from squarely.numerics import Array

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)")
_NO_NUMBERS = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type, str, bytes, Optimizer, DataLoader, Dataset)
_MAX_NUMEL, _MAX_DEPTH = 10_000, 4


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers that a loop reports.

    Attributes
    ----------
    values : (k,) in the order in which they are reported.
    errors : (k,) half a unit of the last printed digit; 0 for a returned number.
    """

    values: Array
    errors: Array

    def near(self, value: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return (k,) whether each number is a value to its printed digits, of which there are two at least."""
        errors = self.errors + 1e-5 * abs(value) + 1e-9
        return (np.abs(self.values - value) <= errors) & (self.errors <= 0.02 * abs(value))

    def without(self, values: Iterable[float]) -> Numbers:
        """Return the numbers that are none of `values`."""
        keep = np.ones(len(self.values), dtype=bool)
        for value in values:
            keep &= ~self.near(value)
        return Numbers(self.values[keep], self.errors[keep])


def read_numbers(output: str, returned: Any) -> Numbers:
    """Return what a loop printed and returned."""
    pairs = [*_read_output(output), *((number, 0.0) for number in _read_value(returned, 0))]
    finite = [pair for pair in pairs if np.isfinite(pair[0])]
    return Numbers(np.array([value for value, _ in finite]), np.array([error for _, error in finite]))


def _read_output(output: str) -> Iterator[tuple[float, float]]:
    for text in _NUMBER.findall(output):
        mantissa, _, exponent = text.lower().partition("e")
        digits = len(mantissa.partition(".")[2])
        yield float(text), 0.51 * 10.0 ** (int(exponent or 0) - digits)


def _read_value(value: Any, depth: int) -> Iterator[float]:
    if isinstance(value, (bool, *_NO_NUMBERS)) or value is None or depth > _MAX_DEPTH:
        return
    if isinstance(value, (float, np.floating)):
        yield float(value)
    elif isinstance(value, Tensor):
        yield from value.detach().reshape(-1).tolist() if value.numel() <= _MAX_NUMEL and value.is_floating_point() else ()
    elif isinstance(value, np.ndarray):
        yield from value.reshape(-1).tolist() if value.size <= _MAX_NUMEL and value.dtype.kind == "f" else ()
    else:
        for item in _items(value):
            yield from _read_value(item, depth + 1)


def _items(value: Any) -> Iterable[Any]:
    """Return what a list, dictionary or object of the user holds."""
    if isinstance(value, dict):
        return [item for name, item in value.items() if not str(name).startswith("__")]
    if isinstance(value, (list, tuple)):
        return value[:_MAX_NUMEL]
    if hasattr(value, "to_numpy"):  # a table of pandas
        return [value.to_numpy()]
    return [item for name, item in getattr(value, "__dict__", {}).items() if not name.startswith("_")]
