"""Figures of fits: what they draw equals what statsmodels and NumPy compute, and their captions say what is missing."""

import functools
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.errors import DataError, InputError, OptionError
from squarely.inference.post_estimation.figures import drawn_rows
from squarely.inference.post_estimation.figures.histogram import count_rows, merge_histograms
from squarely.show.palette import COLORS
from squarely.show.statistical_marks import _GRAYS
from tests.support.checks import CARS, assert_close, need
from tests.training.test_figures import VISION, cielab

pytestmark = pytest.mark.usefixtures("_matplotlib")
CAR_ROWS = pd.read_csv(CARS)


@pytest.fixture(scope="module")
def _matplotlib():
    need("matplotlib")


def only_axes(figure):
    (axes,) = figure.axes
    return axes


def caption(axes):
    return next((text.get_text() for text in axes.texts if text.get_position() == (0, 5)), "").split("\n")


def curve(axes):
    """Give x, the curve, and the ends of the prediction and the confidence band, as they are drawn."""
    *edges, line = [line for line in axes.lines if len(line.get_xdata()) == 200]
    assert line.get_label() == "least squares"
    return line.get_xdata(), line.get_ydata(), [edge.get_ydata() for edge in edges]


def intervals(axes):
    """Give name -> estimate, lower and upper limit."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    (lines,) = axes.collections
    (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
    limits = [np.sort(segment[:, 0]) for segment in lines.get_segments()]
    return {name: (x, *ends) for name, x, ends in zip(names, dots.get_xdata(), limits, strict=True)}


# The line


def statsmodels_bands(formula, data, x, **options):
    smf = need("statsmodels.formula.api")
    weights = options.pop("weights", None)
    model = smf.ols(formula, data) if weights is None else smf.wls(formula, data, weights=weights)
    frame = model.fit(**options).get_prediction(pd.DataFrame({"displacement": x}))
    return frame.summary_frame(alpha=0.05)


@pytest.mark.parametrize(
    ("formula", "theirs"),
    [
        ("mpg ~ displacement", None),
        ("mpg ~ displacement - 1", None),
        ("mpg ~ poly(displacement, 3)", "mpg ~ displacement + I(displacement**2 / 1e2) + I(displacement**3 / 1e4)"),
        ("log(mpg) ~ log(displacement)", "np.log(mpg) ~ np.log(displacement)"),
        ("mpg ~ displacement + I(1000 / displacement)", None),
        ("mpg ~ bs(displacement, df=5)", None),
    ],
)
def test_the_curve_and_its_bands_are_those_of_statsmodels(formula, theirs):
    axes = only_axes(sq.ols(formula, CARS).plot())
    x, mean, edges = curve(axes)
    assert (x[0], x[-1]) == (CAR_ROWS["displacement"].min(), CAR_ROWS["displacement"].max())
    frame = statsmodels_bands(theirs or formula, CAR_ROWS, x)
    assert_close(mean, frame["mean"], rtol=1e-8)
    for drawn, name in zip(edges, ("obs_ci_lower", "obs_ci_upper", "mean_ci_lower", "mean_ci_upper"), strict=True):
        assert_close(drawn, frame[name], rtol=1e-7, atol=1e-7)
    (dots,) = [each for each in axes.collections if hasattr(each, "get_offsets") and len(each.get_offsets()) > 1]
    response = np.log(CAR_ROWS["mpg"]) if formula.startswith("log") else CAR_ROWS["mpg"]
    assert_close(np.asarray(dots.get_offsets()), np.c_[CAR_ROWS["displacement"], response], rtol=1e-15)


def test_the_bands_of_a_robust_fit_follow_its_covariance_and_the_caption_says_so():
    fit = sq.ols("mpg ~ displacement", CARS)
    axes = only_axes(fit.vcov("HC3").plot())
    x, _, edges = curve(axes)
    frame = statsmodels_bands("mpg ~ displacement", CAR_ROWS, x, cov_type="HC3", use_t=True)
    assert_close(edges[2], frame["mean_ci_lower"], rtol=1e-8)
    assert_close(edges[0], frame["obs_ci_lower"], rtol=1e-7, atol=1e-7)
    assert any("HC3" in line for line in caption(axes))
    assert not any("HC3" in line for line in caption(only_axes(fit.plot())))


def test_with_weights_the_prediction_band_is_for_a_row_of_the_mean_weight():
    axes = only_axes(sq.ols("mpg ~ displacement", CARS, weights="weight").plot())
    x, _, edges = curve(axes)
    mean_weight = CAR_ROWS["weight"].mean()
    scaled = CAR_ROWS["weight"] / mean_weight  # statsmodels predicts a row of weight one
    frame = statsmodels_bands("mpg ~ displacement", CAR_ROWS, x, weights=scaled)
    assert_close(edges[0], frame["obs_ci_lower"], rtol=1e-7, atol=1e-7)
    assert_close(edges[3], frame["mean_ci_upper"], rtol=1e-8)
    assert caption(axes)[1] == f"The prediction band is for a row of the mean weight, {mean_weight:.4g}."


def test_an_offset_of_the_predictor_belongs_to_the_curve():
    data = {"x": np.arange(1.0, 21), "y": np.arange(1.0, 21) ** 1.5}
    axes = only_axes(sq.ols("y ~ log(x) + offset(x)", data).plot())
    x, mean, _ = curve(axes)
    basis = np.c_[np.ones(20), np.log(data["x"])]
    a, b = np.linalg.lstsq(basis, data["y"] - data["x"])[0]
    assert_close(mean, a + b * np.log(x) + x, rtol=1e-9)


def test_rows_with_gaps_and_rows_that_a_condition_excludes_are_not_drawn():
    data = CAR_ROWS.assign(mpg=CAR_ROWS["mpg"].where(CAR_ROWS.index % 7 > 0))
    axes = only_axes(sq.ols("mpg ~ displacement", data, where="weight > 3000").plot())
    used = data[(data["weight"] > 3000) & data["mpg"].notna()]
    assert_close(np.asarray(axes.collections[0].get_offsets()), used[["displacement", "mpg"]], rtol=0)
    assert caption(axes)[0].startswith(f"n = {len(used)}, ")


def test_a_perfect_fit_and_a_curve_with_a_pole_are_drawn():
    x = np.linspace(-3, 3, 60)
    low, high = only_axes(sq.ols("y ~ I(1/x)", {"x": x, "y": 1 / x + np.cos(9 * x)}).plot()).get_ylim()
    assert -40 < low < -19  # the curve reaches 66
    assert 19 < high < 40
    axes = only_axes(sq.ols("y ~ x", {"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]}).plot())
    assert_close(curve(axes)[1], np.linspace(1, 3, 200), rtol=1e-12)
    constant = only_axes(sq.ols("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [5.0] * 4}).plot())
    assert_close(curve(constant)[1], np.full(200, 5.0), rtol=1e-12)
    assert caption(constant) == ["n = 4."]  # R-squared has no value


def test_a_row_that_alone_decides_a_coefficient_leaves_no_bands():
    data = {"x": [0.0, 0.0, 0.0, 0.0, 1.0], "y": [1.0, 2.0, 1.5, 1.0, 5.0]}
    axes = only_axes(sq.ols("y ~ x", data).vcov("HC3").plot())
    assert curve(axes)[2] == []
    assert caption(axes)[1] == "The bands are not drawn where standard errors have no value."


def test_a_curve_that_the_rows_do_not_determine_is_not_drawn():
    data = {"x": [0.0, 1.0, 0.0, 1.0, 0.0], "y": [1.0, 2.0, 1.5, 1.0, 5.0]}
    axes = only_axes(sq.ols("y ~ x + I(x**2)", data).plot())  # x**2 equals x in every row
    _, mean, _ = curve(axes)
    assert np.isfinite(mean).tolist() == [True, *[False] * 198, True]
    assert caption(axes)[1] == "The curve is not drawn where the rows determine no value."


# Many rows


@functools.cache
def many(n=30_000, seed=3):
    r = np.random.default_rng(seed)
    x = r.gamma(2.0, 3.0, n)
    return {"x": x, "y": np.log(x) + r.standard_normal(n)}


def drawn_cells(axes):
    (mesh,) = [each for each in axes.collections if hasattr(each, "get_coordinates")]
    corners = mesh.get_coordinates()
    counts = np.ma.filled(mesh.get_array(), np.nan)
    return np.nan_to_num(counts.reshape(len(corners) - 1, -1)), corners[0, :, 0], corners[:, 0, 1]


def test_more_than_ten_thousand_rows_are_counted_in_cells():
    data = many()
    figure = sq.ols("y ~ log(x)", data).plot()
    figure._repr_png_()  # without a warning that the legend is slow
    axes = only_axes(figure)
    counts, x, y = drawn_cells(axes)
    assert 64 <= len(x) - 1 <= 128
    assert 64 <= len(y) - 1 <= 128
    expected, _, _ = np.histogram2d(data["y"], data["x"], bins=[y, x])
    assert np.array_equal(counts, expected)
    assert counts.sum() == 30_000
    assert caption(axes)[1] == f"Darker cells have more rows, up to {expected.max():,.0f}."
    points = [each for each in axes.collections if len(each.get_offsets()) > 1]
    assert points == []


@pytest.mark.parametrize("n", [500, 30_000])
def test_a_logarithm_of_a_wide_range_has_a_logarithmic_axis(n):
    r = np.random.default_rng(4)
    x = np.exp(3 * r.standard_normal(n))
    data = {"x": x, "y": np.log(x) + r.standard_normal(n)}
    axes = only_axes(sq.ols("y ~ log(x)", data).plot())
    assert axes.get_xscale() == "log"
    at, mean, _ = curve(axes)
    assert_close(np.diff(np.log(at)), np.log(x.max() / x.min()) / 199, rtol=1e-9)
    slope, level = np.polyfit(np.log(x), data["y"], 1)
    assert_close(mean, level + slope * np.log(at), rtol=1e-9, atol=1e-9)
    if n > 10_000:
        counts, x_edges, y_edges = drawn_cells(axes)
        assert np.array_equal(counts, np.histogram2d(data["y"], x, bins=[y_edges, x_edges])[0])
        assert 64 <= len(x_edges) - 1 <= 128
    for formula in ("y ~ x", "y ~ log(x) + x", "y ~ log(I(x + 1))"):
        assert only_axes(sq.ols(formula, data).plot()).get_xscale() == "linear"


def test_ten_thousand_rows_are_points_and_one_more_is_not():
    for n, has_points in ((10_000, True), (10_001, False)):
        rows = {name: values[:n] for name, values in many().items()}
        axes = only_axes(sq.ols("y ~ x", rows).plot())
        assert any(len(each.get_offsets()) == n for each in axes.collections) is has_points


def test_frequencies_count_in_the_cells():
    data = {**many(), "k": np.arange(30_000) % 4}
    axes = only_axes(sq.ols("y ~ x", data, frequencies="k").plot())
    counts, x, y = drawn_cells(axes)
    expected, _, _ = np.histogram2d(data["y"], data["x"], bins=[y, x], weights=data["k"])
    assert np.array_equal(counts, expected)


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_of_the_rows_and_any_order_of_merges_give_the_same_grid(seed):
    r = np.random.default_rng(seed)
    n, scale = int(r.integers(2, 400)), 10.0 ** r.integers(-30, 30)
    x, y = scale * r.standard_cauchy(n), r.choice([0.0, 1e15, -5e-7], n) + r.integers(0, 9, n)
    cuts = np.split(np.arange(n), np.unique(r.integers(1, n, 5)))
    most = int(r.choice([2, 16, 128, 256]))
    grids = [count_rows(x[rows], y[rows], None, most=most) for rows in cuts]
    while len(grids) > 1:
        i = int(r.integers(len(grids) - 1))
        grids[i : i + 2] = [merge_histograms(*grids[i : i + 2])]
    whole = count_rows(x, y, None, most=most)
    assert np.array_equal(grids[0].counts, whole.counts)
    for axis, values in enumerate((x, y)):
        edges = whole.edges(axis)
        assert np.array_equal(grids[0].edges(axis), edges)
        assert len(edges) - 1 <= most
        assert edges[0] <= values.min() <= values.max() <= edges[-1]
    assert whole.counts.sum() == n


def test_a_million_rows_take_the_memory_of_a_batch(monkeypatch):
    sizes = []
    original = drawn_rows.count_rows

    def record(x, y, frequencies, *, most):
        sizes.append(len(x))
        return original(x, y, frequencies, most=most)

    monkeypatch.setattr(drawn_rows, "count_rows", record)
    sq.ols("y ~ x", many(1_000_000)).plot()
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 2**18


def test_rows_that_changed_since_the_fit_are_refused():
    data = {"x": np.arange(20.0), "y": np.arange(20.0) % 3}
    fit = sq.ols("y ~ x", data)
    data["x"][3] = 100.0
    with pytest.raises(DataError, match="other values"):
        fit.plot()
    fit.plot("coefficients")  # needs no row


# Without rows


def test_a_loaded_fit_draws_its_line_without_rows_and_says_so(tmp_path):
    fit = sq.ols("mpg ~ displacement", CARS)
    fit.save(tmp_path / "fit.json")
    axes = only_axes(sq.load(tmp_path / "fit.json").plot())
    x, mean, _ = curve(axes)
    place, deviation = CAR_ROWS["displacement"].mean(), CAR_ROWS["displacement"].std(ddof=0)
    assert_close(x[[0, -1]], [place - 1.5 * deviation, place + 1.5 * deviation], rtol=1e-9)
    assert_close(mean, fit.predict({"displacement": x}), rtol=1e-12)
    assert " ".join(caption(axes)[1:]) == (
        "The rows are not available. The line is drawn within 1.5 standard deviations of the mean of displacement."
    )


@pytest.mark.parametrize("basis", ["poly(displacement, 3)", "bs(displacement, df=5)", "ns(displacement, df=3)"])
def test_a_loaded_spline_or_polynomial_is_drawn_over_the_range_of_the_rows(tmp_path, basis):
    sq.ols(f"mpg ~ {basis}", CARS).save(tmp_path / "fit.json")
    axes = only_axes(sq.load(tmp_path / "fit.json").plot())
    assert_close(curve(axes)[0][[0, -1]], [68, 455], rtol=1e-12)
    assert caption(axes)[1] == "The rows are not available. The line is drawn over their range."


@pytest.mark.parametrize(("function", "log", "power"), [("log", np.log, np.exp), ("log2", np.log2, np.exp2)])
def test_a_loaded_fit_of_a_logarithm_is_drawn_about_its_mean(tmp_path, function, log, power):
    sq.ols(f"mpg ~ {function}(displacement)", CARS).save(tmp_path / "fit.json")
    axes = only_axes(sq.load(tmp_path / "fit.json").plot())
    logs = log(CAR_ROWS["displacement"])
    ends = logs.mean() + np.array([-1.5, 1.5]) * logs.std(ddof=0)
    assert_close(curve(axes)[0][[0, -1]], power(ends), rtol=1e-9)
    assert f"within 1.5 standard deviations of the mean of {function}(displacement)." in " ".join(caption(axes))


def test_a_loaded_fit_that_does_not_have_the_range_refuses(tmp_path):
    sq.ols("mpg ~ sqrt(displacement)", CARS).save(tmp_path / "fit.json")
    fit = sq.load(tmp_path / "fit.json")
    with pytest.raises(DataError, match=r"does not have the range of 'displacement'.*kind='coefficients'"):
        fit.plot()
    assert fit.plot("coefficients").axes


def test_a_merged_fit_is_drawn():
    fits = [sq.ols("mpg ~ displacement", rows) for rows in (CAR_ROWS[:100], CAR_ROWS[100:])]
    axes = only_axes(fits[0].merge(fits[1]).plot())
    _, mean, _ = curve(axes)
    assert_close(mean, np.polyval(np.polyfit(CAR_ROWS["displacement"], CAR_ROWS["mpg"], 1), curve(axes)[0]), rtol=1e-9)


# Coefficients

FOUR = "mpg ~ weight + horsepower + acceleration + C(origin)"


def test_coefficients_have_the_limits_of_statsmodels():
    smf = need("statsmodels.formula.api")
    fit = sq.ols("mpg ~ acceleration + C(origin)", CARS)
    axes = only_axes(fit.plot())
    theirs = smf.ols("mpg ~ acceleration + C(origin)", CAR_ROWS).fit()
    drawn = intervals(axes)
    assert len(drawn) == 3
    expected = {name: (theirs.params[name], *theirs.conf_int().loc[name]) for name in theirs.params.index}
    for name, values in drawn.items():
        assert_close(values, expected[name], rtol=1e-9)
    assert axes.get_xlabel() == "coefficient, with limits at 95 %"
    assert caption(axes)[-1] == "The intercept is not drawn: {:#.4g} [{:#.4g}, {:#.4g}].".format(*expected["Intercept"])


def test_coefficients_of_different_units_are_drawn_per_standard_deviation():
    smf = need("statsmodels.formula.api")
    data = CAR_ROWS.dropna(subset=["weight", "horsepower", "acceleration", "mpg"])
    axes = only_axes(sq.ols("mpg ~ weight + horsepower + acceleration", data).plot())
    theirs = smf.ols("mpg ~ weight + horsepower + acceleration", data).fit()
    for name, values in intervals(axes).items():
        raw = np.array([theirs.params[name], *theirs.conf_int().loc[name]])
        assert_close(values, raw * data[name].std(ddof=0), rtol=1e-8)
    assert axes.get_xlabel().startswith("coefficient × standard deviation of its column")
    numbers = [text.get_text().replace("−", "-") for text in axes.texts if "[" in text.get_text()][1:]
    assert [float(text.split()[0]) for text in numbers] == [float(f"{x:.4g}") for x in theirs.params[1:]]


def test_a_dropped_column_is_named_and_has_no_interval():
    data = CAR_ROWS.assign(twice=2 * CAR_ROWS["weight"])
    axes = only_axes(sq.ols("mpg ~ weight + twice + acceleration", data).plot())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["weight", "twice", "acceleration"]
    assert "dropped" in [text.get_text() for text in axes.texts]


def test_an_intercept_alone_is_drawn():
    axes = only_axes(sq.ols("y ~ 1", {"y": [1.0, 3.0, 4.0]}).plot())
    values = np.array([1.0, 3.0, 4.0])
    quantile = 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))  # of t with 2 degrees of freedom, at 97.5 %
    half = quantile * values.std(ddof=1) / math.sqrt(3)
    assert_close(intervals(axes)["Intercept"], [values.mean(), values.mean() - half, values.mean() + half], rtol=1e-10)


def test_of_hundreds_of_coefficients_the_most_significant_are_drawn_and_the_caption_says_so():
    fit = sq.ols("mpg ~ C(name) + weight", CARS)
    axes = only_axes(fit.plot())
    strength = fit.tvalues.drop("Intercept").abs().sort_values(ascending=False)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == 60
    assert "weight" in names
    short = {name for name in strength.index[:60] if len(name) <= 40}
    assert short <= set(names)
    assert f"These are the 60 most significant of {len(fit.params):,} coefficients." in caption(axes)


def test_long_names_and_signs_of_tex_are_drawn_without_overlap():
    r = np.random.default_rng(0)
    names = [f"a very long name of a column with $x_{{{j}}}$ and \\alpha, number {j}" for j in range(30)]
    data = {name: r.standard_normal(99) for name in names} | {"y": r.standard_normal(99)}
    figure = sq.ols("y ~ .", data).plot()
    figure.canvas.draw()
    axes = only_axes(figure)
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == 30
    assert all(a.y0 > b.y1 for a, b in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    texts = [text.get_window_extent() for text in axes.texts]
    assert max(box.x1 for box in texts) <= figure.bbox.x1 + 1
    assert axes.get_window_extent().width > 300


def test_several_fits_are_side_by_side_with_a_legend():
    fit = sq.ols(FOUR, CARS)
    smaller = sq.ols("mpg ~ weight + C(origin)", CARS)
    axes = only_axes(sq.plot_coefficients(fit, fit.vcov("HC3"), smaller))
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [name.rpartition(", ")[2] for name in legend] == ["nonrobust", "HC3", "nonrobust"]
    assert legend[2] == "weight + C(origin), nonrobust"
    dots = [line for line in axes.lines if line.get_marker() in ("o", "s", "D")]
    assert [len(line.get_xdata()) for line in dots] == [5, 5, 3]
    assert len({line.get_marker() for line in dots}) == len({line.get_color() for line in dots}) == 3
    heights = np.sort(np.concatenate([line.get_ydata() for line in dots]))
    assert np.diff(heights).min() > 0.2  # none covers another
    wide, robust = (each.get_segments()[-1][:, 0] for each in axes.collections[:2])
    assert axes.get_yticklabels()[-1].get_text() == "acceleration"
    ratio = fit.vcov("HC3").bse["acceleration"] / fit.bse["acceleration"]
    assert_close(np.ptp(robust) / np.ptp(wide), ratio, rtol=1e-9)


def test_fits_can_be_named_and_equal_fits_are_numbered():
    fit = sq.ols("mpg ~ weight", CARS)

    def legend(*fits, **options):
        return [text.get_text() for text in only_axes(sq.plot_coefficients(*fits, **options)).get_legend().get_texts()]

    assert legend(fit, fit) == ["fit 1", "fit 2"]
    assert legend(fit, fit.vcov("HC0")) == ["nonrobust", "HC0"]
    assert [name.strip() for name in legend(fit, fit, names=["_first", "a $ b"])] == ["_first", r"a \$ b"]
    assert len(legend(*[fit] * 9)) == 9


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda fit: sq.plot_coefficients(), InputError, "There is no fit to draw"),
        (lambda fit: sq.plot_coefficients([fit, fit]), InputError, re.escape("sq.plot_coefficients(*fits)")),
        (lambda fit: sq.plot_coefficients(fit, 3), InputError, "3 of type int is not a fit"),
        (lambda fit: sq.plot_coefficients(fit, names="a"), OptionError, "names='a' does not name 1 fit"),
        (lambda fit: sq.plot_coefficients(fit, fit, names=["a", "a"]), OptionError, "a different text for each"),
        (lambda fit: sq.plot_coefficients(fit, fit, names=["a"]), OptionError, "does not name 2 fits"),
        (
            lambda fit: fit.plot("hist"),
            OptionError,
            "kind='hist' is not understood. Use 'line', 'coefficients', 'effects', 'residuals'",
        ),
        (lambda fit: fit.plot("line"), OptionError, "'weight' and 'origin', of which 'origin' has categories"),
        (lambda fit: fit.plot(ax=3), InputError, "ax is 'int'"),
        (lambda fit: fit.plot().save("figure"), OptionError, "ends in .png, .svg or .pdf"),
        (lambda fit: fit.plot().save("absent/figure.png"), DataError, "does not exist"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, error, text):
    fit = sq.ols("mpg ~ weight + C(origin)", CARS)
    with pytest.raises(error, match=text):
        call(fit)


# Where they appear


def test_a_figure_is_saved_shown_in_a_notebook_and_drawn_into_axes(tmp_path):
    plt = need("matplotlib.pyplot")
    fit = sq.ols("mpg ~ displacement", CARS)
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")):
        fit.plot().save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert fit.plot()._repr_png_().startswith(b"\x89PNG")
    _, axes = plt.subplots()
    assert fit.plot(ax=axes) is axes
    assert sq.plot_coefficients(fit, fit, ax=axes) is axes
    plt.close("all")


def test_a_figure_that_cannot_be_written_leaves_the_file_before_it(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"before")

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DataError, match="was not written: No space left"):
        sq.ols("mpg ~ displacement", CARS).plot().save(path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


# Without color vision


@pytest.mark.parametrize("vision", VISION)
def test_the_curve_stands_out_from_cells_and_bands_for_everybody(vision):
    line = cielab(COLORS[1], VISION[vision])
    grays = [f"#{round(255 * level):02x}" + 2 * f"{round(255 * level):02x}" for level in np.linspace(*_GRAYS, 20)]
    assert min(np.linalg.norm(cielab(gray, VISION[vision]) - line) for gray in grays) > 20
    rgb = np.array([int(COLORS[1][i : i + 2], 16) for i in (1, 3, 5)])
    shades = [255 - share * (255 - rgb) for share in (0.0, 0.1, 1 - 0.9 * 0.65, 1.0)]  # paper, prediction, confidence, line
    lightness = [cielab("#" + "".join(f"{round(c):02x}" for c in shade), VISION[vision])[0] for shade in shades]
    assert np.diff(lightness).max() < -3
