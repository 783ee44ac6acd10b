"""Cases of tests/data/inference/oracles.json: reference values from R, statsmodels, pyfixest and others, and how to read ours."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import squarely as sq

FOLDER = Path(__file__).parents[1] / "data" / "inference"
CASES = {case["id"]: case for case in json.loads((FOLDER / "oracles.json").read_text(encoding="utf-8"))["cases"]}


@cache
def table(name):
    """Return a table of the folder."""
    rows = pd.read_csv(FOLDER / f"{name}.csv")
    position = np.arange(1, len(rows) + 1)
    columns = {
        "prestige": lambda: {"w": rows["census"] / 1000 * (position % 10 != 0)},
        "salaries": lambda: {"k": 1 + position % 3},
    }
    return rows.assign(**columns[name]()) if name in columns else rows


def options_of(case):
    """Return the options of a case as keyword arguments."""
    return eval(f"dict({case['options'].partition(' for ')[0].partition(' with ')[0]})")  # noqa: S307  # our own file


def fit_of(case, **options):
    """Fit the model of a case with its options, and others."""
    options = options_of(case) | options
    later = {name: options.pop(name) for name in ("use_t", "df") if name in options}
    fit = sq.ols(case["formula"], table(case["data"]), **options)
    if not later:
        return fit
    return fit.vcov(
        **{name: options[name] for name in ("vcov", "cluster", "time", "lags", "correction") if name in options}, **later
    )


def number_of(fit, key, statistic):
    """Return the number of a fit that a key of the values means, such as "p income" or "education | 2.5 %"."""
    renamed = "Intercept" if key == "const" else f"log({key})"  # linearmodels has columns, and no formula
    key = renamed if renamed in fit.params.index else key
    columns = {"p": fit.pvalues, "df": fit.df_t, "se": fit.bse, "t": fit.tvalues}
    limits = fit.conf_int()
    columns |= {"low": limits[0], "high": limits[1]}
    scalars = {
        "n": fit.nobs, "sigma": math.sqrt(fit.mse_resid), "df_num": fit.df_model, "df_denom": fit.df_resid_inference,
        "df": fit.df_resid_inference, "F": fit.fvalue, "lag": fit.cov_kwds.get("lags"),
        "bandwidth": fit.cov_kwds.get("bandwidth"), "bw": fit.cov_kwds.get("bandwidth"),
    }  # fmt: skip
    word, _, name = key.partition(" ")
    first, _, second = key.partition(" | ")
    if key in fit.params.index:
        main = [word for word in ("params", "tvalues", "pvalues") if statistic.startswith(word)]
        return fit.bse[key] ** 2 if "variances" in statistic else getattr(fit, main[0] if main else "bse")[key]
    if name in fit.params.index:
        return columns[word][name]
    if second in ("2.5 %", "97.5 %"):
        return limits.loc[first, ["2.5 %", "97.5 %"].index(second)]
    if second:
        return fit.cov_params().loc[first, second]
    if key in scalars:
        return scalars[key]
    return getattr(fit if hasattr(fit, key) else fit.normality, key)


def assert_values(case, numbers):
    """Compare numbers by the keys of a case: all equal those of a target, and not all those of a contrast."""
    errors = {
        key: max(abs(numbers[key] - value) - _rounding(case, key), 0.0) / max(abs(value), 1e-300)
        for key, value in case["values"].items()
        if key in numbers
    }
    assert errors, "nothing was compared"
    if case["role"] == "target":
        assert {key: error for key, error in errors.items() if not error <= case["rtol"]} == {}
    else:
        assert max(errors.values()) > 1e-6


def _rounding(case, key):
    """Return the rounding of a value: some programs compute a p-value as one minus a distribution function."""
    rounds = case["software"].startswith(("pyfixest", "marginaleffects"))
    return 1e-15 if rounds and "p" in key.split() else 0.0
