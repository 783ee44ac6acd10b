"""Fits that an earlier version saved: they load with the same numbers, and merge and predict as they did."""

import json

import pytest

import squarely as sq
from tests.data.earlier.make_files import FITS, HERE, describe_fit
from tests.support.checks import assert_close

DATA = sq.datasets.cars()
EXPECTED = json.loads((HERE / "expected.json").read_text())["fits"]


@pytest.mark.parametrize("name", EXPECTED)
def test_an_earlier_fit_has_the_same_numbers(name):
    numbers = describe_fit(sq.load(HERE / f"{name}.json"), DATA[:5])
    assert numbers.keys() == EXPECTED[name].keys()
    for key, expected in EXPECTED[name].items():
        assert_close(numbers[key], expected, rtol=1e-13)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_earlier_fit_reads_as_a_new_one(name):
    fit = sq.load(HERE / f"{name}.json")
    if name == "merged":
        first, second = (sq.ols("mpg ~ displacement + C(origin)", rows) for rows in (DATA[:200], DATA[200:]))
        now = first.merge(second)
    else:
        formula, where = FITS[name]
        now = sq.ols(formula, DATA, where=where)
    assert fit.summary() == now.summary()
    assert_close(fit.params, now.params, rtol=1e-13)


def test_earlier_fits_merge(tmp_path):
    plain = sq.load(HERE / "plain.json")
    both = plain.merge(sq.ols(FITS["plain"][0], DATA, where=FITS["plain"][1]), duplicates="keep")
    assert_close(both.params, plain.params, rtol=1e-10)
    both.save(tmp_path / "both.json")
    assert sq.load(tmp_path / "both.json").nobs == 2 * plain.nobs
