"""Bad input that needs more than a row of the table: what else happens, or must not, when something is wrong or odd."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.errors import DataError, InputError, MissingExtraError, OptionError
from tests.support.checks import CARS, need


def test_folders_called_like_columns_add_none(tmp_path):
    folder = tmp_path / "year=2020"
    folder.mkdir()
    (folder / "a.csv").write_text("x,y\n1,2\n2,4\n3,6\n")
    assert sq.ols("y ~ x", folder / "a.csv").nobs == 3
    with pytest.raises(DataError, match="no column 'year'"):
        sq.ols("y ~ year", folder / "a.csv")


def test_the_engine_reads_nothing_but_the_named_file(tmp_path):
    from pathlib import Path

    import duckdb

    from squarely.data.files.csv.connection import connect
    from squarely.data.files.csv.text.csv_text import open_text
    from squarely.data.files.local_file import LocalFile
    from squarely.data.files.read_options import ReadOptions

    other = tmp_path / "secret.csv"
    other.write_text("a\n1\n")
    with connect(open_text(LocalFile.open(Path(CARS)), ReadOptions())[0]) as connection:
        for query in (
            f"SELECT * FROM read_csv('{other}')",
            f"SELECT * FROM '{other}'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(query).fetchall()


def test_other_options():
    need("torch")
    for lr in (None, "fast", [0.1, "fast"]):
        with pytest.raises(OptionError, match="not a number"):
            sq.sweep("mpg ~ displacement", CARS, lr=lr)
    assert sq.sweep("mpg ~ displacement", CARS, lr=np.float32(0.5), epochs=1).best.options.lr == 0.5
    fit = sq.ols("mpg ~ displacement", CARS)
    for alpha in (0, 1, -3):
        with pytest.raises(OptionError, match="alpha"):
            fit.conf_int(alpha)
    with pytest.raises(OptionError, match=r"alpha=1e\+400 is not between 0 and 1"):
        fit.conf_int(10**400)
    with pytest.raises(DataError, match="no column 'displacement'"):
        fit.predict({"x": [1.0]})


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("call", ["train", "sweep"])
@pytest.mark.parametrize(
    "name",
    [
        "lr", "momentum", "weight_decay", "delta", "quantile", "min_delta", "clip_grad_norm", "validation", "start",
        "epochs", "seed", "batch_size", "patience", "average",
    ],
)  # fmt: skip
def test_whole_numbers_that_no_double_holds_are_refused_in_few_words(name, call, sign):
    need("torch")
    big = sign * 10**5000  # more digits than Python itself would print
    value = [big, 0.0] if name == "start" else [2, big] if call == "sweep" and name in ("lr", "seed", "batch_size") else big
    with pytest.raises(
        OptionError, match=rf"^{name}={'-' * (sign < 0)}1e\+5000 is beyond the range of double precision\."
    ) as caught:
        getattr(sq, call)("mpg ~ displacement", CARS, **{"epochs": 1, name: value})
    assert len(str(caught.value)) < 120


def test_long_whole_numbers_are_written_short():
    need("torch")
    for name in ("lr", "seed", "batch_size", "patience", "average"):
        with pytest.raises(OptionError, match=rf"^{name}=-1e\+300 ") as caught:
            sq.train("mpg ~ displacement", CARS, **{name: -(10**300)})
        assert len(str(caught.value)) < 160


def test_numpy_numbers_are_numbers():
    need("torch")
    run = sq.train("mpg ~ displacement", CARS, lr=np.float32(0.5), epochs=np.int64(3), seed=np.uint8(1))
    assert (run.options.lr, run.options.epochs) == (0.5, 3)


def test_nothing_left_to_fit():
    with pytest.raises(DataError, match="No column is left to fit"):
        sq.ols("y ~ x - 1", {"x": [0.0] * 4, "y": [1.0, 2, 3, 4]})


def test_casts_are_said():
    from decimal import Decimal

    data = {"x": [True, False, True, True], "z": [Decimal("0.1"), Decimal("0.5"), Decimal("2"), Decimal("3")], "y": [1, 2, 3, 5]}
    fit = sq.ols("y ~ I(1 * x) + z", data)
    assert set(fit.as_dict()["casts"]) == {"x", "z"}
    page = " ".join(str(fit.summary()).split())
    assert "x: bool read as 0 and 1." in page
    assert "read as the nearest double." in page


def test_constant_columns():
    data = {"x": [2.0, 2, 2, 2], "z": [1.0, 2, 3, 5], "y": [1.0, 4, 3, 6]}
    fit = sq.ols("y ~ x + z", data)
    assert fit.dropped_columns == ("x is constant (2)",)
    assert np.isnan(fit.params["x"])
    flat = sq.ols("x ~ z", data)
    assert np.isnan(flat.rsquared)
    assert "The response x is constant" in " ".join(str(flat.summary()).split())
    np.testing.assert_allclose(flat.params, [2.0, 0.0], atol=1e-15)
    need("torch")
    for formula in ("y ~ x", "x ~ z"):
        with pytest.raises(DataError, match="Column 'x' is 2 in every row"):
            sq.train(formula, data)


def test_training_without_a_predictor_or_rows():
    need("torch")
    with pytest.raises(DataError, match="no predictor"):
        sq.train("mpg ~ 1", CARS)
    with pytest.raises(DataError, match="at least 2"):
        sq.train("y ~ x", {"x": [1.0], "y": [2.0]})


def test_a_file_that_changes_between_scans(tmp_path, monkeypatch):
    from squarely.api import inputs

    path = tmp_path / "moving.csv"
    path.write_text("x,y\n1,2\n2,4\n3,7\n4,8\n")
    honest = inputs.gather_moments

    def meddle(*args):
        moments = honest(*args)
        path.write_text("x,y\n1,2\n2,4\n3,7\n4,9\n")
        return moments

    monkeypatch.setattr(inputs, "gather_moments", meddle)
    with pytest.raises(DataError, match="has changed since it was"):
        sq.ols("y ~ x", path)


def test_a_file_that_changes_after_the_fit(tmp_path):
    path = tmp_path / "moving.csv"
    path.write_text("x,y\n1,2\n2,4\n3,7\n4,8\n")
    fit = sq.ols("y ~ x", path)
    path.write_text("x,y\n1,2\n2,4\n3,7\n")
    with pytest.raises(DataError, match="has changed since it was"):
        _ = fit.resid
    data = {"x": np.array([1.0, 2, 3, 4]), "y": np.array([2.0, 4, 7, 8])}
    fit = sq.ols("y ~ x", data)
    data["y"] *= 10
    with pytest.raises(DataError, match="with other values"):
        _ = fit.fittedvalues


def test_a_frame_that_changes_after_the_fit():
    """pandas copies on write, and a fit keeps the columns that it has read: they are those of the fit."""
    frame = pd.DataFrame({"x": [1.0, 2, 3, 4], "y": [2.0, 4, 7, 8]})
    fit = sq.ols("y ~ x", frame)
    before = fit.fittedvalues
    frame["y"] *= 10
    assert fit.fittedvalues.equals(before)
    assert fit.vcov("HC3").bse.equals(sq.ols("y ~ x", frame.assign(y=frame["y"] / 10), vcov="HC3").bse)


@pytest.mark.parametrize(
    ("package", "call", "extra"),
    [("torch", f"sq.train('mpg ~ displacement', {CARS!r})", "torch"), ("matplotlib.figure", "squarely.show.draw([])", "plots")],
)
def test_a_missing_extra_is_named(package, call, extra):
    code = f"""
