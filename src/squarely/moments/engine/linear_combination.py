"""A linear combination of columns in an engine, such as the residuals, and its sums with each column: one scan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw
import numpy as np

from squarely.data import Engine, Query
from squarely.errors import changed_error
from squarely.moments.engine.client import EngineClient
from squarely.moments.engine.gram import EngineGram
from squarely.moments.engine.group_sums import FactorTexts, GroupKey, query_group_sums
from squarely.numerics import Array, powers_about_mean

_MAX_NESTED_TERMS = 16


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CombinationSums:
    """Sums over r = W a.

    Attributes
    ----------
    query : the rows with the residuals u = r, times the roots of weights but not of frequencies, as the column `residuals`.
    gradient : (k + 1,) W'r. Every sum over rows has their weights or frequencies.
    squares : the sum of r**2.
    powers : (3,) sums of (u - m)**2, (u - m)**3, (u - m)**4 for the mean m of u.
    response_sums : (2,) sums of y - m and (y - m)**2 for the known mean m of y.
    log_weights : the sum of the logarithms of the weights.
    """

    query: Query
    residuals: str
    gradient: Array
    squares: float
    powers: Array
    response_sums: Array
    log_weights: float = 0.0


def combination_sums(engine_gram: EngineGram, client: EngineClient, a: Array) -> CombinationSums:
    """Let the engine sum r = W a, a (k + 1,), with each column of W, in plain doubles.

    Raises
    ------
    DataError : these are not the rows of the first scan.
    """
    n, w = float(engine_gram.gram[0, 0]), engine_gram.weights
    cells, combination = combination_expression(engine_gram, a, client.engine)
    r_mean, y_mean = float(engine_gram.gram[0] @ a) / n, float(engine_gram.gram[0, -1]) / n
    has_frequencies = engine_gram.columns.design.formula.has_frequencies
    is_rooted = w is not None and not has_frequencies
    r1 = nw.col("r0") * w.sqrt() if w is not None and not has_frequencies else nw.col("r0") - r_mean
    query = engine_gram.query.with_stages(cells, {"r0": combination}, {"r1": r1}, {"r2": nw.col("r1") * nw.col("r1")})

    def weigh(x: nw.Expr) -> nw.Expr:
        return x if w is None else x * w

    y = nw.col(response_carrier(engine_gram)) - y_mean
    r1, r2 = nw.col("r1"), nw.col("r2")
    powers = {"r1": r1, "r2": r2, "r3": r2 * r1, "r4": r2 * r2}
    plain = {
        "n": nw.len(),
        "rr": weigh(nw.col("r0") * nw.col("r0")).sum(),
        **{name: (power if is_rooted else weigh(power)).sum() for name, power in powers.items()},
        "y1": weigh(y).sum(),
        "y2": weigh(y * y).sum(),
        **({} if w is None else {"lw": w.log().sum()}),
    }
    results: dict[FactorTexts, dict[str, nw.Expr]] = {frozenset(): plain}
    for block in engine_gram.blocks:
        x = nw.col("r0") * nw.col(block.carrier) if block.carrier else nw.col("r0")
        results.setdefault(frozenset(block.factors), {})[f"g{block.carrier}"] = weigh(x).sum()
        if block.carrier and not block.factors:
            plain[f"c{block.carrier}"] = weigh(nw.col(block.carrier)).sum()
    sums = query_group_sums(client, query, results, engine_gram.keys)
    totals = {name: float(values.sum()) for name, values in sums[frozenset()].sums.items()}
    _require_same_rows(engine_gram, client, totals)
    gradient = np.zeros(len(a))
    for block in engine_gram.blocks:
        groups = sums[frozenset(block.factors)]
        table = np.zeros(len(block.weights))
        np.add.at(table, groups.flat_positions(block.factors, engine_gram.keys), groups.sums[f"g{block.carrier}"])
        gradient[block.members] = table @ block.weights
    return CombinationSums(
        query=query,
        residuals="r1" if is_rooted else "r0",
        gradient=gradient,
        squares=totals["rr"],
        log_weights=totals.get("lw", 0.0),
        powers=powers_about_mean(round(n) if has_frequencies else engine_gram.n, np.array([totals[name] for name in powers])),
        response_sums=np.array([totals["y1"], totals["y2"]]),
    )


def combination_expression(engine_gram: EngineGram, a: Array, engine: Engine) -> tuple[Mapping[str, nw.Expr], nw.Expr]:
    """Return the expression of W a: a block contributes its carrier times a number, which depends on the cell with categories.

    The expression uses the columns of a stage before it, which are the same for each `a`.
    """
    cell_positions: dict[str, nw.Expr] = {}
    terms: list[nw.Expr] = []
    is_double = False
    for i, block in enumerate(engine_gram.blocks):
        weights = block.weights @ a[block.members]
        if not weights.any():
            continue
        keys = [engine_gram.keys[text] for text in block.factors]
        if not keys:
            term = nw.lit(float(weights[0]))
        elif len(keys) == 1:
            term = engine.map_values(nw.col(keys[0].alias), keys[0].levels, weights.tolist())
        else:
            cell_positions[f"o{i}"] = _cell_position(keys, engine)
            term = engine.map_values(nw.col(f"o{i}"), [float(cell) for cell in range(len(weights))], weights.tolist())
        terms.append(term * nw.col(block.carrier) if block.carrier else term)
        is_double = is_double or bool(block.carrier)
    if not is_double:
        terms.append(nw.col(response_carrier(engine_gram)) * 0.0)  # literals alone are decimals in Postgres
    # The response is the last term and goes first: the others are subtracted from it, so partial sums shrink.
    total = terms[-1] + sum_by_halves(terms[:-1]) if len(terms) > _MAX_NESTED_TERMS else sum(terms[:-1], terms[-1])
    return cell_positions, total


def response_carrier(engine_gram: EngineGram) -> str:
    """Return the alias of the response."""
    return next(block.carrier for block in engine_gram.blocks if block.members[-1] == len(engine_gram.gram) - 1)


def sum_by_halves(terms: Sequence[nw.Expr]) -> nw.Expr:
    """Add terms by halves: a parser cannot nest hundreds of sums."""
    half = len(terms) // 2
    return terms[0] if len(terms) == 1 else sum_by_halves(terms[:half]) + sum_by_halves(terms[half:])


def _cell_position(keys: Sequence[GroupKey], engine: Engine) -> nw.Expr:
    """Return the position of a row's cell among those of some factors, the last of which varies fastest."""
    codes = [engine.map_values(nw.col(key.alias), key.levels, [float(i) for i in range(len(key.levels))]) for key in keys]
    position = codes[0]
    for key, code in zip(keys[1:], codes[1:], strict=True):
        position = position * float(len(key.levels)) + code
    return position


def _require_same_rows(engine_gram: EngineGram, client: EngineClient, totals: Mapping[str, float]) -> None:
    """Raise a DataError unless a scan has the number of rows and the column sums of the first one."""
    tolerance = 1e-10 * np.sqrt(engine_gram.gram[0, 0] * np.diag(engine_gram.gram))
    same = totals["n"] == engine_gram.n and math.isfinite(totals["rr"])
    for block in engine_gram.blocks:
        if block.carrier and not block.factors:
            at = int(block.members[0])
            same = same and abs(totals[f"c{block.carrier}"] - engine_gram.gram[0, at]) <= tolerance[at]
    if not same:
        raise changed_error(client.source.label)
