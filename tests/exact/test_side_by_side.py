"""`sq.table`: several fits side by side, with the numbers of statsmodels' summary_col, and nothing lost."""

import csv
import io
import re

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.iolib.summary2 import summary_col

import squarely as sq
from squarely.errors import InputError, OptionError
from tests.support.checks import need

ROWS = sq.datasets.cars()
FORMULAS = ["mpg ~ displacement", "mpg ~ displacement + C(origin) + horsepower"]


@pytest.fixture(scope="module")
def fits():
    return [sq.ols(formula, ROWS) for formula in FORMULAS]


def read(page):
    """Return the cells of the only table, stripped, as a DataFrame with a row's name in front."""
    table = page.blocks[0]
    return pd.DataFrame([[cell.strip() for cell in row] for row in table.rows], columns=["name", *table.header[1:]])


def cells(page, name):
    """Return the cells of a row, and of the row below it."""
    frame = read(page)
    at = frame.index[frame["name"] == name][0]
    return frame.iloc[at, 1:].tolist(), frame.iloc[at + 1, 1:].tolist() if at + 1 < len(frame) else []


def test_the_numbers_are_those_of_summary_col(fits):
    theirs = summary_col([smf.ols(formula, ROWS).fit() for formula in FORMULAS], stars=True, float_format="%.3f").tables[0]
    theirs.index = [name.strip() for name in theirs.index]
    page = sq.table(fits, stars=True)
    for name in fits[1].params.index:
        at = list(theirs.index).index(name)
        assert cells(page, name) == (theirs.iloc[at].tolist(), theirs.iloc[at + 1].tolist())
    for ours, other in {"R-squared": "R-squared", "Adj. R-squared": "R-squared Adj."}.items():
        assert cells(page, ours)[0] == theirs.loc[other].tolist()
    assert "* p < 0.1, ** p < 0.05, *** p < 0.01." in page.footer


def test_the_default_has_no_stars_and_says_what_is_below(fits):
    page = sq.table(*fits)
    assert list(read(page).columns) == ["name", "(1)", "(2)"]
    assert "*" not in page.as_text()
    assert page.footer == ["Standard errors in parentheses."]
    assert cells(page, "Dep. Variable")[0] == ["mpg", "mpg"]
    assert cells(page, "No. Observations")[0] == ["398", f"{fits[1].nobs}"]
    assert cells(page, "horsepower") == (["", f"{fits[1].params['horsepower']:.3f}"], ["", f"({fits[1].bse['horsepower']:.3f})"])


BELOW = {
    "t": (lambda fit: f"({fit.tvalues['displacement']:.3f})", "t statistics in parentheses."),
    "p": (lambda fit: f"({fit.pvalues['displacement']:.3f})", "p-values in parentheses."),
    "ci": (lambda fit: "[{:.3f}, {:.3f}]".format(*fit.conf_int().loc["displacement"]), "95 % confidence limits in brackets."),
}


@pytest.mark.parametrize("below", BELOW)
def test_below(below, fits):
    text, note = BELOW[below]
    theirs = [smf.ols(formula, ROWS).fit() for formula in FORMULAS]
    page = sq.table(*fits, below=below)
    assert cells(page, "displacement")[1] == [text(fit) for fit in theirs]
    assert page.footer == [note]


def test_a_covariance_is_in_the_note_and_where_they_differ_in_a_row(fits):
    robust = [fit.vcov("HC1") for fit in fits]
    assert sq.table(robust).footer == ["Standard errors (HC1) in parentheses."]
    assert "Covariance Type" not in sq.table(robust).as_text()
    page = sq.table(fits[0], robust[1])
    assert cells(page, "Covariance Type")[0] == ["nonrobust", "HC1"]
    assert page.footer == ["Standard errors in parentheses."]
    rows = ["cov_type", "nobs"]
    assert read(sq.table(fits[0], robust[1], rows=rows))["name"].tolist()[-2:] == ["Covariance Type", "No. Observations"]
    clustered = sq.ols(FORMULAS[0], ROWS, cluster="model")
    assert sq.table(clustered).footer == ["Standard errors (CR1 (model)) in parentheses."]


