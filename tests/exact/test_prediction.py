"""Predictions that the rows of a fit do not determine. Truth: exact rank in fractions, and means of groups."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import product

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

import squarely as sq
from squarely.cli import app
from squarely.errors import OptionError
from tests.support.checks import assert_close
from tests.support.exact_reference import fractions, solved

rng = np.random.default_rng(3)
N = 80
LINE = pd.DataFrame({"x": rng.normal(size=N), "e": rng.normal(size=N)}).assign(d=lambda t: t.x + 2, y=lambda t: 3 * t.x + t.e)
NEW = pd.DataFrame({"x": [0.0, 0.0, 0.0, 1e3], "d": [2.0, 3.0, 2.0001, 1002.0]})
UNDETERMINED = [False, True, True, False]
CELLS = pd.DataFrame({"a": rng.choice(list("pqr"), 120), "b": rng.choice(list("uv"), 120), "y": rng.normal(size=120)})
CELLS = CELLS[(CELLS.a != "r") | (CELLS.b != "v")]


def simple_line(new: pd.DataFrame) -> np.ndarray:
    slope, level = np.polyfit(LINE.x, LINE.y, 1)
    return level + slope * new.x.to_numpy()


def roads(formula: str, data: pd.DataFrame, tmp_path) -> dict[str, sq.Fit]:
    half, more = data.iloc[: len(data) // 2], data.iloc[len(data) // 2 :]
    fit = sq.ols(formula, data)
    fit.save(tmp_path / "fit.json")
    merged = sq.ols(formula, half).merge(sq.ols(formula, more))
    merged.save(tmp_path / "merged.json")
    return {
        "batches": fit,
        "lazy": sq.ols(formula, pl.from_pandas(data).lazy()),
        "aggregates": sq.ols(formula, pl.from_pandas(data).lazy(), fold="aggregates"),
        "loaded": sq.load(tmp_path / "fit.json"),
        "merged": merged,
        "merged, loaded": sq.load(tmp_path / "merged.json"),
        "removed": sq.ols(formula, pd.concat([data, half])).remove(sq.ols(formula, half)),
    }


@pytest.mark.parametrize("formula", ["y ~ x + d", "y ~ d + x", "y ~ x + d - 1"])
def test_a_row_that_breaks_a_dependency_has_no_prediction(formula, tmp_path):
    data = LINE if "- 1" not in formula else LINE.assign(d=2 * LINE.x)
    new = NEW if "- 1" not in formula else NEW.assign(d=2 * NEW.x + [0, 1, 1e-4, 0])
    for road, fit in roads(formula, data, tmp_path).items():
        with pytest.warns(UserWarning, match=r"2 rows have no prediction .* dropped a column .* (d|x) = .* \(2 rows\)"):
            predicted = fit.predict(new)
        assert predicted.isna().tolist() == UNDETERMINED, road
        if "- 1" not in formula:
            assert_close(predicted[[0, 3]], simple_line(new)[[0, 3]], rtol=1e-10, atol=1e-12)
        fit.predict(data)  # a warning would be an error
        allowed = fit.predict(new, rank_deficient="allow")
        assert allowed.notna().all()
        assert_close(allowed[[0, 3]], predicted[[0, 3]], rtol=1e-12)


def test_a_cell_that_was_never_met_has_no_prediction(tmp_path):
    every = pd.DataFrame(product("pqr", "uv"), columns=["a", "b"])
    means = CELLS.groupby(["a", "b"]).y.mean()
    for formula in (
        "y ~ a*b",
        "y ~ C(a, Treatment('r'))*C(b, Treatment('v'))",
        "y ~ C(b, Sum)*C(a, Sum)",
        "y ~ b/a",
        "y ~ a:b - 1",
    ):
        fits = roads(formula, CELLS, tmp_path) if formula == "y ~ a*b" else {"batches": sq.ols(formula, CELLS)}
        for road, fit in fits.items():
            with pytest.warns(UserWarning, match=r"1 row has no prediction .* \(1 row\)"):
                predicted = fit.predict(every)
            assert np.isnan(predicted[5]), (formula, road)
            assert_close(predicted[:5], [means[a, b] for a, b in every.to_numpy()[:5]], rtol=1e-10)


def test_rounding_breaks_nothing():
    fit = sq.ols("y ~ x + d", LINE)
    x = np.array([0.1, 1e6, -3.3, 0.0])
    assert np.isfinite(fit.predict({"x": x, "d": (x + 1.7) + 0.3})).all()
    with pytest.warns(UserWarning, match="4 rows have"):
        assert np.isnan(fit.predict({"x": x, "d": (x + 2) * (1 + 1e-8)})).all()


def test_a_constant_that_changes_has_no_prediction():
    data = LINE.assign(c=3.7)
    for formula in ("y ~ x + c", "y ~ c + x", "y ~ x + I(c / 3)", "y ~ x + poly(c, 2, raw=True)"):
        fit = sq.ols(formula, data)
        with pytest.warns(UserWarning, match="1 row has no prediction"):
            predicted = fit.predict({"x": np.zeros(2), "c": np.array([3.7, 3.8])})
        assert np.isnan(predicted).tolist() == [False, True]


def test_learned_columns_and_offsets_keep_their_dependencies():
    data = LINE.assign(o=1.0)
    for formula in ("y ~ center(x) + d + offset(o)", "y ~ poly(d, 2) + x", "y ~ scale(d) + x", "y ~ x + I(x**2) + poly(d, 2)"):
        fit = sq.ols(formula, data)
        fit.predict(data)
        with pytest.warns(UserWarning, match="1 row has no prediction"):
            predicted = fit.predict({"x": np.zeros(2), "d": np.array([2, 2.5]), "o": np.ones(2)})
        assert np.isnan(predicted).tolist() == [False, True]


def rank(rows: list[list[int]]) -> int:
    M, r = [[Fraction(int(x)) for x in row] for row in rows], 0
    for j in range(len(M[0])):
        pivot = next((i for i in range(r, len(M)) if M[i][j]), None)
        if pivot is None:
            continue
        M[r], M[pivot] = M[pivot], M[r]
        for i in range(r + 1, len(M)):
            factor = M[i][j] / M[r][j]
            M[i] = [x - factor * p for x, p in zip(M[i], M[r], strict=True)]
        r += 1
    return r


@pytest.mark.parametrize("seed", range(8))
def test_what_is_determined_is_a_matter_of_exact_rank(seed):
    draw = np.random.default_rng(seed)
    base = draw.integers(-5, 6, (30, 3))
    mix = np.hstack([np.eye(3, dtype=int), draw.integers(-2, 3, (3, 3))])
    names = list("abcdef")
    train = base @ mix + np.array([0, 0, 0, *draw.integers(-3, 4, 3)])
    moved = train[:12] + draw.integers(0, 2, (12, 6)) * draw.integers(0, 2, (12, 1))
    order = draw.permutation(names)
    fit = sq.ols(f"y ~ {' + '.join(order)}", {**dict(zip(names, train.T, strict=True)), "y": draw.normal(size=30)})
    X = [[1, *row] for row in train.tolist()]
    full = rank(X)
    expected = [rank([*X, [1, *row]]) > full for row in moved.tolist()]
    assert any(expected)
    with pytest.warns(UserWarning, match=f"{sum(expected)} rows? ha"):
        predicted = fit.predict(dict(zip(names, moved.T, strict=True)))
    assert np.isnan(predicted).tolist() == expected


def test_many_levels_decided_on_cross_products():
    n, cities = 300_000, 240
    city = rng.integers(0, cities, n)
    data = {"city": np.char.add("c", city.astype(str)), "region": np.char.add("r", (city % 8).astype(str)), "y": rng.normal(size=n)}
    fit = sq.ols("y ~ C(city) + C(region)", data)
    assert fit.solution.factor.method == "moments"
    assert len(fit.dropped_columns) == 7
    fit.predict({name: values[:2_000] for name, values in data.items()})
    with pytest.warns(UserWarning, match="1 row has no prediction"):
        predicted = fit.predict({"city": ["c9", "c9"], "region": ["r1", "r2"]})
    assert_close(predicted[0], data["y"][city == 9].mean(), rtol=1e-9)
    assert np.isnan(predicted[1])


def test_gaps_and_levels_never_met_are_not_counted():
    fit = sq.ols("y ~ x + d", LINE)
    with pytest.warns(UserWarning, match="1 row has"):
        predicted = fit.predict({"x": [0.0, None, 0.0, 0.0], "d": [2.0, 2.0, None, 5.0]})
    assert np.isnan(predicted).tolist() == [False, True, True, True]
    assert np.isnan(fit.predict({"x": [0.0], "d": [None]})).all()
    with pytest.warns(UserWarning, match="1 row has"):
        predicted = sq.ols("y ~ a*b", CELLS).predict({"a": ["zz", "r"], "b": ["u", "v"]}, unseen="nan")
    assert np.isnan(predicted).all()


def test_an_absent_dropped_column_is_reported():
    fit = sq.ols("y ~ x + d", LINE)
    with pytest.warns(UserWarning, match=r"has no column 'd', so the predictions assume .*: d = x \+ 2"):
        predicted = fit.predict({"x": NEW.x.to_numpy()})
    assert_close(predicted, simple_line(NEW), rtol=1e-10, atol=1e-12)
    assert fit.predict({"x": [0.0]}, rank_deficient="allow").shape == (1,)


def test_a_column_of_rounding_alone_stays_one_when_another_dropped_column_is_absent():
    a, c = np.arange(1, 201) / 10, np.random.default_rng(0).normal(size=200)
    fit = sq.ols("y ~ c + e + I(b - a - 0.2)", pd.DataFrame({"a": a, "b": a + 0.2, "c": c, "e": 2 * c, "y": c + a}))
    far = np.array([1e6 + 0.3, 12345678.9])  # where the rounding of b - a - 0.2 is larger than in the rows of the fit
    with pytest.warns(UserWarning, match="has no column 'e', so the predictions assume"):
        predicted = fit.predict({"a": far, "b": far + 0.2, "c": np.ones(2)})
    assert_close(predicted, np.full(2, fit.params[:2].sum()), rtol=1e-10)


def test_files_and_the_command_line(tmp_path):
    LINE.to_csv(tmp_path / "data.csv", index=False)
    NEW.to_csv(tmp_path / "new.csv", index=False)
    fit, new, out = (str(tmp_path / name) for name in ("fit.json", "new.csv", "out.csv"))
    sq.ols("y ~ x + d", str(tmp_path / "data.csv")).save(fit)
    run = CliRunner().invoke(app, ["predict", fit, new, "--json"])
    assert run.exit_code == 0
    assert [value is None for value in json.loads(run.stdout)["predicted"]] == UNDETERMINED
    assert "squarely: warning: 2 rows have no prediction" in run.stderr
    run = CliRunner().invoke(app, ["predict", fit, new, "--rank-deficient", "allow", "-o", out])
    assert (run.exit_code, run.stderr) == (0, "")
    assert pd.read_csv(out).predicted.notna().all()
    with pytest.warns(UserWarning, match="2 rows have"):
        assert sq.load(fit).write_predictions(new, out) == 4
    assert pd.read_csv(out).predicted.isna().tolist() == UNDETERMINED
    with pytest.raises(OptionError, match="rank_deficient='NA' is not understood"):
        sq.load(fit).predict(new, rank_deficient="NA")


def test_training_leaves_to_its_start_what_its_rows_do_not_determine():
    for formula in ("y ~ x + d", "y ~ d + x"):
        run = sq.train(formula, LINE, epochs=200, lr=0.1)
        run.predict(LINE)
        with pytest.warns(UserWarning, match=r"2 rows have .* (d and x|x and d) depend on each other \(2 rows\)"):
            predicted = run.predict(NEW)
        assert predicted.isna().tolist() == UNDETERMINED
        assert_close(predicted[[0, 3]], simple_line(NEW)[[0, 3]], rtol=1e-6, atol=1e-9)
        assert run.predict(NEW, rank_deficient="allow").notna().all()
    assert sq.train("y ~ x", LINE, epochs=5, lr=0.1).predict(NEW).notna().all()


def test_rows_elsewhere_are_checked_there():
    fit = sq.ols("y ~ x + d", LINE)
    with pytest.warns(UserWarning, match=r"A row that breaks d = x \+ 2 is predicted as NaN"):
        predicted = fit.predict(dd.from_pandas(NEW, npartitions=2))
    assert predicted.compute(scheduler="threads").isna().tolist() == UNDETERMINED


def test_terms_that_cancel_keep_their_digits():
    rng = np.random.default_rng(3)
    x, g = rng.integers(1990, 2025, 40).astype(float), np.array(list("ab") * 20)
    z, w, y = x + 1e-9 * rng.normal(size=40), rng.normal(size=40), rng.normal(size=40)
    data = {"x": x, "z": z, "g": g, "w": w, "y": y}
    columns = [fractions(column) for column in (np.ones(40), g == "b", x, z, w, w * (g == "b"))]
    truth = solved(columns, fractions(y), intercept=True)
    expected = [float(sum(b * column[i] for b, column in zip(truth.b, columns, strict=True))) for i in range(40)]
    fit = sq.ols("y ~ x + z + g * w", data)
    np.testing.assert_allclose(fit.predict(data), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.fittedvalues, expected, rtol=0, atol=1e-9)
