"""The wild cluster bootstrap, against numbers of wildboottest and against fits of drawn responses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import squarely as sq
from squarely.errors import DataError, FormulaError, OptionError
from squarely.inference.post_estimation.bootstrap import wild
from tests.support.checks import assert_close

DATA = Path(__file__).parents[1] / "data"
CASES = json.loads((DATA / "wild_bootstrap" / "expected.json").read_text())


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(2)
    firm = rng.integers(0, 30, 400)
    x = rng.normal(size=30)[firm] + rng.normal(size=400)
    return pd.DataFrame(
        {"x": x, "z": rng.normal(size=400), "firm": firm, "w": rng.uniform(0.5, 2, 400), "y": 0.1 * x + rng.normal(size=30)[firm]}
    )


@pytest.mark.parametrize("case", CASES, ids=[f"{c['data']}-{c['param']}-{c['impose_null']}" for c in CASES])
def test_all_sign_vectors_are_those_of_wildboottest(case):
    fit = sq.ols(
        case["formula"].replace("Q('yield')", "`yield`"), DATA / "inference" / f"{case['data']}.csv", cluster=case["cluster"]
    )
    test = fit.wild_test({case["param"]: 0}, impose_null=case["impose_null"])
    assert_close(test.statistic, case["statistic"], rtol=1e-10)
    draws = np.sort(np.abs(test.estimates))
    finite = np.isfinite(case["absolute_draws"])
    assert_close(draws[1::2][finite], np.array(case["absolute_draws"])[finite], rtol=1e-10, atol=1e-10)
    assert_close(draws[::2][finite], np.array(case["absolute_draws"])[finite], rtol=1e-10, atol=1e-10)
    larger = np.array(case["absolute_draws"]) > abs(case["statistic"]) * (1 + 1e-9)
    assert_close(test.pvalue, larger.mean(), rtol=1e-10)
    assert test.exact
    assert test.draws == 2**test.clusters
    assert abs(test.pvalue - case["pvalue"]) < 2.5 / test.draws  # its rounding decides whether the sample itself counts


@pytest.mark.parametrize("weights", ["rademacher", "webb"])
@pytest.mark.parametrize("impose_null", [True, False])
def test_draws_are_fits_of_drawn_responses(table, weights, impose_null):
    """Make each response and fit it, as the definition says, with weights in the fit."""
    fit = sq.ols("y ~ x + z", table, cluster="firm", weights="w")
    test = fit.wild_test("x + z = 0.2", draws=4, weights=weights, seed=9, impose_null=impose_null)
    contrast = fit.t_test("x + z = 0.2")
    assert_close(test.statistic, contrast.tvalue[0], rtol=1e-10)
    keys = np.sort(wild.keys_of_labels(range(30)))
    drawn = next(wild._random_weights(weights, 9, 4, keys))
    at = np.searchsorted(keys, wild.keys_of_labels(table.firm))
    under = sq.ols("I(y - 0.2 * z) ~ I(x - z)", table, weights="w")
    fitted = under.predict(table).to_numpy() + 0.2 * table.z if impose_null else fit.predict(table).to_numpy()
    null = 0.2 if impose_null else float(contrast.effect[0])
    for t, w in zip(test.estimates, drawn, strict=True):
        again = table.assign(y=fitted + w[at] * (table.y - fitted))
        expected = sq.ols("y ~ x + z", again, cluster="firm", weights="w").t_test(f"x + z = {null!r}").tvalue[0]
        assert_close(t, expected, rtol=1e-8)


def test_random_signs_approach_all_of_them(monkeypatch):
    fit = sq.ols("log(gsp) ~ log(pcap) + unemp", DATA / "inference" / "produc.csv", cluster="region")
    exact, draws = fit.wild_test("unemp = 0").pvalue, 20_000
    monkeypatch.setattr(wild, "_MOST_ENUMERATED", 0)
    random = fit.wild_test("unemp = 0", draws=draws)
    assert 0.05 < exact < 0.95
    assert not random.exact
    assert abs(random.pvalue - exact) < 4 * np.sqrt(exact * (1 - exact) / draws)


def test_frequencies_are_repeated_rows(table):
    counts = table.assign(f=1 + table.index % 3)
    repeated = counts.loc[counts.index.repeat(counts.f)].reset_index(drop=True)
    expected = sq.ols("y ~ x + z", repeated, cluster="firm")
    fit = sq.ols("y ~ x + z", counts, cluster="firm", frequencies="f")
    assert_close(fit.wild_test("x = 0", draws=50).estimates, expected.wild_test("x = 0", draws=50).estimates, rtol=1e-9)
    drawn = [each.bootstrap(draws=50, cluster="firm").estimates for each in (fit, expected)]
    assert_close(*drawn, rtol=1e-9)


def test_webb_weights_are_random_with_few_clusters():
    fit = sq.ols("log(gsp) ~ log(pcap) + unemp", DATA / "inference" / "produc.csv", cluster="region")
    test = fit.wild_test("unemp = 0", weights="webb", draws=1999)
    assert (test.exact, test.draws, test.clusters) == (False, 1999, 9)
    assert abs(test.pvalue - fit.wild_test("unemp = 0").pvalue) < 0.1


def test_a_seed_gives_the_same_draws_for_each_cut_of_the_rows(table, tmp_path, monkeypatch):
    def draw(data):
        return sq.ols("y ~ x + z", data, cluster="firm").wild_test("x = 0", draws=101, seed=3).estimates

    expected = draw(table)
    table.to_csv(tmp_path / "a.csv", index=False)
    assert_close(draw(tmp_path / "a.csv"), expected, rtol=1e-9)
    assert_close(draw(pl.from_pandas(table[::-1])), expected, rtol=1e-9)
    monkeypatch.setattr(wild, "_CELLS", 100)
    monkeypatch.setattr("squarely.inference.scan._CELLS", 1)
    assert_close(draw(table), expected, rtol=1e-9)


def test_the_page_and_the_numbers(table):
    test = sq.ols("y ~ x + z", table, cluster="firm").wild_test("x = 0", draws=99)
    assert "30 clusters of firm, and imposes the constraint (WCR)" in " ".join(str(test.summary()).split())
    assert test.as_dict()["pvalue"] == np.mean(np.abs(test.estimates) > abs(test.statistic))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"draws": 0}, "draws=0 is not a whole number of at least 1"),
        ({"weights": "mammen"}, "weights='mammen' is not known"),
        ({"hypothesis": "x = 0, z = 0"}, "The hypothesis has 2 constraints, and wild_test tests one"),
        ({"hypothesis": "u = 0"}, "u"),
        ({"hypothesis": "0 * x = 0"}, "x"),
    ],
)
def test_options_that_cannot_be_used(table, options, says):
    with pytest.raises((DataError, OptionError, FormulaError), match=says):
        sq.ols("y ~ x + z", table, cluster="firm").wild_test(**({"hypothesis": "x = 0"} | options))


def test_fits_that_have_not_one_column_of_clusters(table, tmp_path):
    with pytest.raises(OptionError, match="the fit has no clusters"):
        sq.ols("y ~ x", table).wild_test("x = 0")
    with pytest.raises(OptionError, match="has clusters of 'firm' and 'half'"):
        sq.ols("y ~ x", table.assign(half=table.index % 5), cluster=["firm", "half"]).wild_test("x = 0")
    with pytest.raises(OptionError, match="The wild cluster bootstrap needs the columns of the fixed effects"):
        sq.ols("y ~ x | firm", table, cluster="firm").wild_test("x = 0")
    sq.ols("y ~ x", table, cluster="firm").save(tmp_path / "fit.json")
    with pytest.raises(DataError, match="rows"):
        sq.load(tmp_path / "fit.json").wild_test("x = 0")
