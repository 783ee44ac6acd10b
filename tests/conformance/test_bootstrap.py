"""A seed gives the same bootstrap on every engine as in memory, or the engine's rows have no numbers and it says so."""

import functools

import numpy as np
import pyarrow as pa
import pytest

import squarely as sq
from squarely.errors import OptionError
from tests.support.checks import assert_close
from tests.support.engines import ENGINES
from tests.support.spark import WARNINGS

N = 240
IBIS = [name for name in ENGINES if name.startswith("ibis")]
EACH_ENGINE = [pytest.param(name, marks=WARNINGS if name.startswith("spark") else ()) for name in ENGINES]
OPTIONS = {"weights": "w", "where": "x > -1", "cluster": "firm"}


@functools.cache
def table():
    rng = np.random.default_rng(23)
    return pa.table(
        {
            "time": np.arange(N) * 10,
            "x": rng.normal(size=N),
            "gaps": [None if i % 37 == 3 else v for i, v in enumerate(rng.normal(size=N).tolist())],
            "firm": [f"firm {i}" for i in rng.integers(0, 20, N).tolist()],
            "w": rng.uniform(0.2, 3, N),
            "y": rng.normal(size=N),
        }
    )


@functools.cache
def expected():
    columns = {name: table()[name].combine_chunks() for name in table().column_names}
    return sq.ols("y ~ x + gaps", columns, **OPTIONS)


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_draws_are_those_of_the_rows_in_memory(engine, tmp_path):
    form = ENGINES[engine]
    data = form.make(table() if form.ordered else table().take(np.random.default_rng(5).permutation(N)), tmp_path)
    fit = sq.ols("y ~ x + gaps", data, fold=form.fold, **OPTIONS, **({"order_by": "time"} if engine in IBIS else {}))
    for draw in (lambda each: each.bootstrap(draws=30, cluster="firm"), lambda each: each.wild_test("x = 0", draws=30)):
        assert_close(draw(fit).estimates, draw(expected()).estimates, rtol=1e-8)
    if fit.source.partitioned or not fit.source.ordered:
        with pytest.raises(OptionError, match=r"A bootstrap draws rows by their numbers, and the rows of .* (are in|have no)"):
            fit.bootstrap(draws=30)
    elif form.ordered or engine in IBIS:
        assert_close(fit.bootstrap(draws=30).estimates, expected().bootstrap(draws=30).estimates, rtol=1e-8)
