"""`squarely diagnose`: the page and the JSON of `fit.diagnostics()`."""

import json

import squarely as sq
from tests.cli.test_cli import run  # noqa: F401
from tests.support.checks import CARS, assert_close


def test_the_page_is_that_of_python_with_flags(run):  # noqa: F811
    done = run("diagnose", "mpg ~ weight", CARS, "--where", "origin == 1")
    page = sq.ols("mpg ~ weight", CARS, where="origin == 1").diagnostics().summary()
    assert (done.returncode, done.err) == (0, "")
    assert "vcov='HC3'" in str(page)
    assert "--vcov HC3" in done.out
    assert done.out.splitlines()[:8] == str(page).splitlines()[:8]


def test_json_has_every_number(run):  # noqa: F811
    done = run("diagnose", "mpg ~ weight + model", CARS, "--order-by", "model", "--no-white", "--json", "--weights", "weight")
    found = sq.ols("mpg ~ weight + model", CARS, weights="weight").diagnostics(order_by="model", white=False)
    printed = json.loads(done.out)
    assert [test["test"] for test in printed["tests"]] == found.frame.index.tolist()
    assert "White" not in found.frame.index
    assert "Harvey-Collier" in found.frame.index
    assert_close([test["pvalue"] for test in printed["tests"]], found.frame["pvalue"], rtol=1e-12)
    assert printed["vif"]["model"]["GVIF"] > 1
