"""`AbsorbedEffects`: fixed effects as what is subtracted from each column in the rows of each level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from squarely.data import CategoricalColumn, Level, LevelIndex, Source
from squarely.design.encoding.categories import row_phrase
from squarely.design.formula.effects import Effect
from squarely.errors import DataError, show_value
from squarely.numerics import Array, two_sum
from squarely.reprs import short_repr

DenseColumn = tuple[Array, Array | None]  # a column (m,), and its low part if it is not plain doubles
Codes = tuple[np.ndarray, ...]  # the place (m,) of each row among the levels, for each effect


class LevelEquations(Protocol):
    """The normal equations of the indicators of all levels."""

    @property
    def rank(self) -> int:
        """The rank of the indicators of all effects."""

    @property
    def is_rank_exact(self) -> bool:
        """Whether it is not smaller."""

    def rank_of(self, effects: Sequence[int]) -> int:
        """Return the rank of the indicators of some of the effects."""

    def components(self) -> tuple[np.ndarray, ...]:
        """Return for the levels (L,) of each effect in which group they are; groups share no row."""

    def leverage(self, codes: Codes) -> Array:
        """Return the part (m,) of the leverage that the effects have, for rows of weight one with these codes."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class AbsorbedEffects:
    """The projection of each column on the indicators of the levels, which rows lose.

    A projection that is off by d leaves a part d of the indicators in a column. The other columns and the response have no such
    part but their own d, so cross-products are off by the square of d.

    Attributes
    ----------
    effects : the columns of each effect. `levels` their levels, L of each.
    shifts : (k, L) for each effect, what is subtracted from each column in its unit, the response last. Sums of shifts of
        different effects are exact.
    counts : (L,) for each effect, the rows of each level, or the sums of their frequencies.
    system : the normal equations of the indicators.
    noise : (k,) the length over the rows, in the unit of each column, of the part of the indicators that it may still have.
    sizes : (k,) the length over the rows of each column about its mean, before the effects are absorbed.
    response_mean : the mean of the response before that.
    """

    __repr__ = short_repr

    effects: tuple[Effect, ...]
    levels: tuple[LevelIndex, ...]
    shifts: tuple[Array, ...]
    counts: tuple[Array, ...]
    system: LevelEquations
    noise: Array
    sizes: Array
    response_mean: float

    @property
    def rank(self) -> int:
        """The rank of the indicators of all levels: how many parameters the effects have."""
        return self.system.rank

    @property
    def names(self) -> tuple[str, ...]:
        """The effects as the formula writes them."""
        return tuple(map("^".join, self.effects))

    @property
    def singletons(self) -> tuple[int, ...]:
        """How many levels of each effect have one row."""
        return tuple(int((counts == 1).sum()) for counts in self.counts)

    def codes(self, groups: Mapping[str, CategoricalColumn]) -> Codes:
        """Return the codes of rows, from their labels by the name of the column; -1 for a label that is not a level."""
        return tuple(
            index.codes({name: groups[name] for name in effect}) for index, effect in zip(self.levels, self.effects, strict=True)
        )

    def subtract(self, columns: Sequence[DenseColumn], codes: Codes) -> tuple[Sequence[DenseColumn], Array]:
        """Return columns (k of them) without the effects, as double-double, and what the response (m,) loses."""
        without = []
        for j, (x, low) in enumerate(columns):
            shift = self.shifts[0][j].take(codes[0])
            for shifts, code in zip(self.shifts[1:], codes[1:], strict=True):
                shift += shifts[j].take(code)
            hi, lo = two_sum(x, -shift)
            without.append((hi, lo if low is None else lo + low))
        return without, shift

    def estimates(self, positions: Sequence[int], slopes: Array) -> tuple[Array, ...]:
        """Return the effect (L,) of each level, for slopes (q,) of the columns at some positions."""
        return tuple(shifts[-1] - slopes @ shifts[list(positions)] for shifts in self.shifts)


def unknown_effect_error(effect: Effect, values: Sequence[Level], source: Source, row: int) -> DataError:
    """Return the error for a row of new data with a level that the fit does not have."""
    found = " and ".join(f"{name} {show_value(value)}" for name, value in zip(effect, values, strict=True))
    return DataError(
        f"{source.label} has {found}{row_phrase(source, row)}, and the effect {'^'.join(effect)} of the fit has no such level. "
        "Leave such rows out, fit again with them, or predict with unseen='nan'."
    )
