"""Read what scaled the columns before the answer was made: a scaler of scikit-learn, or means and scales by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from squarely.certification.answers.json_file import read_json
from squarely.certification.answers.numbers import read_numbers
from squarely.design import Design
from squarely.errors import InputError, listed, pluralize, show_value
from squarely.numerics import Array

_SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")
_KEYS = {"mean": ("mean", "means", "center", "mean_"), "scale": ("scale", "scales", "std", "stds", "scale_")}
_FORM = "{'mean': [...], 'scale': [...]} with one number for each column, and the response last if it was scaled, too"


@dataclass(frozen=True, eq=False, slots=True)
class Scaling:
    """Columns (x - center) / scale, and a response (y - mean) / size; `center` and `scale` (k,), `response` (mean, size)."""

    center: Array
    scale: Array
    response: tuple[float, float] = (0.0, 1.0)


def read_scaler(scaler: Any, design: Design) -> Scaling:
    """Read the argument `scaler`: a scaler of scikit-learn, a pair of the columns' and the response's, or means and scales.

    Raises
    ------
    InputError : it is something else, is not fitted, or has another number of columns.
    """
    if isinstance(scaler, str | os.PathLike):
        scaler = read_json(Path(scaler))
    if isinstance(scaler, tuple | list) and len(scaler) == 2 and not isinstance(scaler, str):
        columns, response = (read_step(each) for each in scaler)
        if columns[0].shape != (len(design.labels) - 1,) or response[0].shape != (1,):
            raise _wrong_count(len(columns[0]), design)
        return Scaling(*columns, (float(response[0][0]), float(response[1][0])))
    center, scale = _read_mapping(scaler, design) if isinstance(scaler, Mapping) else read_step(scaler)
    k = len(design.labels) - 1
    if len(center) == k + 1:
        return Scaling(center[:-1], scale[:-1], (float(center[-1]), float(scale[-1])))
    if len(center) != k:
        raise _wrong_count(len(center), design)
    return Scaling(center, scale)


def read_step(step: Any, label: str = "scaler=") -> tuple[Array, Array]:
    """Return the centers and scales (k,) of a fitted scaler of scikit-learn.

    Raises
    ------
    InputError : it is not one, or is not fitted.
    """
    kind = type(step).__name__
    if kind not in _SCALERS:
        raise InputError(
            f"{label} has a {kind}, and only a scaling of columns can be undone ({', '.join(_SCALERS)}). Give the coefficients in "
            "the units of the formula's columns as a dict, and write other transforms in the formula."
        )
    if not hasattr(step, "n_features_in_"):
        raise InputError(f"{label} has a {kind} that is not fitted. Call its fit first.")
    one = np.ones(step.n_features_in_)
    if kind == "MinMaxScaler":
        return -np.asarray(step.min_) / step.scale_, one / step.scale_
    center = getattr(step, {"StandardScaler": "mean_", "RobustScaler": "center_"}.get(kind, "none"), None)
    scale = getattr(step, "scale_", None)
    if not getattr(step, "with_mean", True):
        center = None
    return (0.0 * one if center is None else np.asarray(center)), (one if scale is None else np.asarray(scale))


def _read_mapping(scaler: Mapping[Any, Any], design: Design) -> tuple[Array, Array]:
    center, scale = (next((scaler[key] for key in keys if key in scaler), None) for keys in _KEYS.values())
    if scale is None:
        raise InputError(f"scaler={show_value(dict(scaler))} has no means and scales. Give {_FORM}.")
    scales = _in_order(scale, design)
    centers = np.zeros(len(scales)) if center is None else _in_order(center, design)
    if len(centers) != len(scales) or not (scales != 0).all():
        raise InputError(f"scaler={show_value(dict(scaler))} has other means than scales, or a scale of zero. Give {_FORM}.")
    return centers, scales


def _in_order(values: Any, design: Design) -> Array:
    """Return numbers in the order of the design; a mapping or a Series has names."""
    named = dict(values.items()) if hasattr(values, "items") else None
    if named is None:
        return read_numbers("scaler=", values)
    columns = [*design.labels[:-1], *([design.response] if design.response in named else [])]
    if missing := [name for name in columns if name not in named]:
        raise InputError(f"scaler= has nothing for {missing[0]!r}. Give a mean and a scale for {listed(map(repr, columns))}.")
    return read_numbers("scaler=", [named[name] for name in columns])


def _wrong_count(count: int, design: Design) -> InputError:
    return InputError(
        f"scaler= is of {pluralize(count, 'column')}, and the formula has {len(design.labels) - 1:,}: "
        f"{listed(map(repr, design.labels[:-1]))}. Give {_FORM}."
    )
