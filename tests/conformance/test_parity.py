"""Parity: every source x every kind of column gives every statistic of `fit.as_dict()` alike, and as statsmodels has it."""

import decimal
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from statsmodels.formula.api import ols as peer_ols
from statsmodels.stats.stattools import durbin_watson, jarque_bera, omni_normtest

import squarely as sq
from tests.support.checks import FORMS, assert_close, hand_over

N = 700  # three row groups of the Parquet file
NAMES = ('x"; drop table t; --', "two words", "it's", "größe", "select", "a.b")


def table():
    """Give columns of every kind; no two are alike, so that none can stand in for another."""
    rng = np.random.default_rng(11)
    x, z = rng.uniform(1, 9, N), rng.normal(40, 10, N)
    g, h = np.array(["b", "a", "cä", "NA?"])[rng.integers(0, 4, N)], np.array(["u", "v"])[rng.integers(0, 2, N)]
    k, t = rng.integers(-2, 3, N), rng.integers(0, 2, N).astype(bool)
    cents = [decimal.Decimal(int(c)).scaleb(-2) for c in rng.integers(-9999, 9999, N)]
    y = 20 + x - 0.1 * z + (g == "a") * x - (h == "v") + 0.3 * k + 0.5 * t + np.array(cents, float) / 50 + rng.gumbel(size=N)
    gap = np.round(rng.normal(5, 2, N), 3)
    gap[[5, 301]], gap[650], gap[651] = np.nan, np.inf, -np.inf
    return {
        "x": x,
        "z": z,
        "g": g,
        "h": h,
        "k": k,
        "t": t,
        "y": y,
        "small": k.astype(np.int8),
        "byte": rng.integers(0, 256, N).astype(np.uint8),
        "whole": rng.integers(-(2**40), 2**40, N),
        "single": (1e4 + rng.normal(size=N)).astype(np.float32),
        "cents": pa.array(cents, pa.decimal128(12, 2)),
        "gap": pa.array(gap, mask=np.arange(N) % 90 == 7),
        "hole": pa.array(h, mask=np.arange(N) % 70 == 3),
        "unix": 1.334e9 + 3.6 * np.arange(N),
        "twice": 2 * x,
        **{name: rng.normal(size=N) for name in NAMES},
    }


TABLE = table()
CASES = {
    "numeric": ("y ~ x + z", {}),
    "no intercept": ("y ~ x + z - 1", {}),
    "unix time": ("y ~ unix + x", {}),
    "categorical": ("y ~ g + C(k) + h", {}),
    "contrasts": ("y ~ C(g, Sum) + C(k, Treatment(reference=1)) - 1", {}),
    "interaction": ("y ~ x * g + z:t + h:g", {}),
    "polynomial": ("y ~ poly(x, 3) + z + I(z**2)", {}),
    "raw polynomial": ("y ~ poly(x, 4, raw=True) * h", {}),
    "spline": ("y ~ bs(x, df=6) + ns(z, df=3)", {}),
    "functions": ("log(y) ~ sqrt(x) + scale(z) + offset(x / 90)", {}),
    "missing rows": ("y ~ gap + x + hole", {}),
    "condition": ("y ~ x + h", {"where": "z > 35 and g != 'cä' or not t"}),
    "integers": ("y ~ small + byte + whole + k:x", {}),
    "float32": ("y ~ single + x:single + x", {}),
    "decimals": ("y ~ cents + I(cents**2) + x", {}),
    "booleans": ("y ~ t + x:t", {}),
    "collinear": ("y ~ x + twice + t + z", {}),
    "odd names": (f"y ~ Q('{NAMES[0]}') + `two words` + Q(\"it's\") + größe + select + a.b", {}),
}
# The same model in statsmodels, which has no `ns` (tests/oracles/test_r.py holds splines to R's) and loses digits on large numbers.
PEERS = {
    "numeric": "y ~ x + z",
    "no intercept": "y ~ x + z - 1",
    "unix time": "y ~ I(unix - 1.334e9) + x",
    "categorical": "y ~ g + C(k) + h",
    "contrasts": "y ~ C(g, Sum) + C(k, Treatment(reference=1)) - 1",
    "interaction": "y ~ x * g + z:t + h:g",
    "polynomial": "y ~ x + I(x**2) + I(x**3) + z + I(z**2)",
    "raw polynomial": "y ~ (x + I(x**2) + I(x**3) + I(x**4)) * h",
    "functions": "I(np.log(y) - x / 90) ~ np.sqrt(x) + scale(z)",
    "missing rows": "y ~ gap + x + hole",
    "condition": "y ~ x + h",
    "integers": "y ~ small + byte + I(whole / 1099511627776) + k:x",
    "float32": "y ~ I(single - 1e4) + x:I(single - 1e4) + x",
    "decimals": "y ~ cents + I(cents**2) + x",
    "booleans": "y ~ t + x:t",
    "collinear": "y ~ x + t + z",
    "odd names": "y ~ n0 + n1 + n2 + n3 + n4 + n5",
}
ANOTHER_BASIS = ("unix time", "polynomial", "raw polynomial", "integers", "float32")  # columns differ, the space is one
SCALARS = ("nobs", "df_model", "df_resid", "k_constant", "rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic", "bic",
           "ssr", "ess", "centered_tss", "uncentered_tss", "mse_resid", "mse_model", "mse_total", "condition_number")  # fmt: skip
