"""`squarely table`: the page of `sq.table` in every format, from files."""

import json

import pytest

import squarely as sq
from tests.cli.test_cli import run  # noqa: F401
from tests.support.checks import CARS, need

OPTIONS = {"stars": True, "hide": ["C(origin)"], "rows": ["nobs", "aic"], "below": "t", "order": ["weight"]}
FLAGS = ["--stars", "--hide", "C(origin)", "--rows", "nobs,aic", "--below", "t", "--order", "weight"]


@pytest.fixture
def fits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small, large = sq.ols("mpg ~ weight", CARS), sq.ols("mpg ~ weight + C(origin) + poly(model, 2)", CARS)
    small.save("small.json")
    large.save("large.json")
    return small, large


@pytest.mark.parametrize("form", ["text", "html", "markdown", "latex", "csv"])
def test_every_format(form, fits, run):  # noqa: F811
    done = run("table", "small.json", "large.json", *FLAGS, "--format", form)
    page = sq.table(*fits, names=["small", "large"], **OPTIONS)
    assert done.returncode == 0
    assert done.err == ""
    assert done.out == getattr(page, f"as_{form}")() + "\n"
    usual = run("table", "small.json", "large.json")
    assert usual.out == str(sq.table(*fits, names=["small", "large"])) + "\n"


def test_a_name_with_a_comma_is_in_quotes(fits, run):  # noqa: F811
    done = run("table", "large.json", "--hide", '"poly(model, 2)[1]",C(origin)', "--names", "all", "--hide", "Intercept")
    hidden = ["poly(model, 2)[1]", "C(origin)", "Intercept"]
    assert done.out == str(sq.table(fits[1], names=["all"], hide=hidden)) + "\n"


def test_names_of_files_in_two_folders(fits, run, tmp_path):  # noqa: F811
    (tmp_path / "other").mkdir()
    fits[1].save("other/small.json")
    done = run("table", "small.json", "other/small.json")
    assert done.out == str(sq.table(*fits)) + "\n"


def test_json_has_every_number(fits, run):  # noqa: F811
    models = json.loads(run("table", "small.json", "large.json", "--json").out)["models"]
    assert [model["rsquared"] for model in models] == [fit.rsquared for fit in fits]


def test_a_saved_run(fits, run):  # noqa: F811
    need("torch")
    sq.train("mpg ~ weight", CARS, epochs=20).save("run.json")
    assert "run is trained, without standard errors." in run("table", "small.json", "run.json").out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--format", "pdf"], "--format pdf is not understood. Use 'text', 'html', 'markdown', 'latex' or 'csv'."),
        (["--hide", "wieght"], "--hide has 'wieght', which is neither a coefficient nor a term here. Did you mean 'weight'?"),
        (["--names", "a,b"], "--names has 2 names for 1 column. Give one name for each fit."),
        (["--rows", "rsquard"], "--rows has 'rsquard', which is not a statistic for a table. Did you mean 'rsquared'?"),
        (["--below", "sd"], "--below sd is not understood. Use 'se', 't', 'p' or 'ci'."),
    ],
)
def test_a_bad_flag_says_what_to_write(flags, says, fits, run):  # noqa: F811
    done = run("table", "small.json", *flags)
    assert (done.returncode, done.out) == (2, "")
    assert done.err == f"squarely: error: {says}\n"
