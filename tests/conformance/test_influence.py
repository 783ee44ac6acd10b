"""Influence on every engine is that of the same rows in memory."""

import functools

import numpy as np
import pyarrow as pa
import pytest

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, need
from tests.support.engines import ENGINES
from tests.support.spark import WARNINGS

N = 240
FORMULA = "y ~ x * when + gaps"
IBIS = [name for name in ENGINES if name.startswith("ibis")]
PARTITIONED = [name for name in ENGINES if name.startswith(("dask", "spark"))]
EACH_ENGINE = [pytest.param(name, marks=WARNINGS if name.startswith("spark") else ()) for name in ENGINES]
OPTIONS = {"weights": "w", "where": "x > -3"}


@functools.cache
def table():
    """Give rows in the order of time, with gaps in a predictor, and one row that alone decides a coefficient."""
    rng = np.random.default_rng(17)
    return pa.table(
        {
            "time": np.arange(N) * 10,
            "x": rng.normal(size=N),
            "gaps": [None if i % 37 == 3 else v for i, v in enumerate(rng.normal(size=N).tolist())],
            "when": ["noon" if i == 150 else ("am", "pm")[v] for i, v in enumerate(rng.integers(0, 2, N).tolist())],
            "w": rng.uniform(0.2, 3, N),
            "y": rng.normal(size=N) ** 3,
        }
    )


@functools.cache
def expected():
    columns = {name: table()[name].combine_chunks() for name in table().column_names}
    return sq.ols(FORMULA, columns, **OPTIONS)


@functools.cache
def engine_fit(engine, folder):
    form = ENGINES[engine]
    data = form.make(table() if form.ordered else table().take(np.random.default_rng(5).permutation(N)), folder)
    return sq.ols(FORMULA, data, fold=form.fold, **OPTIONS, **({"order_by": "time"} if engine in IBIS else {}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("influence")


def numbers_of(frame):
    """Give the columns of a frame of any library as arrays, without the numbers of the rows."""
    names = list(getattr(frame, "column_names", frame.columns))
    return {name: np.asarray(frame[name], dtype=float) for name in names if name != "row"}


def assert_frames(ours, theirs, *, in_order=True):
    ours, theirs = numbers_of(ours), numbers_of(theirs)
    assert list(ours) == list(theirs)
    places = [slice(None) if in_order else np.argsort(columns["dfb_x"]) for columns in (ours, theirs)]
    for name in ours:
        assert_close(ours[name][places[0]], theirs[name][places[1]], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_the_largest_rows_and_outliers_are_those_of_the_rows_in_memory(engine, folder):
    fit = engine_fit(engine, folder)
    for by in ("cooks_d", "cov_ratio", "dfb_gaps"):
        ours, theirs = (each.get_influence().top(6, by) for each in (fit, expected()))
        assert_frames(ours, theirs)
        if ENGINES[engine].ordered or engine in IBIS:
            labels = ours["row"].to_pylist() if isinstance(ours, pa.Table) else [int(i) + 1 for i in theirs.index]
            assert labels == [int(i) + 1 for i in theirs.index]
    assert_frames(fit.outlier_test(k=4), expected().outlier_test(k=4))
    notes = fit.get_influence().notes
    assert len(notes) == 1
    assert "Rows 151" in notes[0] or "Row 151 has" in notes[0] or not ENGINES[engine].ordered


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_the_frame_is_that_of_the_rows_in_memory_or_refused(engine, folder):
    influence = engine_fit(engine, folder).get_influence()
    if engine in IBIS or engine in PARTITIONED:
        for call in (influence.summary_frame, lambda: influence.cov_ratio, lambda: influence.write(folder / "a.csv")):
            with pytest.raises(DataError, match=r"to measure the influence of each would bring them here. Use top\(20\)"):
                call()
    else:
        ours, theirs = (each.summary_frame() for each in (influence, expected().get_influence()))
        assert_frames(ours, theirs, in_order=ENGINES[engine].ordered)


def drawn_rows(fit, kind):
    """Give all rows and the labeled points that a figure draws, each sorted."""
    (axes,) = fit.plot(kind).axes
    rows = [np.asarray(each.get_offsets()) for each in axes.collections]
    return [points[np.lexsort(points.T[::-1].round(9))] for points in rows if len(points) > 1]


@pytest.mark.parametrize("engine", EACH_ENGINE)
@pytest.mark.parametrize("most", [10_000, 100])
def test_figures_draw_the_rows_in_memory(engine, most, folder, monkeypatch):
    need("matplotlib")
    monkeypatch.setattr("squarely.inference.post_estimation.figures.planes.MOST_POINTS", most)
    for kind in ("residuals", "component"):
        ours, theirs = (drawn_rows(fit, kind) for fit in (engine_fit(engine, folder), expected()))
        assert len(ours) == len(theirs) == (2 if most == 10_000 else 1)
        for mine, other in zip(ours, theirs, strict=True):
            assert_close(mine, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("engine", IBIS)
def test_rows_in_a_database_need_an_order(engine, folder):
    fit = sq.ols("y ~ x", ENGINES[engine].make(table(), folder))
    for call in (fit.get_influence, fit.outlier_test):
        with pytest.raises(OptionError, match=r"the rows stay in \w+: give ols order_by= a column that sorts them"):
            call()
