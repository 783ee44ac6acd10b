"""Rows in parts that stay where they are: the same answers, and nothing travels but sums."""

import pickle
from functools import partial

import cloudpickle
import numpy as np
import pytest

import squarely as sq
from squarely.data import Source, open_source
from squarely.data.engines.partitions import PartitionSource, describe_columns, pack_result, unpack_payload
from squarely.design.learning.quantiles import start_search
from squarely.errors import DataError, FormulaError
from tests.support.checks import CARS, assert_close

FORMULAS = [
    "mpg ~ weight",
    "mpg ~ displacement * C(origin) + log(weight)",
    "mpg ~ poly(weight, 3) + C(origin, Sum)",
    "mpg ~ bs(weight, df=6) + ns(displacement, df=4)",
    "np.log(mpg) ~ scale(weight) + center(displacement) + offset(acceleration / 100)",
    "mpg ~ weight + displacement + cylinders + acceleration - 1",
]


class Parted(Source):
    """Rows in parts, each of which is worked on by pickled work, as in another process; they cannot be read."""

    partitioned = True

    def __init__(self, data, ends, *, ordered=True):
        self.whole = open_source(data)
        self.label, self.columns, self.ordered = "the parted rows", self.whole.columns, ordered
        self.ends, self.sent = ends, []

    def read(self, numbers, labels=()):
        raise AssertionError("rows travelled")

    def reduce_partitions(self, columns, work, merge):
        packed, held = cloudpickle.dumps(work), describe_columns(self, columns)
        (batch,) = self.whole.read(*columns)
        for number, (first, stop) in enumerate(zip([0, *self.ends], [*self.ends, batch.num_rows], strict=True)):
            part = [batch.slice(first, (stop - first) // 2), batch.slice(first + (stop - first) // 2, -(-(stop - first) // 2))]
            source, unpacked = PartitionSource(held, part, number), pickle.loads(packed)  # noqa: S301
            self.sent.append(pack_result(partial(unpacked, source)))
            yield 1, unpack_payload(self.sent[-1])

    def kind(self, name):
        return self.whole.kind(name)

    def category_order(self, name):
        return self.whole.category_order(name)


def parted(**options):
    return Parted(CARS, [3, 3, 100, 250], **options)


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_fit_is_that_of_the_whole(formula):
    here, there = sq.ols(formula, CARS), sq.ols(formula, parted())
    assert here.params.index.tolist() == there.params.index.tolist()
    for name in ("params", "bse", "tvalues", "pvalues"):
        assert_close(getattr(there, name), getattr(here, name), rtol=1e-11, atol=1e-300)
    a, b = here.as_dict(), there.as_dict()
    for name in ("rsquared", "fvalue", "llf", "aic", "bic", "durbin_watson", "jarque_bera", "skew", "kurtosis"):
        assert_close(b[name], a[name], rtol=1e-10)
    assert b["rows"] == a["rows"]


def test_without_an_order_there_is_no_durbin_watson():
    fit = sq.ols("mpg ~ weight", parted(ordered=False))
    assert np.isnan(fit.durbin_watson)


def test_what_travels_does_not_grow_with_the_rows():
    x = np.random.default_rng(0).normal(size=40_000)
    sizes = []
    for n in (4_000, 40_000):
        source = Parted({"x": x[:n], "y": x[:n] ** 2, "g": np.where(x[:n] > 0, "a", "b")}, [n // 2])
        sq.ols("y ~ ns(x, df=4) + C(g)", source)
        sizes.append(max(map(len, source.sent)))
    assert sizes[1] < 1.01 * sizes[0]


def test_training_on_cross_products_and_the_certificate():
    source = parted()
    fit = sq.ols("mpg ~ weight + C(origin)", source)
    run = sq.train("mpg ~ weight + C(origin)", source, engine="moments", lr="auto", epochs=200, dtype="float64")
    here = sq.train("mpg ~ weight + C(origin)", CARS, engine="moments", lr="auto", epochs=200, dtype="float64")
    assert_close(run.result.losses, here.result.losses, rtol=1e-12)
    assert sq.certify(fit, run).verdict == sq.certify(sq.ols("mpg ~ weight + C(origin)", CARS), here).verdict
    swept = sq.sweep("mpg ~ weight", source, lr=[0.1, 0.3], epochs=20, engine="moments", dtype="float64")
    assert_close(
        swept.best.result.losses, sq.train("mpg ~ weight", CARS, lr=0.3, epochs=20, dtype="float64").result.losses, rtol=1e-11
    )


def test_rows_do_not_travel_to_be_trained_on():
    with pytest.raises(DataError, match=r"engine='moments'"):
        sq.train("mpg ~ weight", parted(), epochs=2)
    with pytest.raises(DataError, match="to hold a fraction of them out would bring them here"):
        sq.train("mpg ~ weight", parted(), epochs=2, engine="moments", validation=0.2)
    with pytest.raises(DataError, match="to validate with them would bring them here"):
        sq.train("mpg ~ weight", CARS, epochs=2, engine="moments", validation=parted())


def test_what_is_wrong_in_a_part_is_said_as_ever():
    with pytest.raises(DataError, match="None of the 398 rows of the parted rows is complete"):
        sq.ols("mpg ~ log(0 * weight)", parted())
    with pytest.raises(FormulaError, match="not among the 3 levels of 'origin'"):
        sq.ols("mpg ~ C(origin, Treatment('mars'))", parted())
    text = Parted({"x": ["1", "b", "3", "4"], "y": [1.0, 2.0, 3.0, 5.0]}, [2])
    with pytest.raises(DataError, match="text"):
        sq.ols("x ~ y", text)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1_001])
def test_quantiles_by_counting_are_those_of_numpy(n):
    rng = np.random.default_rng(n)
    x = np.concatenate([rng.normal(size=n // 2), rng.choice([-0.0, 0.0, 1e-310, -5.0, 1e308, -1e308], size=n - n // 2)])
    places = np.array([0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
    seen = start_search(n, places)
    while not seen.is_finished:
        counts = [seen.counter()(part) for part in np.array_split(x, 3)]
        seen = seen.narrow({bits: sum(c[bits] for c in counts) for bits in counts[0]})
    with np.errstate(over="ignore"):
        assert seen.quantiles().tolist() == np.quantile(x, places).tolist()
