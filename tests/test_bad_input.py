"""Bad input: each row ends in one clear error, of the right kind, from Python; files end in exit code 2 on the command line."""

import gzip

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.errors import DataError, FormulaError, InputError, MissingExtraError, OptionError
from tests.support import CARS, need

FILES = [
    ("", "y ~ x", "is empty"),
    ("\n\n", "y ~ x", "first line of 'bad.csv' is blank"),
    ("x,y\n", "y ~ x", "no rows"),
    ("x,y\n1,2\n", "y ~ x", "1 complete row for 2 coefficients"),
    ("x,y\n1,2\n2,3\n", "y ~ x", "2 complete rows for 2 coefficients"),
    ("x,y\n,2\n2,\n", "y ~ x", "None of the 2 rows"),
    ("mpg,displacement\n1,2\n2,3\n3,5\n", "mpg ~ displacment", "Did you mean 'displacement'"),
    ("mpg,displacement\n1,2\n2,3\n3,5\n", "mpg ~ Displacement", "Did you mean 'displacement'"),
    ("mpg,displacement\n1,2\n2,3\n3,5\n", "mpg ~ zzzz", "Known names: 'mpg', 'displacement'"),
    ("x,y\n1,2\n?,3\n3,5\n", "y ~ x", r"'\?' in data row 2"),
    ("x,y\n" + "1,2\n" * 30_000 + "oops,3\n", "y ~ x", "'oops'"),
    ("x,y\n1,2\n2020-01-01,3\n", "y ~ x", "'2020-01-01' in data row 2"),
    ("x,y\n1,2\n3\n4,5,6\n", "y ~ x", "Line 3 has 1 field, the header 2"),
    ("x,y\n1,2\n2,3\n4,5,6\n", "y ~ x", "Line 4 has 3 fields, the header 2"),
    ("amount, EUR;x;y\n1;1;2\n2;3\n3;3;4\n", "y ~ x", "Line 3 has 2 fields, the header 3"),
    ("x,y\n" + "2020-01-01,1\n" * 30_000 + "foo,3\n", "y ~ x", "'foo' in data row 30,001|holds date32"),
    ("x,y,\n1,2\n2,3\n", "y ~ x", "Line 2 has 2 fields, the header 3"),
    ("\nx,y\n1,2\n", "y ~ x", "first line of 'bad.csv' is blank"),
    ("x,y\n" + "true,1\nfalse,2\n" * 20_000 + "7,3\n", "y ~ x", "boolean values, then something else: '7' in data row 40,001"),
    ("x,y\n1,2\n" + "9" * 200_000 + ",3,4\n", "y ~ x", "cannot be read as CSV"),
    ("x,x,y\n1,2,3\n2,4,3\n3,5,9\n4,4,1\n", "y ~ x", "two or more columns called 'x'"),
]


@pytest.mark.parametrize(("text", "formula", "said"), FILES)
def test_files(tmp_path, text, formula, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        sq.ols(formula, path)


def test_paths(tmp_path):
    cases = {
        "missing.csv": "does not exist",
        str(tmp_path): "is a folder",
        "https://example.org/cars.csv": "is a URL",
        "cars.parquet": "not a CSV file",
        "a\0b.csv": "null character",
    }
    for path, said in cases.items():
        with pytest.raises(DataError, match=said):
            sq.ols("y ~ x", path)
    pattern = tmp_path / "a[1].csv"
    pattern.write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="pattern"):
        sq.ols("y ~ x", pattern)
    noise = tmp_path / "noise.csv"
    noise.write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="null bytes"):
        sq.ols("y ~ x", noise)
    for text, encoding, said in (("x,y\n1,2\n", "utf-16", "null bytes"), ("x,é\n1,2\n", "latin-1", "not utf-8")):
        noise.write_bytes(text.encode(encoding))
        with pytest.raises(DataError, match=said):
            sq.ols("y ~ x", noise)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"x,y\n1,2\n" * 1000)[:40])
    with pytest.raises(DataError, match="cannot be read"):
        sq.ols("y ~ x", broken)


