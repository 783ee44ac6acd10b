"""The same idea has the same name in every result."""

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import assert_close, need

need("torch")
ROWS, FORMULA = sq.datasets.cars(), "mpg ~ displacement + weight"


@pytest.fixture(scope="module")
def results():
    fit, run = sq.ols(FORMULA, ROWS), sq.train(FORMULA, ROWS, epochs=30)
    return {"fit": fit, "run": run, "sweep": sq.sweep(FORMULA, ROWS, epochs=5), "certificate": sq.certify(fit, run)}


def test_every_result_has_rows_a_table_and_notes(results):
    for name, result in results.items():
        assert result.table.shape[0] == 3
        assert all(isinstance(note, str) for note in result.notes)
        assert isinstance(result.as_dict(), dict)
        assert str(result.summary())
        if name != "sweep":
            assert result.nobs == result.as_dict()["nobs"] == len(ROWS)
            assert list(result.table.index) == ["Intercept", "displacement", "weight"]
    assert results["sweep"].frame.equals(results["sweep"].table)
    assert results["run"].warnings == results["run"].notes


def test_the_table_of_a_fit_is_that_of_statsmodels(results):
    smf = need("statsmodels.formula.api")
    theirs = smf.ols(FORMULA, ROWS).fit()
    table = results["fit"].table
    assert list(table.columns) == ["coef", "std_err", "t", "p", "ci_lower", "ci_upper", "digits", "digits_std_err"]
    for ours, other in {"coef": "params", "std_err": "bse", "t": "tvalues", "p": "pvalues"}.items():
        assert_close(table[ours], getattr(theirs, other), rtol=1e-7)
    assert_close(table[["ci_lower", "ci_upper"]], theirs.conf_int(), rtol=1e-7)


def test_the_table_of_a_run(results):
    run = results["run"]
    assert list(run.table.columns) == ["coef", "standardized", "start"]
    assert run.table["coef"].equals(run.params.rename("coef"))
    slope = run.table["standardized"]["weight"] * ROWS["mpg"].std(ddof=0) / ROWS["weight"].std(ddof=0)
    assert_close(run.table["coef"]["weight"], slope, rtol=1e-12)


def test_the_table_of_a_certificate_has_gaps_in_standard_errors(results):
    certificate, fit, run = results["certificate"], results["fit"], results["run"]
    assert_close(certificate.table["gap_se"], (run.params - fit.params) / fit.bse, rtol=1e-9)
    assert "predicted_gap_se" in certificate.table
    assert certificate.as_dict()["bound"]["gap_se"] >= np.abs(certificate.table["gap_se"]).max()


def test_an_option_has_its_name_in_json(results):
    numbers = results["run"].as_dict()
    assert numbers["loss"] == "mse"
    assert numbers["last_loss"] == results["run"].history["loss"].iloc[-1]


def test_a_predicted_excess_is_not_below_the_rounding_of_the_dtype():
    for dtype, eps in (("float32", 2.0**-23), ("float64", 2.0**-52)):
        many = sq.sweep(FORMULA, ROWS, lr=[0.5, 0.4], epochs=5000, dtype=dtype)
        least = 1.0 - sq.ols(FORMULA, ROWS).rsquared
        start = many.history["loss"].iloc[0] - least
        assert_close(many.table["predicted_excess"], [eps * least / start] * 2, rtol=1e-5)
        assert "e-2" not in str(many.summary())