import sys
sys.modules[{package!r}] = None
import squarely, squarely.show
import squarely as sq
try:
    {call}
except sq.errors.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f'pip install "squarely[{extra}]"' in done.stdout


def test_errors_are_value_errors_too():
    assert issubclass(InputError, ValueError)
    assert issubclass(MissingExtraError, ImportError)


def test_odd_names_are_only_names():
    odd = ["a b", 'quo"te', "dot.ted", "日本", "select", "a[/b]", r"$\bad$", 'x"; drop table t; --', "\x1b[31mred"]
    rng = np.random.default_rng(0)
    data = {name: rng.normal(size=50) for name in odd}
    data["y"] = sum(data.values()) + rng.normal(size=50)
    fit = sq.ols("y ~ " + " + ".join(f"`{name}`" for name in odd), data)
    plain = sq.ols(
        "y ~ " + " + ".join(f"v{i}" for i in range(9)), {**{f"v{i}": data[n] for i, n in enumerate(odd)}, "y": data["y"]}
    )
    assert fit.params.tolist() == plain.params.tolist()
    assert list(fit.params.index) == ["Intercept", *odd]
    assert "\x1b" not in str(fit.summary())
    assert "<b>" not in sq.ols("y ~ `<b>`", {"<b>": [1.0, 2, 3, 5], "y": [1.0, 2, 3, 4]}).summary()._repr_html_()


def test_gaps_keep_their_cause_in_every_container():
    import pyarrow as pa

    y = [1.0, 2, 3, 4, 6]
    masked = np.ma.masked_array([1.0, 1e20, 3, 4, 5], mask=[False, True, False, False, False])
    nullable = pd.Series([1, None, 3, 4, 5], dtype="Int64")
    for x in (masked, nullable, pa.array([1, None, 3, 4, 5]), [1, None, 3, 4, 5], pa.chunked_array([[1, None], [3, 4, 5]])):
        fit = sq.ols("y ~ x", {"x": x, "y": y})
        assert fit.rows.dropped == {"x": {"null": 1, "nan": 0, "inf": 0}}
        np.testing.assert_allclose(fit.params, np.polyfit([1, 3, 4, 5], [1, 3, 4, 6], 1)[::-1], rtol=1e-12)
    big = pd.DataFrame({"x": pd.Series([2**53 + 1, None, 3, 4, 5], dtype="Int64"), "y": y})
    assert sq.ols("y ~ x", big).rows.rounded == {"x": 1}


