"""Effects on every engine are those of the same rows in memory; where rows stay in an engine, what the means give."""

import functools

import numpy as np
import pyarrow as pa
import pytest

import squarely as sq
from squarely.errors import DataError
from tests.support.checks import assert_close
from tests.support.engines import ENGINES
from tests.support.spark import WARNINGS

N = 180
IBIS = [name for name in ENGINES if name.startswith("ibis")]
EACH_ENGINE = [pytest.param(name, marks=WARNINGS if name.startswith("spark") else ()) for name in ENGINES]
FORMULA = "y ~ log(x) * g + z * g + bs(z, df=4) + C(dose)"


@functools.cache
def table():
    """Give rows with gaps, in which `area` and `dose` have few values and the model does not have the former."""
    rng = np.random.default_rng(17)
    x, z, g = rng.uniform(1, 9, N), rng.normal(size=N), rng.choice(["a", "b", "ç"], N)
    return pa.table(
        {
            "time": np.arange(N),
            "x": [None if i % 41 == 3 else v for i, v in enumerate(x.tolist())],
            "z": z,
            "g": g.tolist(),
            "dose": rng.integers(1, 4, N),
            "area": rng.integers(1, 5, N),
            "w": rng.uniform(0.5, 3, N),
            "y": np.log(x) * (1 + (g == "a")) + z + rng.normal(size=N),
        }
    )


def estimates(fit):
    frames = [
        fit.effects("x"),
        fit.effects("z", by="area"),
        fit.effects("g", at={"z": [-1, 0.5]}, by="dose"),
        fit.margins(at={"x": [2, 3]}, by=["g", "area"]),
        fit.margins(at="mean", by="g"),
        fit.effects("x", slope="dyex", by=["area", "g"]),
    ]
    return np.concatenate([frame[["estimate", "se", "pvalue"]].to_numpy().ravel() for frame in frames])


@functools.cache
def expected():
    rows = {name: table()[name].combine_chunks() for name in table().column_names}
    return estimates(sq.ols(FORMULA, rows, weights="w"))


@functools.cache
def engine_input(engine, folder):
    form = ENGINES[engine]
    return form.make(table() if form.ordered else table().take(np.random.default_rng(5).permutation(N)), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("effects")


@pytest.mark.parametrize("engine", [each for each in EACH_ENGINE if each.values[0] not in IBIS])
def test_effects_are_those_of_the_rows_in_memory(engine, folder):
    fit = sq.ols(FORMULA, engine_input(engine, folder), weights="w", fold=ENGINES[engine].fold)
    assert_close(estimates(fit), expected(), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("engine", IBIS)
def test_means_suffice_where_rows_stay_in_their_engine(engine, folder):
    formula = "y ~ x * g + z + I(z ** 2)"
    fit = sq.ols(formula, engine_input(engine, folder))
    rows = sq.ols(formula, {name: table()[name].combine_chunks() for name in table().column_names})
    for read in (
        lambda fit: fit.effects(["x", "z", "g"]),
        lambda fit: fit.effects("x", by="g"),
        lambda fit: fit.margins(at="mean", by="g"),
        lambda fit: fit.margins(at={"z": [0, 1]}),
    ):
        columns = ["estimate", "se"]
        assert_close(read(fit)[columns].to_numpy(), read(rows)[columns].to_numpy(), rtol=1e-8)
    with pytest.raises(
        DataError, match=r"^This averages over groups of 'area' in the rows of .*, which stay in their engine\. Leave"
    ):
        fit.effects("x", by="area")
