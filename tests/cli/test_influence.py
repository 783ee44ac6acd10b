"""`squarely influence`: the largest rows as a page and as JSON, and a file of all."""

import json

import pandas as pd

import squarely as sq
from tests.cli.test_cli import run  # noqa: F401
from tests.support.checks import CARS, assert_close

FORMULA = "mpg ~ weight + horsepower"


def test_the_page_is_that_of_python(run):  # noqa: F811
    done = run("influence", FORMULA, str(CARS), "--top", "4", "--by", "dfb_weight", "--weights", "weight")
    assert (done.returncode, done.err) == (0, "")
    assert done.out == str(sq.ols(FORMULA, CARS, weights="weight").get_influence().summary(4, "dfb_weight")) + "\n"


def test_json_and_a_file(run, tmp_path):  # noqa: F811
    done = run("influence", FORMULA, str(CARS), "--top", "3", "-o", str(tmp_path / "all.parquet"), "--json")
    printed, frame = json.loads(done.out), sq.ols(FORMULA, CARS).get_influence().summary_frame()
    expected = frame.nlargest(3, "cooks_d")
    assert (printed["written"], printed["nobs"], printed["by"], printed["notes"]) == (392, 392, "cooks_d", [])
    table = pd.DataFrame(printed["rows"])
    assert table.pop("row").tolist() == (expected.index + 1).tolist()
    assert_close(table, expected, rtol=1e-12)
    written = pd.read_parquet(tmp_path / "all.parquet")
    assert written.pop("row").tolist() == (frame.index + 1).tolist()
    assert_close(written, frame, rtol=1e-12)
    text = run("influence", FORMULA, str(CARS), "-o", str(tmp_path / "all.csv"))
    assert text.out.endswith(f"392 rows written to {tmp_path / 'all.csv'}\n")


def test_errors_name_the_options(run):  # noqa: F811
    done = run("influence", FORMULA, str(CARS), "--top", "2.5")
    assert done.returncode == 2
    assert "--top 2.5 is not a number of rows. Give a whole number of at least 1." in done.err
