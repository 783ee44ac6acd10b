"""Predictions for single values, and files of predictions with columns of the user beside them."""

import io
import json
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.feather as feather
import pytest
from typer.testing import CliRunner

import squarely as sq
from squarely import cli
from squarely.errors import DataError, InputError, OptionError
from tests.support.checks import CARS, assert_close

ROWS = {"id": ["007", "8", "09"], "weight": [1.0, 2.0, 3.5], "g": ["a", "b", None], "n": [1, None, 3]}
FIT = sq.ols("y ~ weight", {"weight": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.0]})  # y = 1 + 2 weight


@pytest.mark.parametrize("value", [3.5, 3, np.float32(3.5), np.int64(3)])
def test_a_single_value_is_one_row(value):
    assert_close(FIT.predict({"weight": value}), [1 + 2 * float(value)], rtol=1e-12)
    assert_close(sq.ols("mpg ~ C(origin)", CARS).predict({"origin": 1}), [20.083534136546184], rtol=1e-12)


def test_a_single_value_holds_in_every_row():
    fit = sq.ols("y ~ x + g", {"x": [0.0, 1, 2, 3], "g": ["a", "a", "b", "b"], "y": [1.0, 3, 6, 8]})
    assert_close(fit.predict({"x": [0.0, 1.0], "g": "b"}), [2.0, 4.0], rtol=1e-9, atol=1e-12)
    assert np.isnan(fit.predict({"x": None, "g": "b"})).tolist() == [True]
    with pytest.raises(DataError, match=r"has shape \(\)"):
        sq.ols("y ~ x", {"x": 5, "y": [1.0, 2, 3]})  # a fit needs rows


@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow", "feather", "jsonl"])
@pytest.mark.parametrize("form", [pd.DataFrame, pl.DataFrame, dict])
def test_columns_to_keep_are_beside_the_predictions(suffix, form, tmp_path):
    path = tmp_path / f"predicted.{suffix}"
    assert FIT.write_predictions(form(ROWS), path, keep=["g", "id", "n"]) == 3
    found = read(path, suffix)
    assert list(found.columns) == ["row", "g", "id", "n", "predicted"]
    assert_close(found["predicted"].to_numpy(dtype=float), [3.0, 5.0, 8.0], rtol=1e-12)
    assert found["id"].astype(str).tolist() == ["007", "8", "09"]
    assert [None if pd.isna(value) else value for value in found["g"]] == ["a", "b", None]
    assert [None if pd.isna(value) else int(value) for value in found["n"]] == [1, None, 3]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_run_writes_its_predictions_too(suffix, tmp_path):
    data = {"weight": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.0]}
    run = sq.train("y ~ weight", data, engine="closed_form", dtype="float64")
    run.save(tmp_path / "run.json")
    path, new = tmp_path / f"p.{suffix}", tmp_path / "new.csv"
    for each in (run, sq.load(tmp_path / "run.json")):
        assert each.write_predictions(ROWS, path, keep=["id"]) == 3
        found = read(path, suffix)
        assert list(found.columns) == ["row", "id", "predicted"]
        assert_close(found["predicted"].to_numpy(dtype=float), [3.0, 5.0, 8.0], rtol=1e-9)
    new.write_text("id,weight\n007,3.5\n")
    result = CliRunner().invoke(cli.app, ["predict", str(tmp_path / "run.json"), str(new), "-o", str(path), "--keep", "all"])
    assert result.exit_code == 0
    assert_close(read(path, suffix)["predicted"].to_numpy(dtype=float), [8.0], rtol=1e-9)
    with pytest.raises(DataError, match="is the file that the rows come from"):
        run.write_predictions(new, new)


def read(path, suffix):
    if suffix in ("csv", "jsonl"):
        return pd.read_csv(path, dtype={"id": str}) if suffix == "csv" else pd.read_json(path, lines=True, dtype={"id": str})
    return pd.read_parquet(path) if suffix == "parquet" else feather.read_table(path).to_pandas()


def test_a_file_of_many_batches_keeps_its_order(tmp_path):
    n = 150_000
    data, path = tmp_path / "rows.csv", tmp_path / "out.parquet"
    pd.DataFrame({"id": [f"{i:07}" for i in range(n)], "weight": np.arange(n) / 8, "day": "2020-01-31"}).to_csv(data, index=False)
    FIT.write_predictions(data, path, keep="all")
    found = pd.read_parquet(path)
    assert list(found.columns) == ["row", "id", "weight", "day", "predicted"]
    assert (found["id"].astype(int) == np.arange(n)).all()
    assert found["id"][7] == "0000007"  # as it is written
    assert found["day"][0] == "2020-01-31"
    np.testing.assert_array_equal(found["predicted"], 1 + np.arange(n) / 4)
    FIT.write_predictions(pd.read_csv(data), path, keep=["day"])
    np.testing.assert_array_equal(pd.read_parquet(path)["predicted"], 1 + np.arange(n) / 4)