def test_normal_tests_have_z(fits):
    normal = fits[0].vcov("HC1", use_t=False)
    assert sq.table(normal, below="t").footer == ["z statistics (HC1) in parentheses."]
    assert sq.table(normal, fits[0].vcov("HC1"), below="t").footer == ["t statistics (HC1) in parentheses."]


def test_many_columns_have_names_beside_them(fits):
    lines = sq.table([fits[0]] * 20, rows=[]).as_text().split("\n")
    assert [line.split()[0] for line in lines if line.startswith("displacement")] == ["displacement"] * 3
    assert all(len(line.split()) > 1 for line in lines if line.startswith(("displacement", "Intercept")))


def test_order_hide_labels_and_names(fits):
    page = sq.table(
        *fits, order=["horsepower"], hide="C(origin)", names=["small", "large"], labels={"horsepower": "Power", "mpg": "Miles"}
    )
    frame = read(page)
    assert list(frame.columns) == ["name", "small", "large"]
    names = ["Dep. Variable", "Power", "", "Intercept", "", "displacement", "", "C(origin)"]
    assert frame["name"].tolist()[:8] == names
    assert cells(page, "C(origin)")[0] == ["No", "Yes"]
    assert cells(page, "Dep. Variable")[0] == ["Miles", "Miles"]
    everything = sq.table(fits[0], hide=["Intercept", "displacement"], rows=[])
    assert read(everything)["name"].tolist() == ["Dep. Variable", "Intercept", "displacement"]
    assert "-" * 78 in everything.as_text()
    assert everything.footer == []


def test_small_numbers_show_digits_and_a_row_has_the_same_places():
    rows = ROWS.assign(tons=ROWS["weight"] * 1e-6, grams=ROWS["weight"] * 453.59237)
    page = sq.table(sq.ols("mpg ~ grams", rows), sq.ols("mpg ~ grams + horsepower", rows), sq.ols("I(mpg * 1e5) ~ tons", rows))
    assert "0.000 " not in page.as_text()
    (first, second, _), below = cells(page, "grams")
    exact = smf.ols("mpg ~ grams", rows).fit()
    assert float(first) == pytest.approx(exact.params["grams"], rel=5e-4)
    assert float(below[0].strip("()")) == pytest.approx(exact.bse["grams"], rel=5e-4)
    assert len(first) == len(second)
    assert cells(page, "Intercept")[0][2] == f"{smf.ols('I(mpg * 1e5) ~ tons', rows).fit().params['Intercept']:.3f}"


def test_a_dropped_coefficient_is_named(fits):
    page = sq.table(fits[0], sq.ols("mpg ~ displacement + I(2 * displacement)", ROWS))
    assert cells(page, "I(2 * displacement)") == (["", "dropped"], ["", ""])


def test_other_levels_of_stars():
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=40), "y": rng.normal(size=40)}
    data["y"] = data["y"] + 0.4 * data["x"]
    fit = sq.ols("y ~ x", data)
    p = fit.pvalues["x"]
    for levels in ([0.05, 0.01, 0.001], (0.001, 0.05), [0.9]):
        page = sq.table(fit, stars=levels)
        assert cells(page, "x")[0][0].count("*") == sum(p < level for level in levels)
    assert sq.table(fit, stars=(0.001, 0.05)).footer[-1] == "* p < 0.05, ** p < 0.001."


def test_a_run_stands_beside_a_fit_without_standard_errors(fits, tmp_path):
    need("torch")
    run = sq.train(FORMULAS[0], ROWS, epochs=30)
    run.save(tmp_path / "run.json")
    for other in (run, sq.load(tmp_path / "run.json")):
        page = sq.table(fits[0], other)
        assert cells(page, "displacement")[1] == [f"({fits[0].bse['displacement']:.3f})", ""]
        assert cells(page, "displacement")[0][1] == f"{run.params['displacement']:.3f}"
        assert cells(page, "No. Observations")[0] == ["398", "398"]
        assert page.footer[-1] == "(2) is trained, without standard errors."
    alone = sq.table(run, rows=["nobs", "status", "last_loss"])
    assert read(alone)["name"].tolist() == ["Dep. Variable", "Intercept", "displacement", "No. Observations", "Status", "Last loss"]
    assert alone.footer == ["(1) is trained, without standard errors."]
    with pytest.raises(InputError, match=r"type Sweep is not a fit or a run. Give its best run, sweep.best,"):
        sq.table(fits[0], sq.sweep(FORMULAS[0], ROWS, epochs=3))


