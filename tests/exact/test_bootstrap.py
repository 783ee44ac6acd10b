"""The Poisson bootstrap: limits that theory gives, and numbers that no cut of the rows changes."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import chisquare, poisson

import squarely as sq
from squarely.errors import DataError, OptionError
from squarely.inference.post_estimation.bootstrap import random_weights
from tests.support.checks import assert_close

N = 600


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(2, N))
    firm = rng.integers(0, 40, N)
    w = rng.uniform(0.5, 2, N)
    return pd.DataFrame({"x": x, "z": z, "firm": firm, "w": w, "y": 1 + 2 * x + rng.normal(size=40)[firm] + rng.normal(size=N)})


def test_weights_are_poisson_and_independent():
    counts = random_weights.poisson(random_weights.uniform_bits(3, range(500), np.arange(2000))).astype(int)
    most = 6
    observed = np.bincount(np.minimum(counts.ravel(), most), minlength=most + 1)
    expected = np.append(poisson.pmf(range(most), 1), poisson.sf(most - 1, 1)) * counts.size
    assert chisquare(observed, expected).pvalue > 0.001
    bound = 4.5 / math.sqrt(counts.size)
    for shifted in (counts[1:], counts[:, 1:]):
        base = counts[: shifted.shape[0], : shifted.shape[1]]
        assert abs(np.mean((base - 1) * (shifted - 1))) < bound


@pytest.mark.parametrize(
    ("draw", "values"), [("rademacher", [-1, 1]), ("webb", [sign * math.sqrt(k / 2) for sign in (-1, 1) for k in (1, 2, 3)])]
)
def test_weights_of_the_wild_bootstrap_have_equal_probabilities(draw, values):
    drawn = getattr(random_weights, draw)(random_weights.uniform_bits(3, range(100), np.arange(600)))
    found, counts = np.unique(drawn, return_counts=True)
    assert_close(found, sorted(values), rtol=1e-15)
    assert chisquare(counts).pvalue > 0.001


def test_draws_are_weighted_fits(table):
    fit = sq.ols("y ~ x + z", table, weights="w")
    drawn = fit.bootstrap(draws=3, seed=8).estimates
    weights = random_weights.poisson(random_weights.uniform_bits(8, range(3), np.arange(N)))
    for estimates, weight in zip(drawn, weights, strict=True):
        again = sq.ols("y ~ x + z", table.assign(w=table.w * weight)[weight > 0], weights="w")
        assert_close(estimates, again.params.to_numpy(), rtol=1e-10)


def test_standard_errors_approach_hc0(table):
    """The deviation of normal draws has the relative error 1 / sqrt(2 draws); HC3 / HC0 bounds the rest."""
    fit, draws = sq.ols("y ~ x + z", table), 4000
    ratio = fit.bootstrap(draws=draws).bse / fit.vcov("HC0").bse
    slack = 4 / math.sqrt(2 * draws) + (fit.vcov("HC3").bse / fit.vcov("HC0").bse - 1).max()
    assert (ratio - 1).abs().max() < slack < 0.06


def test_draws_of_clusters_approach_cr0(table):
    fit, draws = sq.ols("y ~ x + z", table), 4000
    drawn = fit.bootstrap(draws=draws, cluster="firm")
    clustered = fit.vcov("CR0", cluster="firm").bse
    slack = 4 / math.sqrt(2 * draws) + (fit.vcov("CR3", cluster="firm").bse / clustered - 1).max()
    assert (drawn.bse / clustered - 1).abs().max() < slack < 0.15
    assert drawn.bse["Intercept"] > 2 * fit.bootstrap(draws=500).bse["Intercept"]  # firms differ by their level


@pytest.mark.parametrize("cluster", [None, "firm"])
@pytest.mark.parametrize("form", ["polars", "csv", "parquet", "two files"])
def test_a_seed_gives_the_same_numbers_for_each_form_of_the_rows(table, tmp_path, form, cluster):
    expected = sq.ols("y ~ x + z", table).bootstrap(draws=50, seed=4, cluster=cluster).estimates
    data = {"polars": lambda: pl.from_pandas(table), "csv": lambda: tmp_path / "a.csv", "parquet": lambda: tmp_path / "a.parquet"}
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet", row_group_size=77)
    table[:211].to_csv(tmp_path / "1.csv", index=False)
    table[211:].to_csv(tmp_path / "2.csv", index=False)
    given = [tmp_path / "1.csv", tmp_path / "2.csv"] if form == "two files" else data[form]()
    assert_close(sq.ols("y ~ x + z", given).bootstrap(draws=50, seed=4, cluster=cluster).estimates, expected, rtol=1e-9)


def test_labels_count_by_their_text():
    keys = [random_weights.keys_of_labels(labels).tolist() for labels in ([1, -20], [1.0, -20.0], ["1", "-20"], ["1.0", "-20.0"])]
    assert all(each == keys[0] for each in keys)
    assert len(set(random_weights.keys_of_labels(["1", "01", "1.5", "1.05", 10]).tolist())) == 5


@pytest.mark.parametrize("cluster", [None, "firm"])
def test_batches_and_more_draws_change_no_draw(table, monkeypatch, cluster):
    fit = sq.ols("y ~ x + z", table)
    expected = fit.bootstrap(draws=51, seed=4, cluster=cluster).estimates
    monkeypatch.setattr("squarely.inference.post_estimation.bootstrap.poisson._MOST_SUMS", 100)
    monkeypatch.setattr("squarely.inference.post_estimation.bootstrap.poisson._CELLS", 128)
    monkeypatch.setattr("squarely.inference.scan._CELLS", 1)
    assert_close(fit.bootstrap(draws=60, seed=4, cluster=cluster).estimates[:51], expected, rtol=1e-10)
    assert not np.isclose(fit.bootstrap(draws=51, seed=5, cluster=cluster).estimates, expected).any()


def test_rows_that_a_condition_leaves_out_keep_the_numbers_of_the_others(table):
    gaps = table.assign(x=table.x.where(table.index % 7 != 0))
    expected = sq.ols("y ~ x + z", gaps).bootstrap(draws=20).estimates
    assert_close(
        sq.ols("y ~ x + z", table.assign(i=table.index % 7), where="i != 0").bootstrap(draws=20).estimates, expected, rtol=1e-9
    )


def test_functions_and_limits(table):
    fit = sq.ols("y ~ x + z", table)
    plain, ratio = fit.bootstrap(draws=300), fit.bootstrap(lambda b: b["x"] / b["Intercept"], draws=300)
    values = plain.estimates[:, 1] / plain.estimates[:, 0]
    center = fit.params["x"] / fit.params["Intercept"]
    assert_close(ratio.estimates, values, rtol=1e-14)
    low, high = np.quantile(values, [0.05, 0.95])
    assert_close(ratio.conf_int(0.1).to_numpy(), [[low, high]], rtol=1e-14)
    assert_close(ratio.conf_int(0.1, "basic").to_numpy(), [[2 * center - high, 2 * center - low]], rtol=1e-14)
    half = 1.6448536269514722 * values.std(ddof=1)
    assert_close(ratio.conf_int(0.1, "normal").to_numpy(), [[center - half, center + half]], rtol=1e-12)
    both = fit.bootstrap(lambda b: b[["x", "z"]] ** 2, draws=10)
    assert both.names == ("x", "z")
    assert fit.bootstrap(lambda b: [b["x"], 2 * b["z"]], draws=10).names == ("[0]", "[1]")
    assert fit.bootstrap(lambda b: np.outer(b, b), draws=10).estimates.shape == (10, 3, 3)
    assert plain.as_dict()["estimates"][1]["bse"] == plain.bse["x"]
    assert "Each row has a Poisson weight" in str(plain.summary())


def test_singular_draws_are_counted():
    data = {"x": [0.0, 0.0, 0.0, 0.0, 1.0], "y": [1.0, 2.0, 4.0, 3.0, 7.0]}
    drawn = sq.ols("y ~ x", data).bootstrap(draws=4000)
    share = np.isnan(drawn.estimates).any(axis=1).mean()
    assert abs(share - math.exp(-1) - math.exp(-4) * (1 - math.exp(-1))) < 4 * 0.5 / math.sqrt(4000)
    assert f"{round(share * 4000):,} draws of 4,000 do not determine all coefficients" in drawn.notes[-1]
    assert np.isfinite(drawn.bse["Intercept"])


def test_dropped_columns_are_nan(table):
    dropped = sq.ols("y ~ x + z + v", table.assign(v=2 * table.x)).bootstrap(draws=20)
    assert dropped.bse.isna().tolist() == [False, False, False, True]


def test_hidden_residuals_make_draws_nan(table, monkeypatch):
    fit = sq.ols("y ~ x", table)
    monkeypatch.setattr(type(fit.solution), "has_hidden_residuals", True)
    drawn = fit.bootstrap(draws=20)
    assert drawn.bse.isna().all()
    assert "rounding hides them" in drawn.notes[-1]


def test_one_draw_has_no_standard_error(table):
    assert sq.ols("y ~ x", table).bootstrap(draws=1).bse.isna().all()


def test_a_fit_with_clusters_names_them(table):
    assert "cluster='firm' draws clusters" in sq.ols("y ~ x", table, cluster="firm").bootstrap(draws=2).notes[-1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"draws": 0}, "draws=0 is not a whole number of at least 1"),
        ({"draws": 2.5}, "draws=2.5 is not a whole number"),
        ({"seed": -1}, "seed=-1 is not a whole number of at least 0"),
        ({"function": "x"}, "function='x' cannot be called"),
        ({"function": lambda _: "a"}, "The function returns 'a'"),
        ({"function": lambda _: []}, "The function returns"),
        ({"cluster": ["firm", "x"]}, "is not the name of a column"),
        ({"cluster": "frim"}, "frim"),
    ],
)
def test_options_that_cannot_be_used(table, options, says):
    with pytest.raises((OptionError, DataError), match=says):
        sq.ols("y ~ x", table).bootstrap(**options)


def test_limits_by_an_unknown_method(table):
    with pytest.raises(OptionError, match="method='bca' is not known"):
        sq.ols("y ~ x", table).bootstrap(draws=5).conf_int(method="bca")


def test_fits_that_cannot_be_drawn(table, tmp_path):
    fit = sq.ols("y ~ x", table)
    fit.save(tmp_path / "fit.json")
    for cluster in (None, "firm"):
        with pytest.raises(DataError, match="rows"):
            sq.load(tmp_path / "fit.json").bootstrap(draws=2, cluster=cluster)
    with pytest.raises(OptionError, match="A bootstrap needs the columns of the fixed effects"):
        sq.ols("y ~ x | firm", table).bootstrap(draws=2)
    with pytest.raises(OptionError, match="frequencies= counts several as one"):
        sq.ols("y ~ x", table.assign(f=2), frequencies="f").bootstrap(draws=2)


def test_units_of_columns_do_not_matter(table):
    expected = sq.ols("y ~ x + z", table).bootstrap(draws=30).estimates
    units = np.array([1e6, 1e6 / 1e-9, 1e6])
    scaled = table.assign(x=table.x * 1e-9, y=table.y * 1e6)
    assert_close(sq.ols("y ~ x + z", scaled).bootstrap(draws=30).estimates, expected * units, rtol=1e-9)
