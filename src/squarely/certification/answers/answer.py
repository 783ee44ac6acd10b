"""`Answer`: coefficients made elsewhere, in the order of a design, with what is known about how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.design import Design
from squarely.errors import InputError, join_words, listed, pluralize, suggest_name
from squarely.numerics import Array

_INTERCEPT_NAMES = {"intercept", "(intercept)", "const", "constant", "bias", "_cons", "cons", "intercept_"}
_AUTOMATIC = ("", "x", "X", "feature_", "Column_")  # before the numbers that libraries give to columns without names
_TRAINERS = {"SGDRegressor", "MLPRegressor", "NeuralNetRegressor", "module", "state dict"}
_OTHER_LOSSES = {
    "HuberRegressor": "the Huber loss", "QuantileRegressor": "a quantile loss", "QuantReg": "a quantile loss",
    "TheilSenRegressor": "medians", "RANSACRegressor": "the loss of the rows that it takes for inliers",
    "RLM": "a robust loss", "LinearSVR": "the loss of a support vector machine", "PoissonRegressor": "the Poisson deviance",
    "GammaRegressor": "the gamma deviance", "TweedieRegressor": "the Tweedie deviance", "Logit": "the logistic likelihood",
    "Probit": "the probit likelihood", "Poisson": "the Poisson likelihood", "LassoLars": "squares with a penalty",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Origin:
    """What an object says about how its coefficients were made.

    Attributes
    ----------
    kind : the name of the class, "module" or "state dict", or "params" for plain numbers.
    nobs : the number of rows that it used, None if it does not say.
    loss : what it minimized instead of the squared error, "" if nothing else.
    used_up : the number of epochs after which it stopped without having converged, 0 if it does not say so.
    roundoff : of the precision that holds the coefficients: 2.2e-16 for float64.
    """

    kind: str
    nobs: int | None = None
    loss: str = ""
    used_up: int = 0
    roundoff: float = float(np.finfo(np.float64).eps)

    @property
    def is_trained(self) -> bool:
        """Whether it takes steps, so that it may not have arrived."""
        return self.kind in _TRAINERS

    @property
    def dtype(self) -> str:
        """The precision that holds the coefficients."""
        if self.roundoff < 1e-12:
            return "float64"
        return "float32" if self.roundoff < 1e-5 else "half precision"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Answer:
    """Coefficients made elsewhere, in the units of the data unless a cause of the gap says otherwise.

    Attributes
    ----------
    slopes : (k,) in the order of the design.
    intercept : None if the answer has none.
    has_names : whether the slopes were matched by name; otherwise by order.
    origin : how they were made. `notes`: sentences on how they were read.
    """

    slopes: Array
    intercept: float | None
    has_names: bool
    origin: Origin
    notes: tuple[str, ...] = ()

    def coefficients(self, *, intercept: bool) -> Array:
        """Return the coefficients (p,) beside those of a design with or without an intercept; a missing intercept is zero."""
        level = 0.0 if self.intercept is None else self.intercept
        return np.concatenate([[level], self.slopes]) if intercept else self.slopes

    def unscale(self, center: Array, scale: Array, response: tuple[float, float]) -> Answer:
        """Return the answer in the units of the data, for columns (x - center) / scale and a response (y - mean) / size."""
        mean, size = response
        slopes = self.slopes * (size / scale)
        level = mean + size * (self.intercept or 0.0) - float(slopes @ center)
        has_level = self.intercept is not None or bool(center.any()) or mean != 0.0
        return replace(self, slopes=slopes, intercept=level if has_level else None)


def find_other_loss(kind: str, loss: Any) -> str:
    """Return what a class of this name minimizes if it is not the squared error, else an empty text."""
    if kind == "SGDRegressor" and isinstance(loss, str) and loss != "squared_error":
        return f"loss={loss!r}"
    return _OTHER_LOSSES.get(kind, "")


def by_name(label: str, names: Sequence[Any], values: Array, design: Design, origin: Origin) -> Answer:
    """Match coefficients (m,) with names to the columns of a design; the intercept has one of its usual names.

    Raises
    ------
    InputError : a name occurs twice, a column has no coefficient, or a coefficient no column.
    """
    texts, columns = [str(name) for name in names], list(design.labels[:-1])
    if twice := [name for i, name in enumerate(texts) if name in texts[:i]]:
        raise InputError(f"{label} has two coefficients called {twice[0]!r}. Give one for each column.")
    levels = [i for i, name in enumerate(texts) if name.strip().casefold() in _INTERCEPT_NAMES and name not in columns]
    rest = [i for i in range(len(texts)) if i not in levels]
    intercept = float(values[levels].sum()) if levels else None
    notes = (_counted_twice(label, [texts[i] for i in levels]),) if len(levels) > 1 else ()
    place = _places([texts[i] for i in rest], columns)
    if place is None and _are_automatic([texts[i] for i in rest]) and len(rest) == len(columns):
        return by_order(label, values[rest], intercept, design, origin, notes=notes)
    if place is None:
        raise _unmatched(label, [texts[i] for i in rest], columns, has_intercept=bool(levels))
    slopes = np.array([values[rest[i]] for i in place], dtype=np.float64)
    return Answer(slopes=slopes, intercept=intercept, has_names=True, origin=origin, notes=notes)


def by_order(
    label: str, values: Array, intercept: float | None, design: Design, origin: Origin, *, notes: tuple[str, ...] = ()
) -> Answer:
    """Take coefficients without names in the order of a design: its slopes, after an intercept that stands first or apart.

    Raises
    ------
    InputError : their number does not fit.
    """
    k, count = len(design.labels) - 1, len(values)
    names: Sequence[str] = design.labels[:-1]
    if count == k + 1 and design.intercept and (not intercept or origin.kind != "params"):  # a column of ones is the first
        if intercept:
            notes = (*notes, _counted_twice(label, ["the coefficient of a column of ones", "the intercept"]))
        intercept, values, names = float(values[0]) + (intercept or 0.0), values[1:], design.names
    elif count != k:
        expected = design.names if intercept is None else design.labels[:-1]
        raise InputError(
            f"{label} has {pluralize(count, 'coefficient')}{'' if intercept is None else ' beside the intercept'}, and the formula "
            f"has {len(expected):,}: {listed(map(repr, expected))}. Give one for each, with names if possible."
        )
    order = f"The coefficients of {label} have no names, and are taken in the order {listed(map(repr, names))}."
    return Answer(
        slopes=np.asarray(values, dtype=np.float64),
        intercept=intercept,
        has_names=False,
        origin=origin,
        notes=(*notes, *([order] if len(names) > 1 else [])),
    )


def _counted_twice(label: str, names: Sequence[str]) -> str:
    return f"{label} has an intercept in {pluralize(len(names), 'place')}, {join_words(names)}: here they are added up."


def _are_automatic(names: Sequence[str]) -> bool:
    """Return whether a library has made the names: x1, x2, ..., or 0, 1, ..."""
    return any(all(name == f"{before}{first + i}" for i, name in enumerate(names)) for before in _AUTOMATIC for first in (0, 1))


def _places(names: Sequence[str], columns: Sequence[str]) -> list[int] | None:
    """Return the place in `names` of each column, also where only spaces or a module before a function differ; else None."""
    for spell in (str, _without_spaces):
        spelled = [spell(name) for name in names]
        if sorted(spelled) == sorted(map(spell, columns)):
            return [spelled.index(spell(column)) for column in columns]
    return None


def _without_spaces(name: str) -> str:
    return "".join(name.split()).replace("np.", "").replace("`", "")


def _unmatched(label: str, names: Sequence[str], columns: Sequence[str], *, has_intercept: bool) -> InputError:
    extra = [name for name in names if name not in columns]
    missing = [name for name in columns if name not in names]
    if not extra:
        one = join_words([*map(repr, missing[:6])])
        return InputError(
            f"{label} has no coefficient of {one}, which the formula has. Leave {'it' if len(missing) == 1 else 'them'} out of the "
            "formula, or give the coefficient: 0 if the column was left out."
        )
    advice = suggest_name(extra[0], missing or columns)
    if not missing:
        advice = "Add it to the formula, or leave it out." if has_intercept or columns else advice
    return InputError(f"{label} has a coefficient of {extra[0]!r}, and the formula has no such column. {advice}")