def test_loaded_and_merged_fits(fits, tmp_path):
    fits[0].save(tmp_path / "fit.json")
    assert str(sq.table(sq.load(tmp_path / "fit.json"))) == str(sq.table(fits[0]))
    half = [sq.ols(FORMULAS[0], ROWS[i::2]) for i in (0, 1)]
    merged = sq.table(sq.merge(half), fits[0], rows=["nobs", "durbin_watson"])
    first, second = cells(merged, "displacement")[0]
    assert first == second
    assert cells(merged, "Durbin-Watson")[0] == ["nan", f"{fits[0].durbin_watson:.3f}"]


def test_every_format_has_the_cells(fits):
    page = sq.table(*fits, stars=True, below="ci")
    expected = [[cell.strip() for cell in row] for row in page.blocks[0].rows]
    assert list(csv.reader(io.StringIO(page.as_csv())))[1 : 1 + len(expected)] == expected
    markdown = page.as_markdown().replace("\\", "").split("\n")
    assert [[cell.strip() for cell in line[1:-1].split("|")] for line in markdown[2 : 2 + len(expected)]] == expected
    latex = re.findall(r"^(.*) \\\\$", page.as_latex().replace("$-$", "-").replace("{[}", "["), re.MULTILINE)[1:]
    assert [[cell.strip() for cell in line.split("&")] for line in latex] == expected
    shown = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", page.as_html())
    assert [cell.strip() for cell in shown[3:]] == [cell for row in expected for cell in row]


BAD = [
    (
        {"order": ["horsepwer"]},
        r"order= has 'horsepwer', which is neither a coefficient nor a term here. Did you mean 'horsepower'\?",
    ),
    ({"hide": "origin"}, r"hide= has 'origin', .* Did you mean 'C\(origin\)'\?"),
    ({"hide": 3}, r"hide=3 is not a list of names. Give one, such as hide=\['weight', 'C\(origin\)'\]."),
    ({"rows": ["rsquard"]}, r"rows= has 'rsquard', which is not a statistic for a table. Did you mean 'rsquared'\?"),
    ({"names": ["one"]}, r"names= has 1 name for 2 columns. Give one name for each fit."),
    ({"labels": {"wt": "Weight"}}, r"labels= has 'wt', which is not a name in this table."),
    ({"labels": ["Weight"]}, r"labels=\['Weight'\] is not a dict of texts."),
    ({"below": "sd"}, r"below='sd' is not understood. Use 'se', 't', 'p' or 'ci'."),
    ({"stars": 3}, r"stars=3 is neither a boolean nor a list of levels, such as stars=\[0.05, 0.01, 0.001\]."),
    ({"stars": [5, 1]}, r"stars=\[5, 1\] is neither a boolean"),
]


@pytest.mark.parametrize(("options", "says"), BAD)
def test_a_bad_option_says_what_to_write(options, says, fits):
    with pytest.raises(OptionError, match=says):
        sq.table(*fits, **options)


def test_what_is_not_a_fit(fits):
    with pytest.raises(InputError, match=r"There is no fit for a table. Give at least one, such as sq.table\(sq.ols\("):
        sq.table()
    with pytest.raises(InputError, match=r"type \w+Wrapper is not a fit or a run. Give results of sq.ols, sq.train or sq.load."):
        sq.table(fits[0], smf.ols(FORMULAS[0], ROWS).fit())
    with pytest.raises(InputError, match=r"type str is not a fit"):
        sq.table("fit.json")
