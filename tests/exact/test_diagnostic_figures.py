"""Diagnostic figures: where they draw rows, lines and labels equals what statsmodels and NumPy compute."""

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import CARS, assert_close, need

pytestmark = pytest.mark.usefixtures("_matplotlib")
DATA = pd.read_csv(CARS)
FORMULA = "mpg ~ weight + C(origin) + horsepower"


@pytest.fixture(scope="module")
def _matplotlib():
    need("matplotlib")


@functools.cache
def peer():
    return need("statsmodels.formula.api").ols(FORMULA, DATA).fit()


@functools.cache
def many(n=30_000):
    r = np.random.default_rng(3)
    x, z = r.gamma(2.0, 3.0, n), r.normal(size=n)
    data = {"x": x, "z": z, "y": np.log(x) + z + r.standard_t(4, n)}
    data["y"][[5, 777]] = 40, -30
    return data


def dots(axes):
    """Give the points (n, 2) of each set of dots: all rows, and those with the largest Cook's distances."""
    found = [each.get_offsets() for each in axes.collections if not hasattr(each, "get_coordinates")]
    return [np.asarray(points) for points in found if len(points) > 1]


def line(axes, color):
    (found,) = [each for each in axes.lines if each.get_color() == color]
    return found.get_xdata(), found.get_ydata()


BLUE, GREEN = "#0072b2", "#009e73"


def labels(axes):
    """Give text -> the point that it is beside."""
    return {text.get_text(): text.xy for text in axes.texts if text.get_position() != (0, 5) and "." not in text.get_text()}


def caption(axes):
    return next(text.get_text() for text in axes.texts if text.get_position() == (0, 5)).split("\n")


def drawn_cells(axes):
    (mesh,) = [each for each in axes.collections if hasattr(each, "get_coordinates")]
    corners = mesh.get_coordinates()
    counts = np.ma.filled(mesh.get_array(), np.nan)
    return np.nan_to_num(counts.reshape(len(corners) - 1, -1)), corners[0, :, 0], corners[:, 0, 1]


def places():
    """Give x and y of each kind by statsmodels."""
    influence, fitted, residuals = peer().get_influence(), peer().fittedvalues.to_numpy(), peer().resid.to_numpy()
    standardized = influence.resid_studentized_internal
    ranks = stats.rankdata(standardized, "ordinal")  # residuals of equal rows differ by rounding
    return {
        "residuals": (fitted, residuals),
        "qq": (stats.norm.ppf((ranks - 0.5) / len(ranks)), standardized),
        "scale": (fitted, np.sqrt(np.abs(standardized))),
        "leverage": (influence.hat_matrix_diag, standardized),
    }


@pytest.mark.parametrize("kind", ["residuals", "qq", "scale", "leverage"])
def test_every_row_is_where_statsmodels_has_it(kind):
    (axes,) = sq.ols(FORMULA, DATA).plot(kind).axes
    x, y = places()[kind]
    rows, largest = dots(axes)
    expected = np.sort(np.c_[x, y], axis=0) if kind == "qq" else np.c_[x, y]
    assert_close(rows, expected, rtol=1e-8, atol=1e-8)
    first = np.argsort(-peer().get_influence().cooks_distance[0], kind="stable")[:20]
    assert_close(largest, np.c_[x, y][first], rtol=1e-8, atol=1e-8)
    indexes = peer().fittedvalues.index[first[:3]]
    assert list(labels(axes)) == sorted(map(str, indexes), key=lambda name: -labels(axes)[name][1])
    for label, at in zip(indexes, first, strict=False):
        assert_close(labels(axes)[str(label)], [x[at], y[at]], rtol=1e-8)


