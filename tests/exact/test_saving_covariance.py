"""A saved fit keeps its weights and its covariance, and a merged one says what it cannot keep."""

import json

import numpy as np
import pytest

import squarely as sq
from squarely.errors import DataError
from tests.exact.test_weights import rows
from tests.support.checks import assert_close, assert_same_fit

CASES = {
    "HC3": {"vcov": "HC3"},
    "HC1 with weights": {"vcov": "HC1", "weights": "w"},
    "weights": {"weights": "w"},
    "frequencies": {"frequencies": "k", "vcov": "HC2"},
    "normal": {"vcov": "HC0"},
}


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_fit_has_the_numbers_of_the_saved_one(name, tmp_path):
    fit = sq.ols("y ~ x * g", rows(), **CASES[name])
    if name == "normal":
        fit = fit.vcov("HC0", use_t=False)
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    assert_same_fit(loaded, fit, rtol=1e-12)
    assert loaded.notes == fit.notes
    assert_close(loaded.cov_params(), fit.cov_params(), rtol=1e-14)
    assert loaded.rows == fit.rows


def test_files_without_these_are_those_of_earlier_versions(tmp_path):
    sq.ols("y ~ x", rows()).save(tmp_path / "plain.json")
    sq.ols("y ~ x", rows(), vcov="HC3").save(tmp_path / "robust.json")
    sq.ols("y ~ x", rows(), weights="w").save(tmp_path / "weighted.json")
    formats = [json.loads((tmp_path / f"{name}.json").read_text())["squarely"] for name in ("plain", "robust", "weighted")]
    assert formats == [2, 3, 3]


def test_an_undefined_standard_error_stays_undefined(tmp_path):
    data = {"x": [0.0, 1, 2, 3, 4, 5], "d": [0, 0, 0, 0, 0, 1], "y": [1.0, 2, 4, 4, 6, 9]}
    fit = sq.ols("y ~ x + d", data, vcov="HC3")
    assert fit.bse.isna().tolist() == [False, False, True]
    fit.save(tmp_path / "fit.json")
    assert sq.load(tmp_path / "fit.json").bse.isna().tolist() == [False, False, True]


def test_merged_fits_say_that_they_are_not_robust():
    data = rows()
    a, b = (sq.ols("y ~ x", part, vcov="HC3") for part in (data[:30], data[30:]))
    merged = a.merge(b)
    assert merged.cov_type == "nonrobust"
    assert "Standard errors are classical, because robust ones need the rows. Fit all rows at once for those." in " ".join(
        str(merged.summary()).split()
    )
    assert_close(merged.bse, sq.ols("y ~ x", data).bse, rtol=1e-10)


def test_a_loaded_fit_needs_its_rows_for_another_covariance(tmp_path):
    sq.ols("y ~ x", rows()).save(tmp_path / "fit.json")
    with pytest.raises(DataError, match="rows"):
        sq.load(tmp_path / "fit.json").vcov("HC3")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meat", [[-1.0, 0.0], [1.0]]),
        ("df", 0),
        ("df", "nan"),
        ("rank", 9),
        ("undefined", [True]),
        ("type", "HC9"),
        ("df_t", [1.0]),
    ],
)
def test_a_changed_covariance_is_refused(key, value, tmp_path):
    path = tmp_path / "fit.json"
    sq.ols("y ~ x", rows(), vcov="HC3").save(path)
    document = json.loads(path.read_text())
    document["covariance"][key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="damaged or was changed by hand"):
        sq.load(path)


def test_weights_of_a_changed_file_are_checked(tmp_path):
    path = tmp_path / "fit.json"
    sq.ols("y ~ x", rows(), weights="w").save(path)
    document = json.loads(path.read_text())
    del document["row_weights"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="damaged or was changed by hand"):
        sq.load(path)
    assert np.isfinite(document["gram"][0][0])
