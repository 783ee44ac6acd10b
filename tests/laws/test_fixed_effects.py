"""Laws of fixed effects: they are those of dummies, and neither the order of the rows nor the names of the levels matter."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.exact.fixed_effects import level_sums, level_system
from tests.support.checks import assert_close

seeds = st.integers(0, 10**6)
EFFECTS = st.sampled_from(["f", "f + g", "f^g + h", "f + g + h", "h + f^h"])


def table(seed, n=90):
    """Give an unbalanced panel whose levels may fall into groups that share no row."""
    rng = np.random.default_rng(seed)
    f, g, h = rng.integers(0, 12, n), rng.integers(0, 7, n), rng.integers(0, 4, n)
    data = pd.DataFrame({"f": f, "g": np.where(f < 6, g, g + 7), "h": [f"h{i}" for i in h], "w": rng.integers(1, 4, n)})
    x, z = rng.normal(size=n) + f, rng.normal(size=n) * (1 + h)
    return data.assign(x=x, z=z, y=x - 2 * z + np.sin(f) + data["g"] + h * h + rng.normal(size=n))


def dummies(effects, data):
    """Return the formula with each effect as dummies, and the data with columns for the pairs of two columns."""
    parts = effects.split(" + ")
    pairs = {part.replace("^", "_"): data[part[0]].astype(str) + data[part[2]].astype(str) for part in parts if "^" in part}
    return " + ".join(["y ~ x + z", *(f"C({part.replace('^', '_')})" for part in parts)]), data.assign(**pairs)


@given(seeds, EFFECTS)
def test_fixed_effects_are_dummies(seed, effects):
    data = table(seed)
    formula, with_pairs = dummies(effects, data)
    fit, peer = sq.ols(f"y ~ x + z | {effects}", data), sq.ols(formula, with_pairs)
    assert (fit.df_resid, fit.rank) == (peer.df_resid, peer.rank)
    for name in ("rsquared", "rsquared_adj", "ssr", "llf", "aic", "bic", "centered_tss", "uncentered_tss", "durbin_watson"):
        assert_close(getattr(fit, name), getattr(peer, name), rtol=1e-10)
    assert_close(fit.params, peer.params[["x", "z"]], rtol=1e-10, atol=1e-12)
    assert_close([fit.resid, fit.fittedvalues, fit.predict(data)], [peer.resid, *[peer.fittedvalues] * 2], rtol=1e-10, atol=1e-10)
    for options in ({}, {"vcov": "HC1"}, {"vcov": "HC2"}, {"vcov": "HC3"}, {"vcov": "CR0", "cluster": "h"}):
        mine, theirs = fit.vcov(**options), peer.vcov(**options)
        assert_close(mine.bse, theirs.bse[["x", "z"]], rtol=1e-9)


@given(seeds, EFFECTS)
def test_iteration_gives_what_a_factorization_gives(seed, effects):
    data = table(seed)
    one = sq.ols(f"y ~ x + z | {effects}", data)
    before, level_system._MOST_FACTORED = level_system._MOST_FACTORED, 0
    try:
        other = sq.ols(f"y ~ x + z | {effects}", data)
    finally:
        level_system._MOST_FACTORED = before
    assert_close(other.params, one.params, rtol=1e-11, atol=1e-13)
    assert_close(other.fittedvalues, one.fittedvalues, rtol=1e-9, atol=1e-9)
    if len(effects.split(" + ")) < 3:
        assert other.df_resid == one.df_resid
    else:
        assert other.df_resid <= one.df_resid


@given(seeds, EFFECTS, st.integers(1, 89))
def test_order_and_cut_of_rows_and_names_of_levels_do_not_matter(seed, effects, cut):
    data = table(seed)
    rng = np.random.default_rng(seed)
    one = sq.ols(f"y ~ x + z | {effects}", data, cluster="g")
    names = rng.permutation(100)
    shuffled = data.sample(frac=1, random_state=seed % 1000).assign(f=lambda rows: names[rows["f"]])
    other = sq.ols(f"y ~ x + z | {effects}", shuffled, cluster="g")
    assert_close([other.params, other.bse], [one.params, one.bse], rtol=1e-10, atol=1e-13)
    before, level_sums._PENDING = level_sums._PENDING, 1
    try:
        import polars

        parts = polars.concat([polars.from_pandas(data[:cut]), polars.from_pandas(data[cut:])], rechunk=False)
        third = sq.ols(f"y ~ x + z | {effects}", parts, cluster="g")
    finally:
        level_sums._PENDING = before
    assert_close([third.params, third.bse], [one.params, one.bse], rtol=1e-11, atol=1e-13)
    assert third.fixed_effects()["n"].to_list() == one.fixed_effects()["n"].to_list()


@given(seeds, EFFECTS)
def test_what_depends_on_a_level_alone_changes_no_slope(seed, effects):
    data = table(seed)
    one = sq.ols(f"y ~ x + z | {effects}", data)
    moved = data.assign(y=data["y"] + 100 * np.cos(data["f"]) if "f +" in f"{effects} +" else data["y"] + 100, x=data["x"] + 1e4)
    other = sq.ols(f"y ~ x + z | {effects}", moved)
    assert_close([other.params, other.bse], [one.params, one.bse], rtol=1e-9, atol=1e-12)


@given(seeds, EFFECTS)
def test_leverages_add_up_to_the_parameters(seed, effects):
    fit = sq.ols(f"y ~ x + z | {effects}", table(seed))
    assert_close(fit.augment()[".hat"].sum(), fit.rank, rtol=1e-9)


@given(seeds, EFFECTS)
def test_frequencies_are_repeated_rows(seed, effects):
    data = table(seed)
    one = sq.ols(f"y ~ x + z | {effects}", data, frequencies="w")
    other = sq.ols(f"y ~ x + z | {effects}", data.loc[data.index.repeat(data["w"])])
    assert (one.nobs, one.df_resid) == (other.nobs, other.df_resid)
    assert_close([one.params, one.bse, one.vcov("HC3").bse], [other.params, other.bse, other.vcov("HC3").bse], rtol=1e-9)
    assert one.fixed_effects()["n"].to_list() == other.fixed_effects()["n"].to_list()