def test_files_that_are_fine_after_all(tmp_path):
    expected = [0.0, 2.0]
    cases = {
        "semicolons.csv": b"x;y\n1;2\n2;4\n3;6\n4;8\n",
        "bom.csv": b"\xef\xbb\xbfx,y\n1,2\n2,4\n3,6\n4,8\n",
        "quotes.csv": b'"x","y"\n"1","2"\n"2","4"\n"3","6"\n"4","8"\n',
        "crlf.csv": b"x,y\r\n1,2\r\n2,4\r\n3,6\r\n4,8\r\n",
        "spaces in name.csv": b"x,y\n1,2\n2,4\n3,6\n4,8",
        "it's.csv": b"x,y\n1,2\n2,4\n3,6\n4,8",
        "packed.csv.gz": gzip.compress(b"x,y\n1,2\n2,4\n3,6\n4,8\n"),
        "late.csv": b"x,y\n" + b"1,2\n2,4\n3,6\n" * 20_000 + b"4.5,9.0\n",  # integers for 60,000 rows, then not
        "twin elsewhere.csv": b"x,X,z,z,y\n1,9,0,0,2\n2,9,0,0,4\n3,9,0,0,6\n4,9,0,0,8\n",  # X is another column than x
        "PACKED.GZ.CSV": gzip.compress(b"x,y\n1,2\n2,4\n3,6\n4,8\n"),
        "quoted bar.csv": b'"unit (a|b)\nsecond",x,y\n1,1,2\n1,2,4\n1,3,6\n1,4,8\n',
        "empty at first.csv": b"x,y,z\n" + b",,1\n" * 30_000 + b"1,2,3\n2,4,3\n3,6,3\n4,8,3\n",
        "hash.csv": b"#x,y,x\n9,2,1\n9,4,2\n9,6,3\n9,8,4\n",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        np.testing.assert_allclose(sq.ols("y ~ x", tmp_path / name).params, expected, atol=1e-12)


def test_folders_called_like_columns_add_none(tmp_path):
    folder = tmp_path / "year=2020"
    folder.mkdir()
    (folder / "a.csv").write_text("x,y\n1,2\n2,4\n3,6\n")
    assert sq.ols("y ~ x", folder / "a.csv").nobs == 3
    with pytest.raises(DataError, match="no column 'year'"):
        sq.ols("y ~ year", folder / "a.csv")


def test_the_engine_reads_nothing_but_the_named_file(tmp_path):
    import duckdb

    from squarely.data.csv import CsvSource

    other = tmp_path / "secret.csv"
    other.write_text("a\n1\n")
    connection = CsvSource(tmp_path.joinpath(CARS))._connect()
    for query in (
        f"SELECT * FROM read_csv('{other}')",
        f"SELECT * FROM '{other}'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(query).fetchall()


FRAMES = [
    ({"x": ["a", "b", "c"], "y": [1, 2, 3]}, "holds text, not a number: 'a' in data row 1"),
    ({"x": [1, 2], "y": [1, 2, 3]}, "different lengths"),
    ({"x": np.ones((3, 2)), "y": [1, 2, 3]}, r"shape \(3, 2\)"),
    ({"x": ["a", 1, 2], "y": [1, 2, 3]}, "cannot be read as one kind of number"),
    ({1: [1, 2, 3]}, "Names of columns must be strings"),
    ({}, "no column 'y'|no column 'x'"),
    (pd.DataFrame(), "no column"),
    (pd.DataFrame({"x": [], "y": []}), "no rows"),
    (pd.DataFrame([[1, 2, 3]], columns=["x", "x", "y"]), "same name"),
    (pd.DataFrame({"x": pd.to_datetime(["2020-01-01"] * 3), "y": [1, 2, 3]}), "timestamp"),
    (pd.DataFrame({"x": ["1", "2", "4"], "y": [1, 2, 3]}), "pandas.to_numeric"),
    (pd.DataFrame({"x": [object(), 2, 3], "y": [1, 2, 3]}), "one kind of number|holds"),
    ({"x": [1e308, -1e308, 1, 2], "y": [1, 2, 3, 4]}, "squares leave the range"),
    ({"x": [1e-320, 2e-320, 3e-320], "y": [1, 2, 3]}, "squares leave the range"),
    ({"x": [np.nan] * 3, "y": [1, 2, 3]}, "None of the 3 rows"),
    (7, "type 'int' is not understood"),
    (None, "type 'NoneType' is not understood"),
    ([1, 2, 3], "type 'list' is not understood"),
    ({"x": [2**70, 2, 3], "y": [1, 2, 3]}, "one kind of number"),
    ({"x": pd.Series([1.0, 2, 3]), "y": pd.Series([1.0, 2, 3], index=[2, 1, 0])}, "different indexes"),
]


@pytest.mark.parametrize(("data", "said"), FRAMES)
def test_frames(data, said):
    with pytest.raises(DataError, match=said):
        sq.ols("y ~ x", data)


FORMULAS = [
    ("y ~ __import__('os').system('touch pwned')", "__import__"),
    ("y ~ x:z", "':'"),
    ("y ~ x*z", r"'\*'"),
    ("y ~ x^2", r"'\^'"),
    ("y ~ x/z", "'/'"),
    ("y ~ .", r"'\.'"),
    ("log(y) ~ x", "log"),
    ("y ~ I(x)", "I\\(x\\)"),
    ("y ~ {x}", "Python expression"),
    ("y ~ x - z", "'-' stands before"),
    ("y ~ -x", "'-' stands before"),
    ("y ~ 5", "'5'"),
    ("y ~ 'x'", "not the name of a column"),
    ("y", "no '~'"),
    ("", "no '~'"),
    ("y ~", "nothing right"),
    ("~ x", "nothing left"),
    ("y ~ 0", "neither an intercept nor a predictor"),
    ("y + z ~ x", "more than the name of one column"),
    ("1 ~ x", "more than the name of one column"),
    ("y - 1 ~ x", "more than the name of one column"),
    ("y ~ x + `1`", "read as something else"),
    ("y ~ `.`", "read as something else"),
    ("y ~ (x - 1)", "inside brackets"),
    ("y ~ x -- 1", "not understood yet"),
    ("y ~ x + (0)", "inside brackets"),
    ("y ~ y", "both sides"),
    ("y ~ (x", "cannot be read"),
    ("y ~ x +", "cannot be read"),
    ("y ~ x ~ z", "cannot be read"),
    ("y ~ x z", "cannot be read"),
    ("y ~ `x", "cannot be read"),
    ("y ~ Intercept", "like the constant"),
    ("y ~ " + "(" * 60 + "x" + ")" * 60, "Write it shorter"),
    ("y ~ " + " + ".join(["x"] * 10_000), "Write it shorter"),
    (3, "not text"),
    (None, "not text"),
]


@pytest.mark.parametrize(("formula", "said"), FORMULAS)
def test_formulas(formula, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormulaError, match=said):
        sq.ols(formula, {"x": [1.0, 2, 3, 5], "z": [3.0, 1, 2, 2], "y": [1.0, 2, 3, 4]})
    assert list(tmp_path.iterdir()) == []  # nothing was run


OPTIONS = [
    ({"lr": 0}, "lr=0 is not a learning rate"),
    ({"lr": -0.1}, "lr=-0.1 is not"),
    ({"lr": float("nan")}, "lr=nan is not"),
    ({"lr": float("inf")}, "lr=inf is not"),
    ({"lr": 1e300}, "beyond the range of float32"),
    ({"lr": "fast"}, "not a number"),
    ({"lr": True}, "not a number"),
    ({"epochs": 0}, "no update at all"),
    ({"epochs": -5}, "no update at all"),
    ({"epochs": 2.5}, "not a whole number"),
    ({"optimizer": "sdg"}, "Did you mean 'sgd'"),
    ({"optimizer": None}, "not known"),
    ({"momentum": 1.0}, "not in"),
    ({"momentum": 0.9, "optimizer": "adam"}, "belong to optimizer='sgd'"),
    ({"nesterov": True}, "needs momentum"),
    ({"dtype": "float16"}, "Use 'float32' or 'float64'"),
    ({"seed": 1.5}, "not a whole number"),
    ({"seed": 2**70}, "64 bits"),
    ({"device": "abacus"}, "cannot be used here"),
    ({"start": [1.0]}, "1 value"),
    ({"start": [1.0, float("nan")]}, "finite"),
    ({"start": [1e200, 0.0]}, "not finite in float32"),
    ({"start": 1.0}, "not a list of numbers"),
    ({"nesterov": "no", "momentum": 0.9}, "neither True nor False"),
    ({"device": "meta"}, "cannot be used here"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS)
def test_options(options, said):
    need("torch")
    with pytest.raises(OptionError, match=said):
        sq.train("mpg ~ displacement", CARS, **options)


def test_other_options():
    need("torch")
    with pytest.raises(OptionError, match="names no learning rate"):
        sq.sweep("mpg ~ displacement", CARS, lr=[])
    for lr in (None, "fast", [0.1, "fast"]):
        with pytest.raises(OptionError, match="not a number"):
            sq.sweep("mpg ~ displacement", CARS, lr=lr)
    assert sq.sweep("mpg ~ displacement", CARS, lr=np.float32(0.5), epochs=1).best.recipe.lr == 0.5
    with pytest.raises(OptionError, match="collinear"):
        sq.ols("mpg ~ displacement", CARS, collinear="keep")
    fit = sq.ols("mpg ~ displacement", CARS)
    for alpha in (0, 1, -3):
        with pytest.raises(OptionError, match="alpha"):
            fit.conf_int(alpha)
    with pytest.raises(DataError, match="no column 'displacement'"):
        fit.predict({"x": [1.0]})


def test_numpy_numbers_are_numbers():
    need("torch")
    run = sq.train("mpg ~ displacement", CARS, lr=np.float32(0.5), epochs=np.int64(3), seed=np.uint8(1))
    assert (run.recipe.lr, run.recipe.epochs) == (0.5, 3)


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
    from squarely import api

    path = tmp_path / "moving.csv"
    path.write_text("x,y\n1,2\n2,4\n3,7\n4,8\n")
    honest = api.gather

    def meddle(*args):
        moments = honest(*args)
        path.write_text("x,y\n1,2\n2,4\n3,7\n4,9\n")
        return moments

    monkeypatch.setattr(api, "gather", meddle)
    with pytest.raises(DataError, match="has changed since it was first read"):
        sq.ols("y ~ x", path)


def test_a_file_that_changes_after_the_fit(tmp_path):
    path = tmp_path / "moving.csv"
    path.write_text("x,y\n1,2\n2,4\n3,7\n4,8\n")
    fit = sq.ols("y ~ x", path)
    path.write_text("x,y\n1,2\n2,4\n3,7\n")
    with pytest.raises(DataError, match="has changed since it was first read"):
        _ = fit.resid
    frame = pd.DataFrame({"x": [1.0, 2, 3, 4], "y": [2.0, 4, 7, 8]})
    fit = sq.ols("y ~ x", frame)
    frame["y"] *= 10
    with pytest.raises(DataError, match="or other values in them"):
        _ = fit.fittedvalues


def test_a_missing_extra_is_named(monkeypatch):
    import sys

    for name in [m for m in sys.modules if m.startswith(("squarely.descent", "squarely.api"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    from squarely.api import train

    with pytest.raises(MissingExtraError, match=r"pip install 'squarely\[torch\]'"):
        train("mpg ~ displacement", CARS)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    from squarely.show import draw

    with pytest.raises(MissingExtraError, match=r"pip install 'squarely\[plots\]'"):
        draw([])


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
    expected = sq.train("mpg ~ displacement", CARS, epochs=3).loop.losses.tobytes()
    with torch.no_grad():
        assert sq.train("mpg ~ displacement", CARS, epochs=3).loop.losses.tobytes() == expected
    with torch.inference_mode():
        assert sq.train("mpg ~ displacement", CARS, epochs=3).loop.losses.tobytes() == expected
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        assert sq.train("mpg ~ displacement", CARS, epochs=3).loop.losses.tobytes() == expected
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(before)


def test_certify_wants_a_fit_and_a_training():
    need("torch")
    fit, run = sq.ols("mpg ~ displacement", CARS), sq.train("mpg ~ displacement", CARS, epochs=1)
    for wrong in ((fit, fit), (run, fit), (None, run), (fit, sq.sweep("mpg ~ displacement", CARS, epochs=1))):
        with pytest.raises(InputError, match="what ols and what train returned"):
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


def test_columns_that_nobody_named_are_not_looked_at():
    data = {"x": np.arange(5.0).astype(">f8"), "y": 2 * np.arange(5.0), "note": [1, "a"], "name": "cars", "matrix": np.ones((2, 2))}
    np.testing.assert_allclose(sq.ols("y ~ x", data).params, [0, 2], atol=1e-15)
    with pytest.raises(DataError, match="one kind of number"):
        sq.ols("y ~ note", data)
