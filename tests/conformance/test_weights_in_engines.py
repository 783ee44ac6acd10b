"""Weights that an engine sums: the same fit, training, certificate and errors as with the rows at hand."""

import duckdb
import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.errors import DataError
from tests.support.checks import assert_close, need
from tests.support.engines import ibis_duckdb

pa = need("pyarrow")
polars = need("polars")


def rows(n=300):
    rng = np.random.default_rng(4)
    x, g = rng.normal(5, 2, size=n), rng.choice(["a", "b"], size=n)
    data = pd.DataFrame({"x": x, "g": g, "w": rng.uniform(0.1, 5, n), "k": rng.integers(0, 4, n), "y": 2 * x + rng.normal(size=n)})
    return data.assign(w=data["w"].where(data["k"] > 0, 0.0))


def duckdb_relation(data):
    return duckdb.connect().from_arrow(pa.Table.from_pandas(data, preserve_index=False))


def lazy_frame(data):
    return polars.from_pandas(data).lazy()


def ibis_table(data):
    return ibis_duckdb(pa.Table.from_pandas(data, preserve_index=False), None)


ENGINES = pytest.mark.parametrize("make", [duckdb_relation, lazy_frame, ibis_table])
OPTIONS = pytest.mark.parametrize("option", [{"weights": "w"}, {"frequencies": "k"}, {"weights": "I(w / (1 + x**2))"}], ids=str)


@ENGINES
@OPTIONS
def test_training_and_certificate(make, option):
    fit = sq.ols("y ~ x * g", make(rows()), fold="aggregates", **option)
    run = sq.train("y ~ x * g", make(rows()), engine="moments", epochs=3000, dtype="float64", **option)
    here = sq.train("y ~ x * g", rows(), engine="moments", epochs=3000, dtype="float64", **option)
    assert_close(run.params, here.params, rtol=1e-9)
    certificate, expected = sq.certify(fit, run), sq.certify(sq.ols("y ~ x * g", rows(), **option), here)
    assert certificate.verdict == expected.verdict == "agree"
    assert_close(certificate.slope.loss, expected.slope.loss, rtol=1e-9)


@ENGINES
def test_rows_without_weight_are_counted(make):
    fit, here = sq.ols("y ~ x", make(rows()), fold="aggregates", weights="w"), sq.ols("y ~ x", rows(), weights="w")
    assert (fit.rows.weightless, fit.nobs) == (here.rows.weightless, here.nobs)
    assert fit.rows.weightless == (rows()["k"] == 0).sum() > 0


@ENGINES
@pytest.mark.parametrize(
    ("option", "values", "message"),
    [
        ("weights", [1, -2, 1, -3, 1], r"weights='w' is -3 in 2 rows of .*at least 0"),
        ("weights", [1, 1, np.inf, 1, 1], r"weights='w' is infinite in 1 row"),
        ("frequencies", [1, 1, 1.5, 1, 1], r"frequencies='w' is 1.5 in 1 row of .*whole numbers"),
        ("weights", [0, 0, 0, 0, 0], r"None of the 5 rows"),
    ],
)
def test_wrong_weights_are_refused(make, option, values, message):
    data = pd.DataFrame({"x": [0.0, 1, 2, 3, 4], "y": [1.0, 3, 4, 6, 9], "w": np.array(values, dtype=float)})
    with pytest.raises(DataError, match=message):
        sq.ols("y ~ x", make(data), fold="aggregates", **{option: "w"})
