"""Influence at the edges: laws, largest rows, files, libraries, and fits that have no measure."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import CARS, assert_close

DATA = pd.read_csv(CARS)
FORMULA = "mpg ~ weight + horsepower"


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, DATA)


@pytest.fixture(scope="module")
def frame(fit):
    return fit.get_influence().summary_frame()


@pytest.mark.parametrize("options", [{}, {"weights": "weight"}, {"frequencies": "cylinders"}])
def test_the_leverages_sum_to_the_number_of_coefficients(options):
    fit = sq.ols("mpg ~ poly(weight, 3) + C(origin) + I(weight * 2)", DATA, **options)
    counts = DATA["cylinders"] if "frequencies" in options else 1
    assert fit.rank == 6
    assert_close((fit.get_influence().hat_matrix_diag * counts).sum(), 6, rtol=1e-13)


def test_units_and_shifts_of_a_column_do_not_matter(frame):
    other = sq.ols("mpg ~ w + horsepower", DATA.assign(w=1e7 + DATA["weight"] / 3)).get_influence().summary_frame()
    columns = [name for name in frame if name not in ("dfb_weight", "dfb_Intercept")]
    assert_close(other[columns], frame[columns], rtol=1e-8, atol=1e-11)
    assert_close(other["dfb_w"], frame["dfb_weight"], rtol=1e-8, atol=1e-11)


def test_frequencies_are_repeated_rows():
    data = DATA[["mpg", "weight", "cylinders"]]
    one = sq.ols("mpg ~ weight", data, frequencies="cylinders").get_influence()
    many = sq.ols("mpg ~ weight", data.loc[data.index.repeat(data["cylinders"])]).get_influence()
    first = ~many.summary_frame().index.duplicated()
    assert_close(one.summary_frame(), many.summary_frame()[first], rtol=1e-9, atol=1e-12)
    assert_close([one.ess_press, one.dffits[1]], [many.ess_press, many.dffits[1]], rtol=1e-12)
    assert one.notes == ("With frequencies, a row is one of its copies.",)


KEYS = {name: lambda values: values.abs() for name in ("cooks_d", "student_resid", "dffits", "hat_diag", "dfb_weight")}
KEYS["cov_ratio"] = lambda values: (values - 1).abs()


@pytest.mark.parametrize("by", KEYS)
@pytest.mark.parametrize("k", [1, 20, 1000])
def test_the_largest_rows_are_those_of_the_sorted_frame(by, k, fit, frame):
    expected = frame.loc[KEYS[by](frame[by]).sort_values(ascending=False, kind="stable").index[:k]]
    pd.testing.assert_frame_equal(fit.get_influence().top(k, by=by), expected, rtol=1e-12)


def test_the_earlier_of_equal_rows_comes_first():
    x = np.tile([0.0, 0.0, 1.0, 1.0], 30_000)  # several batches
    fit = sq.ols("y ~ x", {"x": x, "y": np.tile([0.0, 2.0, 1.0, 3.0], 30_000)})
    assert fit.get_influence().top(5).index.tolist() == [0, 1, 2, 3, 4]


def test_any_cut_of_a_file_gives_the_same(tmp_path, frame):
    DATA.to_parquet(tmp_path / "cars.parquet", row_group_size=37)
    fit = sq.ols(FORMULA, tmp_path / "cars.parquet")
    pd.testing.assert_frame_equal(fit.get_influence().summary_frame(), frame, rtol=1e-11, atol=1e-13)
    pd.testing.assert_frame_equal(fit.get_influence().top(7), frame.sort_values("cooks_d", ascending=False).head(7), rtol=1e-10)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
def test_a_file_has_every_row(name, tmp_path, fit, frame):
    assert fit.get_influence().write(tmp_path / name) == len(frame)
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}
    written = read[name.partition(".")[2]](tmp_path / name)
    assert written.pop("row").tolist() == (frame.index + 1).tolist()  # rows with gaps are left out
    assert_close(written, frame, rtol=1e-9)
    assert list(written) == list(frame)


def test_a_file_is_whole_or_absent(tmp_path):
    data = DATA.copy()
    fit = sq.ols("mpg ~ weight", data)
    data.loc[7, "mpg"] = 40.0
    with pytest.raises(DataError, match="has changed"):
        fit.get_influence().write(tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []
    DATA.to_csv(tmp_path / "cars.csv")
    influence = sq.ols("mpg ~ weight", tmp_path / "cars.csv").get_influence()
    with pytest.raises(DataError, match="is the file that the rows come from"):
        influence.write(tmp_path / "cars.csv")


LIBRARIES = {
    "polars": pl.from_pandas,
    "lazy": lambda data: pl.from_pandas(data).lazy(),
    "arrow": pa.Table.from_pandas,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_frame_is_of_the_library_of_the_rows(library, frame):
    data = LIBRARIES[library](DATA)
    influence = sq.ols(FORMULA, data).get_influence()
    for ours, expected in ((influence.summary_frame(), frame), (influence.top(3), frame.nlargest(3, "cooks_d"))):
        assert type(ours) is (pa.Table if library == "arrow" else pl.DataFrame)
        assert ours.columns[0] == "row" if library != "arrow" else ours.column_names[0] == "row"
        numbers = ours.to_pandas()
        assert numbers.pop("row").tolist() == (expected.index + 1).tolist()
        assert_close(numbers, expected, rtol=1e-9, atol=1e-12)
    first = sq.ols(FORMULA, data).outlier_test(k=1).to_pandas()
    assert first["row"].tolist() == [frame["student_resid"].abs().idxmax() + 1]


def test_labels_are_those_of_pandas(frame):
    named = sq.ols(FORMULA, DATA.set_index("name", append=True)).get_influence()
    assert named.top(1).index[0] == (frame["cooks_d"].idxmax(), DATA["name"][frame["cooks_d"].idxmax()])
    assert len(named.summary_frame()) == len(frame)


def test_one_degree_of_freedom():
    influence = sq.ols("y ~ x", {"x": [0.0, 1.0, 3.0], "y": [0.0, 2.0, 3.0]}).get_influence()
    frame = influence.summary_frame()
    undefined = ["student_resid", "dffits", "cov_ratio", "dfb_Intercept", "dfb_x"]
    assert frame[undefined].isna().all(axis=None)
    assert frame.drop(columns=undefined).notna().all(axis=None)
    assert np.isfinite(influence.dfbeta).all()
    assert ["one residual degree of freedom" in note for note in influence.notes] == [True]
    assert len(influence.top(by="student_resid")) == 0


def test_a_perfect_fit():
    influence = sq.ols("y ~ x", {"x": [0.0, 1.0, 3.0, 4.0], "y": [0.0, 2.0, 6.0, 8.0]}).get_influence()
    frame = influence.summary_frame()
    assert frame.drop(columns="hat_diag").isna().all(axis=None)
    assert_close(frame["hat_diag"], [0.65, 0.35, 0.35, 0.65], rtol=1e-14)
    assert influence.notes == ("The residuals are zero, or rounding hides them: what is in units of their variance has no value.",)


def test_a_row_without_which_the_others_are_on_a_line():
    x = np.arange(8.0)
    fit = sq.ols("y ~ x", {"x": x, "y": np.where(x == 3, 9.0, 2 * x + 1)})
    influence = fit.get_influence()
    frame = influence.summary_frame()
    assert frame["student_resid"][3] == math.inf
    assert frame["cov_ratio"][3] == 0
    assert np.isfinite(frame.drop(index=3)).all(axis=None)
    assert influence.top(1, by="student_resid").index.tolist() == [3]
    assert_close(influence.dfbeta[3], fit.params - [1, 2], rtol=1e-9)


def test_a_dropped_column_has_no_change(frame):
    fit = sq.ols("mpg ~ weight + I(3 * weight) + horsepower", DATA)
    ours = fit.get_influence().summary_frame()
    assert ours["dfb_I(3 * weight)"].isna().all()
    assert_close(ours.drop(columns="dfb_I(3 * weight)"), frame, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("effects", "dummies"), [("f", "C(f)"), ("f + t", "C(f) + C(t)")])
def test_absorbed_effects_are_dummies(effects, dummies):
    r = np.random.default_rng(1)
    data = pd.DataFrame({"x": r.normal(size=300), "f": r.integers(0, 20, 300), "t": r.integers(0, 6, 300)})
    data["y"] = data["x"] + data["f"] / 3 + r.normal(size=300)
    data.loc[5, "f"] = 99  # alone in its level
    ours, theirs = (sq.ols(f"y ~ x {more}", data).get_influence() for more in (f"| {effects}", f"+ {dummies}"))
    assert ours.notes == theirs.notes != ()
    frame = ours.summary_frame()
    assert_close(frame, theirs.summary_frame()[frame.columns], rtol=1e-9, atol=1e-12)


def test_a_robust_fit_has_the_same_influence_and_says_so(fit, frame):
    influence = fit.vcov("HC3").get_influence()
    pd.testing.assert_frame_equal(influence.summary_frame(), frame)
    assert influence.notes == ("Influence is measured with the classical covariance, and not with HC3.",)


def test_the_page_has_the_rows_and_the_notes(fit, frame):
    page = str(fit.vcov("HC1").get_influence().summary(2, by="dfb_weight"))
    assert str(frame["dfb_weight"].abs().idxmax()) in page
    assert "classical covariance, and not with HC1" in page
    assert "<Influence of 392 rows" in repr(fit.get_influence())


def test_the_rows_are_read_once(monkeypatch):
    from squarely.inference import scan

    reads = []
    monkeypatch.setattr(scan, "require_same_rows", lambda *_: reads.append(1))
    influence = sq.ols("mpg ~ weight", DATA).get_influence()
    influence.summary_frame()
    assert len(influence.cooks_distance[0]) == len(influence.dfbetas) == 398
    assert len(reads) == 1


def test_fits_without_rows_refuse(tmp_path, fit):
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    half = [sq.ols("mpg ~ weight", DATA[at]) for at in (slice(0, 200), slice(200, None))]
    for each in (loaded, half[0].merge(half[1])):
        for call in (each.get_influence, each.outlier_test):
            with pytest.raises(DataError, match=r"needs the rows of .*, which a loaded or merged result does not have"):
                call()


def test_options_are_checked(fit):
    influence = fit.get_influence()
    for k in (0, -1, 2.5, True, "5"):
        with pytest.raises(OptionError, match=r"is not a number of rows\. Give a whole number of at least 1."):
            influence.top(k)
    with pytest.raises(OptionError, match=r"^by='cook_d' is not a measure of influence. Did you mean 'cooks_d'\?"):
        influence.top(by="cook_d")
    with pytest.raises(OptionError, match="method='fdr_bh' is not known"):
        fit.outlier_test("fdr_bh")
