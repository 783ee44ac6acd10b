"""Let an engine count the rows of a fit in the cells of a plane, so that no row leaves it."""

from __future__ import annotations

import math

import narwhals as nw
import numpy as np

from squarely.data import Query, Source
from squarely.design import Design, complete_rows_query
from squarely.numerics import Array


def ends_in_plane(source: Source, design: Design, name: str) -> tuple[int, Array]:
    """Return the number of complete rows, and the smallest and largest values (2, 2) of a column of numbers and the response."""
    results = {"n0": nw.len()}
    for axis in ("a", "b"):
        results |= {f"{axis}0": nw.col(axis).min(), f"{axis}1": nw.col(axis).max()}
    row = source.aggregate(_query_plane(source, design, name), results)[0]
    return int(row["n0"]), np.array([[row["a0"], row["b0"]], [row["a1"], row["b1"]]], dtype=np.float64)


def count_cells(source: Source, design: Design, name: str, exponents: tuple[int, int], *, log_x: bool) -> np.ndarray:
    """Return the numbers of the cells along both axes, and of rows in them (c, 3); cells are two to the exponents wide.

    With `log_x` the column is log2 of itself.
    """
    places = {"a": nw.col("a").log(2) if log_x else nw.col("a"), "b": nw.col("b")}
    cells = {axis: (place * math.ldexp(1.0, -e)).floor() for (axis, place), e in zip(places.items(), exponents, strict=True)}
    query = _query_plane(source, design, name).with_stages({f"{axis}2": cell for axis, cell in cells.items()})
    rows = source.aggregate(query, {"n0": nw.len()}, ["a2", "b2"])
    return np.array([[row["a2"], row["b2"], row["n0"]] for row in rows]).astype(np.int64)


def _query_plane(source: Source, design: Design, name: str) -> Query:
    """Return the complete rows with the column as a, and the response as b."""
    rows = complete_rows_query(source, design.inputs, design.learned, where=design.where)
    return rows.query.with_stages({"a": nw.col(rows.numbers[name]), "b": rows.expression(design.formula.response.expression)})