def test_the_four_are_one_figure_in_one_scan(monkeypatch):
    from squarely.inference import scan

    reads = []
    monkeypatch.setattr(scan, "require_same_rows", lambda *_: reads.append(1))
    axes = sq.ols(FORMULA, DATA).plot("diagnostics").axes
    assert len(reads) == 1
    assert [each.get_title() for each in axes] == [
        "Residuals against fitted values", "Normal Q-Q", "Scale and location", "Residuals against leverage",
    ]  # fmt: skip
    for each, (x, y) in zip(axes, places().values(), strict=True):
        assert_close(np.sort(dots(each)[0], axis=0), np.sort(np.c_[x, y], axis=0), rtol=1e-8, atol=1e-8)
    assert [each.get_legend() is not None for each in axes] == [True, False, False, False]


def test_the_line_is_the_mean_of_neighboring_rows():
    (axes,) = sq.ols(FORMULA, DATA).plot("residuals").axes
    x, y = line(axes, BLUE)
    fitted, residuals = places()["residuals"]
    order = np.argsort(fitted, kind="stable")
    groups = np.minimum((np.arange(len(order)) + 0.5) / len(order) * 20, 19).astype(int)
    table = pd.DataFrame({"x": fitted[order], "y": residuals[order]}).groupby(groups).mean()
    assert_close(np.c_[x, y], table, rtol=1e-7, atol=1e-9)


def test_contours_have_one_cooks_distance():
    data = {"x": [*range(12), 30.0], "y": [1.0, 2, 2, 4, 6, 5, 7, 9, 8, 9, 12, 11, 2]}
    (axes,) = sq.ols("y ~ x", data).plot("leverage").axes
    contours = [each for each in axes.lines if each.get_color() == "black"]
    distances = [each.get_ydata() ** 2 * each.get_xdata() / (1 - each.get_xdata()) / 2 for each in contours]
    assert sorted({round(value, 9) for each in distances for value in each}) == [0.5, 1.0]
    assert {text.get_text() for text in axes.texts} >= {"0.5", "1"}
    low, high = axes.get_ylim()
    assert all(low <= value <= high for each in contours for value in each.get_ydata())
    assert caption(axes)[-1] == "Dashed: Cook's distances of 0.5 and 1."
    (calm,) = sq.ols("mpg ~ weight", DATA).plot("leverage").axes
    assert caption(calm)[-1] == "No row is near a Cook's distance of 0.5."


KINDS = {
    "residuals": lambda table: (table["fitted"], table["residual"]),
    "scale": lambda table: (table["fitted"], np.sqrt(table["standard_resid"].abs())),
    "leverage": lambda table: (table["hat_diag"], table["standard_resid"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"frequencies": "k"}])
def test_many_rows_are_counted_in_cells(kind, options):
    data = {**many(), "k": np.arange(30_000) % 4}
    fit = sq.ols("y ~ x + z", data, **options)
    (axes,) = fit.plot(kind).axes
    table = fit.get_influence().summary_frame().assign(fitted=fit.fittedvalues, residual=fit.resid)
    x, y = KINDS[kind](table)
    counts, x_edges, y_edges = drawn_cells(axes)
    weights = data["k"][table.index] if options else None
    assert counts.sum() == fit.nobs
    assert_close(counts, np.histogram2d(y, x, bins=[y_edges, x_edges], weights=weights)[0], rtol=0)
    (largest,) = dots(axes)
    first = table["cooks_d"].nlargest(20).index
    assert_close(largest, np.c_[x[first], y[first]], rtol=1e-9)
    assert set(labels(axes)) == {str(i + 1) for i in first[:3]}


def test_many_rows_have_a_qq_plot_of_a_fine_histogram():
    fit = sq.ols("y ~ x + z", many())
    (axes,) = fit.plot("qq").axes
    residuals = np.sort(fit.get_influence().resid_studentized_internal)
    rows, largest = dots(axes)
    assert 500 < len(rows) < 2_000
    width = 2 * np.ptp(residuals) / 32_768
    for at, value in rows:
        count = stats.norm.cdf(at) * len(residuals)
        low, high = residuals[[max(int(count - 60), 0), min(int(count + 60), len(residuals) - 1)]]
        assert low - width <= value <= high + width
    assert_close(rows[[0, -1], 1], residuals[[0, -1]], rtol=0, atol=width)
    assert_close(rows[[0, -1], 0], stats.norm.ppf([0.5 / 30_000, 1 - 0.5 / 30_000]), rtol=1e-9)
    top = fit.get_influence().top(20)["standard_resid"].to_numpy()
    assert_close(largest[:, 1], top, rtol=1e-9)
    expected = stats.norm.ppf((np.searchsorted(residuals, top) + 0.5) / len(residuals))
    assert_close(largest[:, 0], expected, rtol=0, atol=0.02)


