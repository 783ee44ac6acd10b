"""Absorb fixed effects: learn what the columns of a design lose for each level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squarely.data import LevelIndex, Source, is_aggregate_only
from squarely.design import AbsorbedEffects, Block, Design, Formula, map_first_block
from squarely.errors import DataError, OptionError, pluralize
from squarely.exact.fixed_effects.level_sums import LevelSums, read_level_sums
from squarely.exact.fixed_effects.level_system import LevelSystem
from squarely.moments import require_fold
from squarely.numerics import ROUNDOFF, Array, power_of_two

_NEGLIGIBLE = 16.0  # times the noise of a column: a shorter one has nothing but noise
_ROUNDINGS = 8  # of a column relative to its values: of their sums, and of the shifts


def absorb_effects(design: Design, source: Source) -> Design:
    """Return the design whose columns and response have lost the fixed effects of the formula, from one scan of the rows.

    Raises
    ------
    DataError : no row is complete, or there are as many coefficients and levels as rows.
    NumericalError : the system of levels is too ill-conditioned.
    """
    centers = map_first_block(design, source, _means)[1]
    if centers is None:
        centers = np.zeros(len(design.centers))  # `read_level_sums` raises the error for no rows
    sums = read_level_sums(design, source, centers)
    system = LevelSystem(sums.weights, {key: sums.pair_table(*key) for key in sums.pairs})
    _require_rows(design, source, sums, system.rank)
    solutions, left = system.solve(sums.sums)
    explained = sum(np.einsum("ij,ij->j", b, a) for b, a in zip(sums.sums, solutions, strict=True))
    weight = float(sums.weights[0].sum())
    means = sums.totals[0] / weight
    squares = np.maximum(sums.totals[1] - weight * means**2, 0.0)
    stored = np.sqrt(squares) + np.sqrt(weight) * np.abs(means + centers)
    absorbed = AbsorbedEffects(
        effects=design.formula.effects,
        levels=tuple(LevelIndex(labels, typed=source.typed) for labels in sums.labels),
        shifts=_round_shifts((solutions[0] + centers, *solutions[1:])),
        counts=sums.counts,
        system=system,
        noise=left + _ROUNDINGS * ROUNDOFF * stored,
        sizes=np.sqrt(squares),
        response_mean=float(means[-1] + centers[-1]),
    )
    within = np.sqrt(np.maximum(sums.totals[1] - explained, 0.0))
    within = np.where(within > _NEGLIGIBLE * absorbed.noise, within, np.maximum(absorbed.sizes, absorbed.noise)) / np.sqrt(weight)
    scales = np.array([power_of_two(x) for x in within.tolist()])
    return replace(design, absorbed=absorbed, centers=np.zeros(len(centers)), scales=scales, scans=design.scans + 1)


def require_rows_for_effects(formula: Formula, source: Source, fold: str) -> None:
    """Raise an OptionError if a formula has effects and the rows are not read: they stay in a database, or `fold` says so."""
    if not formula.effects:
        return
    require_fold(fold)
    if fold == "aggregates":
        raise OptionError("fold='aggregates' does not absorb fixed effects, which read the rows. Leave fold= out.")
    if is_aggregate_only(source) and not source.ordered:
        raise OptionError(
            f"Fixed effects read the rows, which stay in {source.require_engine().name}: give ols order_by= a column that sorts "
            "them, or write them to a Parquet file and fit that."
        )


def _means(block: Block) -> Array:
    return np.array([x.mean() for x, _ in block.dense])


def _round_shifts(solutions: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the shifts (k, L) of each effect, rounded to multiples of one number, so that sums of different effects are exact."""
    if len(solutions) == 1:
        return (np.ascontiguousarray(solutions[0].T),)
    largest = sum(np.abs(a).max(axis=0) for a in solutions)
    units = np.array([power_of_two(x) * 2.0**-50 if x else 1.0 for x in np.asarray(largest).tolist()])
    return tuple(np.ascontiguousarray((np.rint(a / units) * units).T) for a in solutions)


def _require_rows(design: Design, source: Source, sums: LevelSums, rank: int) -> None:
    n, p = round(float(sums.counts[0].sum())), len(design.names)
    if n > rank + p:
        return
    effects = " and ".join("^".join(effect) for effect in design.formula.effects)
    raise DataError(
        f"There are {pluralize(n, 'complete row')} in {source.label} for {pluralize(p, 'coefficient')} and {rank:,} effects of "
        f"{effects}: nothing is left to measure the errors with. Absorb a column with fewer levels."
    )
