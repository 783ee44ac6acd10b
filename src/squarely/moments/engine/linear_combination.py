"""A combination of columns that stay in an engine, such as the residuals, and its sums with each of them: one scan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw
import numpy as np

from squarely.data import Engine, Query, Source, Stage
from squarely.moments.engine.gram import EngineGram
from squarely.moments.engine.group_sums import FactorTexts, GroupKey, QueryCost, changed_error, query_group_sums
from squarely.numerics import Array, powers_about_mean

_POWERS = ("r1", "r2", "r3", "r4")
_MAX_NESTED_TERMS = 16


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CombinationSums:
    """Sums over r = W a.

    Attributes
    ----------
    query : the rows with r as the column r0.
    gradient : (k + 1,) W'r. `squares` the sum of r**2.
    powers : (3,) sums of (r - m)**2, (r - m)**3, (r - m)**4 for the mean m of r.
    response_sums : (2,) sums of y - m and (y - m)**2 for the known mean m of y.
    """

    query: Query
    gradient: Array
    squares: float
    powers: Array
    response_sums: Array


def combination_sums(folded: EngineGram, source: Source, a: Array) -> tuple[CombinationSums, QueryCost]:
    """Let the engine sum r = W a, a (k + 1,), with each column of W, in plain doubles.

    Raises
    ------
    DataError : these are not the rows that the first scan met.
    """
    said, n = folded.grouped_query, float(folded.gram[0, 0])
    stages, total = _combination_expression(folded, a, source.require_engine())
    mean = float(folded.gram[0] @ a) / n
    middle = float(folded.gram[0, -1]) / n
    query = said.query.with_stages(*stages, {"r0": total}, {"r1": nw.col("r0") - mean}, {"r2": nw.col("r1") * nw.col("r1")})
    last = next(block.carrier for block in said.blocks if block.members[-1] == len(folded.gram) - 1)
    y = nw.col(last) - middle
    powers = (nw.col("r1"), nw.col("r2"), nw.col("r2") * nw.col("r1"), nw.col("r2") * nw.col("r2"))
    wanted: dict[FactorTexts, dict[str, nw.Expr]] = {
        frozenset(): {
            "n": nw.len(),
            "rr": (nw.col("r0") * nw.col("r0")).sum(),
            **{name: power.sum() for name, power in zip(_POWERS, powers, strict=True)},
            "y1": y.sum(),
            "y2": (y * y).sum(),
        }
    }
    for block in said.blocks:
        x = nw.col("r0") * nw.col(block.carrier) if block.carrier else nw.col("r0")
        wanted.setdefault(block.keys, {})[f"g{block.carrier}"] = x.sum()
    for block in said.blocks:
        if block.carrier and not block.factors:
            wanted[frozenset()][f"c{block.carrier}"] = nw.col(block.carrier).sum()
    cells, effort = query_group_sums(source, query, wanted, said.keys)
    whole = {name: float(values.sum()) for name, values in cells[frozenset()].sums.items()}
    _require_same_rows(folded, source, whole)
    gradient = np.zeros(len(a))
    for block in said.blocks:
        some = cells[block.keys]
        table = np.zeros(len(block.flat_weights))
        np.add.at(table, some.flat_positions([text for text, _ in block.factors], said.keys), some.sums[f"g{block.carrier}"])
        gradient[block.members] = table @ block.flat_weights
    return CombinationSums(
        query=query,
        gradient=gradient,
        squares=whole["rr"],
        powers=powers_about_mean(int(n), np.array([whole[name] for name in _POWERS])),
        response_sums=np.array([whole["y1"], whole["y2"]]),
    ), effort


def _combination_expression(folded: EngineGram, a: Array, engine: Engine) -> tuple[list[Stage], nw.Expr]:
    """Say the combination: what a block contributes is its carrier times a number, which its cell says if it has categories."""
    places: dict[str, nw.Expr] = {}
    terms: list[nw.Expr] = []
    for i, block in enumerate(folded.grouped_query.blocks):
        weights = block.flat_weights @ a[block.members]
        if not weights.any():
            continue
        keys = [folded.grouped_query.keys[text] for text, _ in block.factors]
        if not keys:
            term = nw.lit(float(weights[0]))
        elif len(keys) == 1:
            term = keys[0].map_values(weights.tolist(), engine)
        else:
            places[f"o{i}"] = _place(keys, engine)
            cells = tuple(float(cell) for cell in range(len(weights)))
            term = GroupKey(alias=f"o{i}", levels=cells).map_values(weights.tolist(), engine)
        terms.append(term * nw.col(block.carrier) if block.carrier else term)
    # The response, which is the last, goes first: what follows takes away from it, so that the partial sums shrink.
    return [places], terms[-1] + _sum_by_halves(terms[:-1]) if len(terms) > _MAX_NESTED_TERMS else sum(terms[:-1], terms[-1])


def _sum_by_halves(terms: Sequence[nw.Expr]) -> nw.Expr:
    """Add many terms up by halves: a parser has no room for hundreds of sums inside each other."""
    half = len(terms) // 2
    return terms[0] if len(terms) == 1 else _sum_by_halves(terms[:half]) + _sum_by_halves(terms[half:])


def _place(keys: Sequence[GroupKey], engine: Engine) -> nw.Expr:
    """Give the place of a row's cell among all those of some factors, the last of which varies fastest."""
    codes = [key.map_values([float(i) for i in range(len(key.levels))], engine) for key in keys]
    place = codes[0]
    for key, code in zip(keys[1:], codes[1:], strict=True):
        place = place * float(len(key.levels)) + code
    return place


def _require_same_rows(folded: EngineGram, source: Source, whole: Mapping[str, float]) -> None:
    """Raise a DataError unless a scan has met the rows of the first one: counts and sums are compared."""
    room = 1e-10 * np.sqrt(folded.gram[0, 0] * np.diag(folded.gram))
    same = whole["n"] == folded.gram[0, 0] and math.isfinite(whole["rr"])
    for block in folded.grouped_query.blocks:
        if block.carrier and not block.factors:
            at = int(block.members[0])
            same = same and abs(whole[f"c{block.carrier}"] - folded.gram[0, at]) <= room[at]
    if not same:
        raise changed_error(source)
