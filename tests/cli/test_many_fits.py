"""`squarely ols --by`, and of several responses: the page of `Fits`, and its numbers as JSON."""

import json

import pytest

import squarely as sq
from tests.cli.test_cli import run  # noqa: F401
from tests.support.checks import CARS, assert_close

CALLS = {
    "groups": ("mpg ~ weight", {"by": "origin", "vcov": "HC3"}, ["--by", "origin", "--vcov", "HC3"]),
    "pairs": ("mpg ~ weight", {"by": ["origin", "cylinders"]}, ["--by", "origin,cylinders"]),
    "responses": ("mpg + log(acceleration) ~ weight", {}, []),
}


@pytest.mark.parametrize("name", CALLS)
def test_page_and_numbers(name, run):  # noqa: F811
    formula, options, flags = CALLS[name]
    fits = sq.ols(formula, CARS, **options)
    page = run("ols", formula, CARS, *flags)
    assert (page.returncode, page.err, page.out) == (0, "", f"{fits.summary()}\n")
    numbers = json.loads(run("ols", formula, CARS, *flags, "--json").out)
    assert [len(numbers["fits"]), numbers["by"]] == [len(fits), list(fits.by)]
    for each, (key, fit) in zip(numbers["fits"], fits.items(), strict=True):
        assert tuple(each[name] for name in fits.by) == (key if isinstance(key, tuple) else (key,))
        if each["reason"]:
            assert isinstance(fit, sq.errors.DataError)
        else:
            assert_close([*each["params"].values()], fit.params, rtol=1e-9)
            assert_close([*each["pvalues"].values()], fit.pvalues, rtol=1e-6, atol=1e-300)


@pytest.mark.parametrize("flag", [["--save", "fit.json"], ["--plot", "fit.png"], ["--test", "weight = 0"]], ids=str)
def test_what_is_for_one_fit(flag, run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    done = run("ols", "mpg ~ weight", CARS, "--by", "origin", *flag)
    assert (done.returncode, done.out) == (2, "")
    assert f"{flag[0]} is for one fit, and these are 3. Choose one of them with --where." in done.err
    assert not list(tmp_path.iterdir())