def test_categories_and_dates_can_be_kept(tmp_path):
    frame = pd.DataFrame({"weight": [1.0, 2.0], "c": pd.Categorical(["u", "v"]), "t": pd.to_datetime(["2020-01-31", "2021-01-31"])})
    FIT.write_predictions(frame, tmp_path / "out.csv", keep="all")
    found = pd.read_csv(tmp_path / "out.csv", parse_dates=["t"])
    assert found["c"].tolist() == ["u", "v"]
    assert found["t"].tolist() == frame["t"].tolist()


def test_no_rows_and_wrong_names(tmp_path):
    path = tmp_path / "out.csv"
    assert FIT.write_predictions({"weight": np.empty(0), "id": []}, path, keep=["id"]) == 0
    assert path.read_text().replace('"', "").strip() == "row,id,predicted"
    for keep, message in (
        (["idd"], "Did you mean 'id'"),
        ("id", "keep='id' is not a list"),
        ([1], "is not a list"),
        (["row"], "row"),
    ):
        with pytest.raises(InputError, match=message):
            FIT.write_predictions({**ROWS, "row": [1, 2, 3]}, path, keep=keep)
    with pytest.raises(OptionError, match=r"keep=\['row'\] has 'row', which is the name of a column that is written"):
        FIT.write_predictions({**ROWS, "row": [1, 2, 3]}, path, keep=["row"])


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["squarely", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0, capsys.readouterr()


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    fit, out = tmp_path / "fit.json", tmp_path / "out.jsonl"
    sq.ols("mpg ~ weight", CARS).save(fit)
    assert run(monkeypatch, capsys, "predict", fit, CARS, "-o", out, "--keep", "origin,weight")[0] == 0
    assert list(json.loads(out.read_text().splitlines()[0])) == ["row", "origin", "weight", "predicted"]
    code, shown = run(monkeypatch, capsys, "predict", fit, CARS, "--keep", "origin")
    assert code == 2
    assert "--keep is for a file of predictions. Give its name, such as --out predicted.csv." in shown.err


def test_limits_on_the_command_line(tmp_path, monkeypatch, capsys):
    path, new, out = tmp_path / "fit.json", tmp_path / "new.csv", tmp_path / "out.csv"
    fit = sq.ols("mpg ~ horsepower + C(origin)", CARS)
    fit.save(path)
    pd.read_csv(CARS).iloc[30:35].to_csv(new, index=False)  # one of them has no horsepower
    expected = fit.get_prediction(new, weights="origin").summary_frame(0.1).rename(columns={"mean": "predicted"})
    assert expected.isna().any(axis=1).sum() == 1
    options = ("--interval", "0.9", "--weights", "origin")
    assert run(monkeypatch, capsys, "predict", path, new, "-o", out, *options)[0] == 0
    assert_close(pd.read_csv(out).drop(columns="row").to_numpy(), expected.to_numpy(), rtol=1e-12)
    code, shown = run(monkeypatch, capsys, "predict", path, new, *options)
    assert (code, shown.err) == (0, "")
    printed = pd.read_csv(io.StringIO(shown.out))
    assert printed.columns.tolist() == expected.columns.tolist()
    assert_close(printed.to_numpy(), expected.to_numpy(), rtol=1e-12)
    numbers = json.loads(run(monkeypatch, capsys, "predict", path, new, "--json", *options)[1].out)
    assert_close(np.array(numbers["mean_se"], dtype=float), expected["mean_se"], rtol=1e-12)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--interval", "95"], "--interval 95 is not between 0 and 1. Write 0.95."),
        (["--interval", "90"], "--interval 90 is not between 0 and 1. Write 0.9."),
        (["--interval", "95%"], "--interval 95% is not between 0 and 1. Write 0.95."),
        (["--interval", "0.05"], "--interval 0.05 would give limits at the level of 5 %. For 95 % limits write 0.95."),
        (["--weights", "weight"], "--weights is for limits of new observations. Give --interval 0.95 with it, or leave it out."),
        (["--interval", "0.9", "--weights", "0"], "--weights 0 is neither a column of the new rows nor a positive number."),
        (["--interval", "0.9", "--weights", "mass"], "no column 'mass'"),
    ],
)
def test_wrong_limits_on_the_command_line(words, message, tmp_path, monkeypatch, capsys):
    FIT.save(tmp_path / "fit.json")
    code, shown = run(monkeypatch, capsys, "predict", tmp_path / "fit.json", CARS, *words)
    assert (code, shown.out) == (2, "")
    assert message in shown.err


def test_a_run_has_no_limits(tmp_path, monkeypatch, capsys):
    data = {"weight": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.0]}
    sq.train("y ~ weight", data, engine="closed_form", dtype="float64").save(tmp_path / "run.json")
    code, shown = run(monkeypatch, capsys, "predict", tmp_path / "run.json", CARS, "--interval", "0.95")
    assert code == 2
    assert "--interval needs standard errors, which a run of training lacks. Give a fit" in shown.err