TESTS = ("omnibus", "omnibus_pvalue", "jarque_bera", "jarque_bera_pvalue", "skew", "kurtosis", "durbin_watson")
VECTORS = ("params", "bse", "tvalues", "pvalues", "conf_int", "cov_params")
# What a source cannot tell, with the reason; all else must be equal.
ABSENT = {
    ("missing rows", "pandas"): ({"rows.dropped.gap.null", "rows.dropped.gap.nan"}, "pandas merges NULL and NaN among doubles"),
    ("decimals", "pandas"): ({"casts.cents"}, "pandas holds decimals as objects, without the declared width"),
    ("decimals", "csv"): ({"casts.cents"}, "a CSV file says no types: 1.25 is a number"),
    ("decimals", "jsonl"): ({"casts.cents"}, "JSON has no decimals: 1.25 is a number"),
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """Hand the table over once in each form."""
    return {form: hand_over(form, TABLE, tmp_path_factory.mktemp("forms")) for form in FORMS}


@pytest.fixture(scope="module")
def plain(forms):
    """Fit each case once to the dict."""
    return {name: sq.ols(formula, forms["dict"], **options) for name, (formula, options) in CASES.items()}


def flat(value, at=()):
    """Walk nested dicts and lists to their leaves: path -> value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if pairs is None:
        return {".".join(at): value}
    return {path: leaf for key, inside in pairs for path, leaf in flat(inside, (*at, str(key))).items()}


def differ(path, one, other):
    """Tell whether two leaves differ: doubles by more than 1e-10 of the first, all else by anything.

    Digits are a bound that follows the condition of the centered columns, and centers are learned from the first batch, which a
    source cuts where it likes: a tenth of a digit is allowed.
    """
    if isinstance(one, float) and isinstance(other, float):
        if path.startswith("digits") and abs(other - one) < 0.1:
            return False
        return not (one == other or abs(other - one) <= 1e-10 * abs(one) or (math.isnan(one) and math.isnan(other)))
    return type(one) is not type(other) or one != other


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("name", CASES)
def test_every_form_gives_every_statistic_of_the_dict(name, form, forms, plain):
    formula, options = CASES[name]
    absent, _ = ABSENT.get((name, form), (set(), ""))
    expected, found = (flat(fit.as_dict()) for fit in (plain[name], sq.ols(formula, forms[form], **options)))
    differing = {path for path in expected.keys() | found.keys() if differ(path, expected.get(path), found.get(path))}
    assert {path: (expected.get(path), found.get(path)) for path in differing - absent} == {}
    assert differing >= absent  # an exception that is none any more must go
    assert [path for path in found if path not in absent] == [path for path in expected if path not in absent]  # in one order
    assert len(expected) > 50


@pytest.fixture(scope="module")
def frame():
    """Give statsmodels doubles and names without signs, gaps and infinities as NaN."""
    columns = {name: pa.array(values).to_pylist() if isinstance(values, pa.Array) else values for name, values in TABLE.items()}
    held = pd.DataFrame(columns).rename(columns={name: f"n{i}" for i, name in enumerate(NAMES)})
    numbers = ["small", "byte", "whole", "single", "cents", "gap", "k"]
    return held.astype(dict.fromkeys(numbers, float)).replace([np.inf, -np.inf], np.nan).astype({"k": int})


@pytest.mark.parametrize("name", PEERS)
def test_the_dict_gives_what_statsmodels_gives(name, plain, frame):
    fit, held = plain[name].as_dict(), frame
    if name == "condition":
        held = frame[(frame["z"] > 35) & (frame["g"] != "cä") | ~frame["t"]]
    peer = peer_ols(PEERS[name], held).fit()
    scalars = [key for key in SCALARS if not (key == "condition_number" and name in (*ANOTHER_BASIS, "collinear"))]
    assert_close([fit[key] for key in scalars], [getattr(peer, key) for key in scalars], rtol=1e-9)
    residuals = np.asarray(peer.resid)
    expected = dict(zip(TESTS, (*omni_normtest(residuals), *jarque_bera(residuals), durbin_watson(residuals)), strict=True))
    assert_close([fit[key] for key in TESTS], list(expected.values()), rtol=1e-8)
    if name in ANOTHER_BASIS:
        return
    kept = [label for label, value in fit["params"].items() if not math.isnan(value)]
    assert len(kept) == len(peer.params)
    theirs = [getattr(peer, key) for key in VECTORS[:4]] + [peer.conf_int(), peer.cov_params()]
    for key, values in zip(VECTORS, theirs, strict=True):
        ours = [[fit[key][one][other] for other in kept] if key == "cov_params" else fit[key][one] for one in kept]
        assert_close(ours, values, rtol=1e-8, atol=1e-12 * np.abs(values).to_numpy().max())  # a covariance may be zero


@pytest.mark.parametrize("form", [form for form in FORMS if form != "duckdb"])
def test_names_that_differ_in_case_alone(form, tmp_path):
    """DuckDB itself calls the second of two such columns `X_1` before anyone sees it, so a relation cannot have them."""
    rng = np.random.default_rng(3)
    data = {"x": rng.normal(size=50), "X": rng.normal(size=50), "Y": rng.normal(size=50), "y": rng.normal(size=50)}
    renamed = dict(zip(("a", "b", "c", "d"), data.values(), strict=True))
    for formula, same in (("y ~ X + x + Y", "d ~ b + a + c"), ("Y ~ x", "c ~ a"), ("y ~ X", "d ~ b")):
        fit = sq.ols(formula, hand_over(form, data, tmp_path))
        assert_close(fit.params.to_numpy(), sq.ols(same, renamed).params, rtol=1e-12)
        assert fit.params.index.tolist() == ["Intercept", *formula.split(" ~ ")[1].split(" + ")]