def test_the_lines_over_cells_are_exact_means():
    fit = sq.ols("y ~ x + z", many())
    x, y = line(fit.plot("component", term="x").axes[0], GREEN)
    slope = fit.params["x"]
    assert_close(y, slope * (x - many()["x"].mean()), rtol=1e-9, atol=1e-9)
    ours = np.average(line(fit.plot("residuals").axes[0], BLUE)[1])
    assert abs(ours) < 0.5


def auxiliary(data, formula, name):
    """Give the residuals of a column given the others, by regressions of their own."""
    ols = need("statsmodels.formula.api").ols
    return ols(f"{name} ~ {formula}", data).fit().resid


@pytest.mark.parametrize("weights", [None, "cylinders"])
def test_an_added_variable_is_two_regressions(weights):
    smf = need("statsmodels.formula.api")
    data = DATA.dropna().reset_index(drop=True)
    fit = sq.ols("mpg ~ weight + C(origin) + horsepower", data, **({} if weights is None else {"weights": weights}))
    (axes,) = fit.plot("added", term="weight").axes

    def given_others(name):
        return smf.wls(f"{name} ~ C(origin) + horsepower", data, weights=1.0 if weights is None else data[weights]).fit().resid

    rows = dots(axes)[0]
    assert_close(rows, np.c_[given_others("weight"), given_others("mpg")], rtol=1e-7, atol=1e-8)
    x, y = line(axes, GREEN)
    assert_close(y, fit.params["weight"] * x, rtol=1e-12)
    assert axes.get_xlabel() == "weight | others"


def test_a_term_of_levels_has_a_panel_for_each():
    fit = sq.ols("mpg ~ weight * C(origin)", DATA)
    assert [each.get_xlabel() for each in fit.plot("added", term="C(origin)").axes] == [
        "C(origin)[T.2] | others",
        "C(origin)[T.3] | others",
    ]
    assert len(fit.plot("added").axes) == 5
    (axes,) = fit.plot("added", term="weight:C(origin)[T.2]").axes
    dummies = DATA.assign(a=DATA["origin"] == 2, b=DATA["origin"] == 3).astype({"a": float, "b": float})
    expected = auxiliary(dummies, "weight + a + b + weight:b", "I(weight * a)")
    assert_close(dots(axes)[0][:, 0], expected, rtol=1e-7, atol=1e-7)


def test_a_component_has_all_terms_of_its_predictor():
    fit = sq.ols("mpg ~ weight + I(weight**2) + log(horsepower)", DATA)
    first, second = fit.plot("component").axes
    used = DATA.dropna(subset=["horsepower"])
    b = fit.params
    parts = {
        "weight": b["weight"] * used["weight"] + b["I(weight ** 2)"] * used["weight"] ** 2,
        "horsepower": b["log(horsepower)"] * np.log(used["horsepower"]),
    }
    for axes, (name, part) in zip((first, second), parts.items(), strict=True):
        part = part - part.mean()
        assert axes.get_xlabel() == name
        assert_close(dots(axes)[0], np.c_[used[name], part + fit.resid], rtol=1e-8, atol=1e-8)
        order = np.argsort(used[name], kind="stable")
        assert_close(line(axes, GREEN)[1], part.to_numpy()[order], rtol=1e-8, atol=1e-8)
    assert caption(first)[-1] == "Component: weight and I(weight ** 2)."


def test_offsets_and_the_response_as_the_formula_has_it_are_fitted():
    fit = sq.ols("log(mpg) ~ weight + offset(acceleration)", DATA)
    (axes,) = fit.plot("residuals").axes
    assert_close(dots(axes)[0], np.c_[fit.fittedvalues, fit.resid], rtol=1e-9, atol=1e-9)
    assert axes.get_xlabel() == "fitted log(mpg)"