def test_training_works_whatever_the_user_set_for_torch():
    torch = need("torch")
    expected = sq.train("mpg ~ displacement", CARS, epochs=3).result.losses.tobytes()
    with torch.no_grad():
        assert sq.train("mpg ~ displacement", CARS, epochs=3).result.losses.tobytes() == expected
    with torch.inference_mode():
        assert sq.train("mpg ~ displacement", CARS, epochs=3).result.losses.tobytes() == expected
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        assert sq.train("mpg ~ displacement", CARS, epochs=3).result.losses.tobytes() == expected
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(before)


def test_certify_wants_a_fit_and_a_training():
    need("torch")
    fit, run = sq.ols("mpg ~ displacement", CARS), sq.train("mpg ~ displacement", CARS, epochs=1)
    for wrong in ((fit, fit), (run, fit), (None, run), (fit, sq.sweep("mpg ~ displacement", CARS, epochs=1))):
        with pytest.raises(InputError, match="Give it the results of ols and train, in this order"):
            sq.certify(*wrong)


def test_results_can_be_copied_compared_and_put_in_sets():
    import copy
    import pickle

    fit = sq.ols("mpg ~ displacement", CARS)
    assert fit == fit  # identity, and no error from comparing arrays
    assert fit != sq.ols("mpg ~ displacement", CARS)
    assert len({fit, fit}) == 1
    for other in (copy.deepcopy(fit), pickle.loads(pickle.dumps(fit))):  # noqa: S301  # our own bytes
        assert other.params.equals(fit.params)


def test_columns_that_a_formula_does_not_name_are_not_checked():
    data = {"x": np.arange(5.0).astype(">f8"), "y": 2 * np.arange(5.0), "note": [1, "a"], "name": "cars", "matrix": np.ones((2, 2))}
    np.testing.assert_allclose(sq.ols("y ~ x", data).params, [0, 2], atol=1e-15)
    with pytest.raises(DataError, match="mixes kinds of values"):
        sq.ols("y ~ note", data)


def test_the_folder_of_nobody():
    from squarely.data import open_source, write_columns
    from squarely.storage.disk import read_text, write_text

    nobody = "~nobody-of-this-name/x.csv"
    for act in (
        lambda: open_source(nobody),
        lambda: read_text(nobody),
        lambda: write_text(nobody, "text"),
        lambda: write_columns(nobody, [{"x": np.ones(2)}]),
    ):
        with pytest.raises(DataError, match="the name of an unknown user"):
            act()


@pytest.mark.parametrize("value", [5, None, np.array(5.0), (i for i in range(3))])
def test_a_value_that_has_no_length_is_no_column(value):
    from squarely.data import iter_batches, open_source

    for names in ([], ["x"]):
        with pytest.raises(DataError, match="Column 'x'"):
            list(iter_batches(open_source({"x": value}), names))


def test_text_in_new_rows_is_to_be_converted_first():
    fit = sq.ols("y ~ x", {"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 4.0]})
    with pytest.raises(DataError, match=r"stored as text, not as numbers\. Convert it, for example with pandas\.to_numeric"):
        fit.predict({"x": ["1", "2"]})


def test_sparse_columns_are_columns():
    sparse = pd.arrays.SparseArray([0.0, 1.0, 0.0, np.nan, 3.0], fill_value=0.0)
    y = [1.0, 2.0, 4.0, 3.0, 9.0]
    expected = sq.ols("y ~ x", {"x": np.asarray(sparse), "y": y})
    for data in ({"x": sparse, "y": y}, {"x": pd.Series(sparse), "y": y}, pd.DataFrame({"x": sparse, "y": y})):
        fit = sq.ols("y ~ x", data)
        assert fit.params.tolist() == expected.params.tolist()
        assert fit.rows.dropped == {"x": {"null": 0, "nan": 1, "inf": 0}}
    whole = pd.arrays.SparseArray([0, 1, 0, 2, 3])
    assert sq.ols("y ~ x", {"x": whole, "y": y}).params.tolist() == sq.ols("y ~ x", {"x": [0, 1, 0, 2, 3], "y": y}).params.tolist()


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="here the widest float is a double")
def test_wider_numbers_than_doubles_are_refused():
    x, y = np.arange(4, dtype=np.longdouble), [1.0, 2.0, 4.0, 3.0]
    for data in ({"x": x, "y": y}, pd.DataFrame({"x": x, "y": y}), {"x": np.ma.masked_array(x, x == 1), "y": y}):
        with pytest.raises(DataError, match=r"'x' has type (float|longdouble)\d*, whose digits.*astype\(float\)"):
            sq.ols("y ~ x", data)
