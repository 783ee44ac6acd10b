"""The fixed effects of a fit as plain values, for a file, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import LevelIndex, make_labels
from squarely.design.encoding.absorbed_effects import AbsorbedEffects, Codes
from squarely.design.formula.effects import Effect
from squarely.errors import DataError
from squarely.numerics import Array

MOST_SAVED_LEVELS = 1_000_000  # some 50 MB


@dataclass(frozen=True, slots=True)
class SavedEquations:
    """What a file has of the equations of the levels: a loaded fit has no rows, and needs no more."""

    rank: int
    is_rank_exact: bool
    groups: tuple[np.ndarray, ...]

    def rank_of(self, effects: Sequence[int]) -> int:
        """Return the rank of all effects; that of some is for standard errors, which need rows."""
        return self.rank

    def components(self) -> tuple[np.ndarray, ...]:
        """Return for the levels (L,) of each effect in which group they are."""
        return self.groups

    def leverage(self, codes: Codes) -> Array:
        """Return no leverage."""
        return np.full(len(codes[0]), np.nan)


def effects_to_json(absorbed: AbsorbedEffects, estimates: Sequence[Array]) -> dict[str, Any]:
    """Return the levels, what each adds to a prediction, and what the statistics of a fit need.

    Raises
    ------
    DataError : there are too many levels.
    """
    count = sum(map(len, absorbed.levels))
    if count > MOST_SAVED_LEVELS:
        raise DataError(
            f"The fit has {count:,} levels of fixed effects, and a file holds at most {MOST_SAVED_LEVELS:,}. Keep fit.table and "
            "fit.fixed_effects() instead."
        )
    groups = absorbed.system.components()
    return {
        "levels": [[column.to_pylist() for column in index.labels] for index in absorbed.levels],
        "typed": absorbed.levels[0].typed,
        "estimates": list(estimates),
        "counts": list(absorbed.counts),
        "groups": list(groups) if any(group.any() for group in groups) else None,
        "rank": absorbed.rank,
        "exact": absorbed.system.is_rank_exact,
        "noise": absorbed.noise,
        "sizes": absorbed.sizes,
        "mean": absorbed.response_mean,
    }


def effects_from_json(effects: tuple[Effect, ...], k: int, written: Mapping[str, Any]) -> AbsorbedEffects:
    """Read them back, for k columns with the response.

    The columns of X lose nothing, and the response what a level adds to a prediction: so predictions are those of the fit.

    Raises TypeError, ValueError or KeyError for values that cannot belong to the effects.
    """
    labels = [make_labels(columns) for columns in written["levels"]]
    sizes = [len(columns[0]) for columns in labels]
    if [len(columns) for columns in labels] != [len(effect) for effect in effects]:
        raise ValueError("its levels are not those of its fixed effects.")
    groups = written["groups"] or [[0] * size for size in sizes]
    shifts = [np.vstack([np.zeros((k - 1, size)), _numbers(x, size)]) for x, size in zip(written["estimates"], sizes, strict=True)]
    places = [_numbers(x, size).astype(int) for x, size in zip(groups, sizes, strict=True)]
    if any((place < 0).any() or (place > sum(sizes)).any() for place in places):
        raise ValueError("the groups of its levels are not valid.")
    return AbsorbedEffects(
        effects=effects,
        levels=tuple(LevelIndex(columns, typed=bool(written["typed"])) for columns in labels),
        shifts=tuple(shifts),
        counts=tuple(_numbers(x, size) for x, size in zip(written["counts"], sizes, strict=True)),
        system=SavedEquations(_rank(written["rank"], sizes), bool(written["exact"]), tuple(places)),
        noise=_numbers(written["noise"], k),
        sizes=_numbers(written["sizes"], k),
        response_mean=float(_numbers([written["mean"]], 1)[0]),
    )


def _rank(rank: Any, sizes: Sequence[int]) -> int:
    if type(rank) is not int or not max(sizes) <= rank <= sum(sizes):
        raise ValueError("the number of its fixed effects is not valid.")
    return rank


def _numbers(values: Any, size: int) -> Array:
    if len(values) != size or not all(type(x) in (int, float) and math.isfinite(x) for x in values):
        raise TypeError("its fixed effects are not finite numbers.")
    return np.array(values, dtype=np.float64)