def test_absorbed_effects_are_part_of_fitted_values():
    absorbed, dummies = (sq.ols(f"mpg ~ weight {more}", DATA) for more in ("| origin", "+ C(origin)"))
    for kind, term in (("residuals", None), ("leverage", None), ("added", "weight")):
        ours, theirs = (dots(fit.plot(kind, term=term).axes[0])[0] for fit in (absorbed, dummies))
        assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    with pytest.raises(OptionError, match=r"absorbed fixed effects are taken out of them\. Draw kind='added'"):
        absorbed.plot("component")


def test_rows_without_a_standardized_residual_are_not_drawn_and_said():
    data = {"x": [0.0, 1, 2, 3, 4, 5], "one": [0.0, 0, 1, 0, 0, 0], "y": [1, 2, 2.5, 7, 3, 4]}
    axes = sq.ols("y ~ x + one", data).plot("diagnostics").axes
    assert [len(dots(each)[0]) for each in axes] == [6, 5, 5, 5]
    assert caption(axes[0])[-1] == "1 row with a leverage of one has no standardized residual."
    perfect = sq.ols("y ~ x", {"x": [0.0, 1, 3, 4], "y": [0.0, 2, 6, 8]}).plot("diagnostics").axes
    assert caption(perfect[0])[-1] == "The residuals are zero, or rounding hides them: they are not standardized."
    assert dots(perfect[1]) == []


def test_labels_do_not_cover_each_other():
    x = np.r_[np.linspace(0, 1, 30), [0.5, 0.501, 0.502]]
    y = np.r_[np.random.default_rng(1).normal(size=30), [20.0, 20.01, 20.02]]
    figure = sq.ols("y ~ x", {"x": x, "y": y}).plot("residuals")
    figure.draw_without_rendering()
    extent = need("matplotlib.text").Text.get_window_extent  # without the line to the point
    boxes = [extent(text) for text in figure.axes[0].texts if text.get_text() in ("31", "32", "33")]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize(
    ("kind", "term", "says"),
    [
        ("added", "hp", r"term='hp' is not a term of the model"),
        ("component", "weight", r"'weight' is in weight:C\(origin\) with another predictor, .* Draw kind='added' instead"),
        ("component", "origin", r"term='origin' is not a numeric predictor of the model. Did you|Known names: 'horsepower'"),
        ("qq", "weight", r"term='weight' is for kind='added' and kind='component'"),
        (None, "weight", r"term='weight' is for kind='added' and kind='component'"),
    ],
)
def test_a_term_that_cannot_be_drawn_is_refused(kind, term, says):
    with pytest.raises(OptionError, match=says):
        sq.ols("mpg ~ weight * C(origin) + horsepower", DATA).plot(kind, term=term)


def test_more_panels_than_a_figure_has_are_refused():
    data = {name: np.random.default_rng(i).normal(size=60) for i, name in enumerate("abcdefghijklmno")}
    fit = sq.ols(f"a ~ {' + '.join('bcdefghijklmno')}", data)
    for kind in ("added", "component"):
        with pytest.raises(OptionError, match=r"There are 14 .* at most 12 panels. Name one, such as term='b', or draw kind="):
            fit.plot(kind)
    with pytest.raises(OptionError, match="no slope to draw"):
        sq.ols("a ~ 1", data).plot("added")


def test_rows_are_needed_and_must_be_those_of_the_fit(tmp_path):
    fit = sq.ols("mpg ~ weight", DATA)
    fit.save(tmp_path / "fit.json")
    with pytest.raises(DataError, match="needs the rows of"):
        sq.load(tmp_path / "fit.json").plot("qq")
    data = {"x": np.arange(20.0), "y": np.arange(20.0) % 3}
    fit = sq.ols("y ~ x", data)
    data["x"][3] = 100.0
    with pytest.raises(DataError, match="other values"):
        fit.plot("diagnostics")
