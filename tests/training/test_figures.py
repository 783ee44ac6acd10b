"""Figures of runs and sweeps: what they draw and mark, where they appear, and that they can be read without color vision."""

import copy
import io
import itertools
import pickle
import sys
import types

import numpy as np
import pytest

import squarely as sq
from squarely.errors import InputError
from squarely.show.palette import COLORS
from tests.support.checks import CARS, assert_close, need

pytestmark = [pytest.mark.usefixtures("_libraries"), pytest.mark.diverges]
ONE, THREE = "mpg ~ displacement", "mpg ~ weight + horsepower + acceleration"


@pytest.fixture(scope="module")
def _libraries():
    need("torch")
    need("matplotlib")


def drawn(axes):
    """Give the curves and levels of a panel by their labels."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


# A run


def test_a_run_is_drawn_beside_theory_down_to_its_rounding():
    run = sq.train(ONE, CARS, lr=0.01, epochs=1000)
    left, right = run.plot().axes
    lines, optimum = drawn(left), f"optimum {run.prediction.floor:.4g}"
    assert set(lines) == {"measured, float32", "predicted by theory", optimum}
    assert_close(lines["measured, float32"].get_ydata(), run.history["loss"], rtol=0)
    assert_close(
        lines[optimum].get_ydata(),
        1 - np.corrcoef(*sq.datasets.cars()[["displacement", "mpg"]].T.to_numpy())[0, 1] ** 2,
        rtol=1e-12,
    )
    lines = drawn(right)
    rounding = np.finfo("float32").eps * run.prediction.floor
    assert legend(right)[-1] == f"rounding of float32, {rounding:.1g}"
    measured = lines["measured, float32"].get_ydata()
    assert measured.shape == (1001,)  # no hole where the loss is at the optimum or below it
    assert_close(measured.min(), rounding, rtol=1e-6)
    assert right.get_yscale() == "log"
    assert rounding / 1000 < right.get_ylim()[0] < rounding
    assert run.prediction.excess[-1] < right.get_ylim()[0]  # the prediction leaves the panel


@pytest.mark.parametrize(("options", "end"), [({}, 10), ({"lr": 0.01}, 1000), ({"batch_size": 50, "lr": 0.1}, 1000)])
def test_a_run_that_is_soon_at_the_optimum_is_drawn_without_its_flat_end(options, end):
    # With one predictor the best rate, 0.5, is there after one epoch.
    for axes in sq.train(ONE, CARS, epochs=1000, **options).plot().axes:
        assert drawn(axes)["measured, float32"].get_xdata()[-1] == end
        label = "epoch (10 of 1,000; the others are at the optimum)" if end == 10 else "epoch"
        assert axes.get_xlabel() == label


def test_a_run_without_a_predicted_curve_has_one_panel_with_plain_labels():
    adam = sq.train(ONE, CARS, epochs=30, optimizer="adam", lr=0.1)
    (axes,) = adam.plot().axes
    assert legend(axes) == ["measured, float32", f"optimum {sq.train(ONE, CARS, epochs=2).prediction.floor:.4g}"]
    huber = sq.train(ONE, CARS, epochs=30, loss="huber", lr=0.1)
    figure = huber.plot()
    (axes,) = figure.axes
    assert legend(axes) == ["measured, float32"]  # another loss has its optimum elsewhere
    figure.canvas.draw()
    assert all(float(label.get_text()) >= 0 for label in axes.get_yticklabels())  # no powers of ten


def test_the_best_epoch_and_an_early_end_are_marked():
    run = sq.train(THREE, CARS, lr=0.05, epochs=3000, validation=0.3, stop="validation", patience=30)
    left, right = run.plot().axes
    best, last = run.result.stop_reason.restored_epoch, len(run.history) - 1
    assert best < last < 3000
    for axes in (left, right):
        assert texts(axes) == [f"best, epoch {best}"]
        assert drawn(axes)[f"stopped, epoch {last}"].get_xdata()[0] == last
    (marker,) = [line for line in left.lines if line.get_marker() == "o"]
    assert marker.get_ydata() == [run.history["val_loss"].min()]


def test_a_run_that_diverges_has_one_panel_and_names_the_limit():
    (axes,) = sq.train(ONE, CARS, lr=10, epochs=100).plot().axes
    assert axes.get_yscale() == "log"
    assert texts(axes) == ["The run diverged at epoch 5: lr = 10, and the limit is 1."]


@pytest.mark.parametrize(
    "options", [{"lr": 0.5, "epochs": 20}, {"lr": 0.01, "epochs": 1}, {"lr": 0.01, "epochs": 5, "batch_size": 16}]
)
def test_a_run_of_any_length_can_be_drawn(options):
    _, right = sq.train(ONE, CARS, **options).plot().axes
    low, high = right.get_ylim()
    assert 0 < low < high < 100


def test_a_perfect_fit_can_be_drawn():
    left, right = sq.train("y ~ x", {"x": np.arange(50.0), "y": 3 * np.arange(50.0) + 1}, lr=0.05, epochs=200).plot().axes
    assert left.get_yscale() == right.get_yscale() == "log"


# A sweep


def test_few_runs_have_their_labels_at_their_ends():
    sweep = sq.sweep(ONE, CARS, lr=[0.01, 0.001, 0.0001], epochs=1000)
    (axes,) = sweep.plot().axes
    assert texts(axes) == ["lr = 0.01 (best)", "lr = 0.001", "lr = 0.0001"]  # from the lowest end up
    heights = [text.get_position()[1] for text in axes.texts]
    assert np.diff(heights).min() > 0.05
    assert legend(axes) == ["predicted by theory", f"optimum {sweep.best.prediction.floor:.4g}"]
    assert len([line for line in axes.lines if line.get_color() == "black"]) == 3  # a prediction for each


def test_a_run_that_diverges_leaves_the_panel_to_the_others():
    sweep = sq.sweep(ONE, CARS, lr=[0.1, 0.3, 5.0], epochs=30)
    (axes,) = sweep.plot().axes
    first = sweep.runs[0].result.losses[0]
    low, top = axes.get_ylim()
    assert 0.0 < low < sweep.runs[1].result.losses[-1] < first < top < 1.2 * first
    assert "lr = 5 (diverged)" in legend(axes)
    (marker,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert marker.get_ydata() == [top]
    assert 0 < marker.get_xdata()[0] < 1


def test_when_every_run_diverges_all_are_drawn():
    (axes,) = sq.sweep(ONE, CARS, lr=[2.0, 3.0], epochs=100).plot().axes
    assert axes.get_yscale() == "log"
    assert texts(axes) == ["lr = 2 (diverged)", "lr = 3 (diverged)"]
    (axes,) = sq.sweep(ONE, CARS, lr=np.linspace(2, 3, 13), epochs=50).plot().axes
    assert texts(axes) == ["Every run diverged.", "diverged"]
    assert len([line for line in axes.lines if line.get_marker() == "x"]) == 13


def test_a_long_legend_is_beside_the_panel():
    figure = sq.sweep(ONE, CARS, lr=[0.1, 0.2], momentum=[0.0, 0.3, 0.6, 0.9], weight_decay=[0.0, 0.01], epochs=5).plot()
    (axes,) = figure.axes
    figure.canvas.draw()
    assert len(legend(axes)) == 10
    assert axes.get_legend().get_window_extent().x0 > axes.get_window_extent().x1
    assert axes.get_legend().get_window_extent().x1 <= figure.bbox.x1
    assert axes.get_window_extent().width > 400


def test_a_run_whose_second_loss_is_infinite_has_a_dot():
    (axes,) = sq.train(ONE, CARS, lr=1e30, epochs=20).plot().axes
    assert axes.get_yscale() == "log"
    assert drawn(axes)["measured, float32"].get_marker() == "o"


def test_a_figure_can_be_copied():
    figure = sq.sweep(ONE, CARS, lr=np.geomspace(0.01, 0.1, 13), epochs=3).plot()
    for other in (pickle.loads(pickle.dumps(figure)), copy.deepcopy(figure)):  # noqa: S301
        assert other._repr_png_() == figure._repr_png_()


def test_seeds_share_a_color():
    sweep = sq.sweep(ONE, CARS, lr=[0.3, 0.1, 0.03], batch_size=[50, None], seed=range(4), epochs=20)
    (axes,) = sweep.plot().axes
    best = sweep.best
    assert [name for name in legend(axes) if name.startswith("batch")] == ["batch_size = 50", "batch_size = 398"]
    lines = drawn(axes)
    medians = sweep.frame.query("batch_size == 50").groupby("lr")["last_loss"].median()
    assert_close(lines["batch_size = 50"].get_ydata(), medians, rtol=0)
    assert sorted(len(points.get_offsets()) for points in axes.collections) == [12, 12]
    (note, _) = texts(axes)
    described = f"Best: lr = {best.options.lr:g}, batch_size = {best.options.batch_size or 398}."
    assert note == f"{described} A dot is a run, a line the median of 4 seeds."
    assert lines["batch_size = 50"].get_color() != lines["batch_size = 398"].get_color()
    (axes,) = sq.sweep(ONE, CARS, lr=[0.1, 0.2], seed=[0, 1], epochs=3).plot().axes
    assert {line.get_color() for line in axes.lines if line.get_linewidth() > 2} == {"#440154", "#5ec962"}


def test_many_runs_show_where_they_ended_and_the_limit():
    sweep = sq.sweep(ONE, CARS, lr=np.geomspace(0.001, 2, 10), seed=[0, 1], epochs=50)
    figure = sweep.plot()
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert_close(drawn(axes)["limit in theory: 1"].get_xdata(), [1.0, 1.0], rtol=1e-9)
    assert "diverged" in texts(axes)
    (crosses,) = [line.get_xdata() for line in axes.lines if line.get_marker() == "x"]
    assert_close(crosses, [2.0], rtol=1e-12)
    (axes,) = sq.sweep(ONE, CARS, lr=0.1, seed=range(13), epochs=3).plot().axes
    assert axes.get_xlabel() == "seed"


@pytest.mark.parametrize("rates", [np.geomspace(0.03, 0.3, 13), np.geomspace(1e-4, 3, 25), np.linspace(0.1, 0.15, 13), [0.1] * 1])
def test_tick_labels_are_plain_and_do_not_overlap(rates):
    figure = sq.sweep(ONE, CARS, lr=rates, momentum=[0.0, 0.5], seed=range(4), epochs=10).plot()
    (axes,) = figure.axes
    figure.canvas.draw()
    ticks = [t for t in axes.get_xticklabels(which="both") if t.get_text() and 0 <= _part(axes, t) <= 1]
    boxes = sorted((t.get_window_extent().x0, t.get_window_extent().x1) for t in ticks)
    assert len(boxes) >= 2
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(boxes))
    assert not any("times" in t.get_text() for t in ticks)


def _part(axes, tick):
    return axes.transAxes.inverted().transform(axes.transData.transform((tick.get_position()[0], 1)))[0]


# Where it appears


def test_a_figure_leaves_pyplot_as_it_is():
    plt = need("matplotlib.pyplot")
    plt.close("all")
    plt.switch_backend("agg")
    plt.figure(7)
    before = (plt.get_fignums(), plt.gcf(), dict(plt.rcParams), plt.get_backend())
    run = sq.train(ONE, CARS, epochs=3)
    run.plot().savefig(io.BytesIO())
    assert run.plot()._repr_png_().startswith(b"\x89PNG\r\n\x1a\n")
    with pytest.warns(UserWarning, match=r"backend is 'agg'. Save the figure with .save\('figure.png'\)"):
        run.plot().show()
    run.plot().show(warn=False)
    assert (plt.get_fignums(), plt.gcf(), dict(plt.rcParams), plt.get_backend()) == before
    plt.close("all")


def test_the_users_axes_are_drawn_into_and_returned():
    plt = need("matplotlib.pyplot")
    run = sq.train(ONE, CARS, epochs=3)
    figure, (left, right) = plt.subplots(1, 2)
    assert run.plot(ax=left) is left
    assert left.get_title() == "Loss by epoch, lr = " + f"{run.options.rate:g}"
    assert len(right.lines) == 0
    both = np.array([left, right])
    assert run.plot(ax=both) is both
    assert right.get_title() == "Excess over the optimum"
    assert sq.sweep(ONE, CARS, lr=[0.1, 0.2], epochs=3).plot(ax=right) is right
    assert figure.axes == [left, right]
    for wrong, text in ((3, "ax is 'int'"), ([left] * 3, "ax is 3 pairs"), ([], "ax is 'list'"), ("left", "ax is 'str'")):
        with pytest.raises(InputError, match=text):
            run.plot(ax=wrong)
    plt.close("all")


def test_show_opens_a_window_and_waits_until_it_is_closed(monkeypatch):
    """A backend with windows that records what it is asked for, in place of Tk or Qt."""
    from matplotlib._pylab_helpers import Gcf
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    plt = need("matplotlib.pyplot")
    plt.close("all")
    calls = []

    class Manager(FigureManagerBase):
        def show(self):
            calls.append(("show", plt.get_fignums()))

        @classmethod
        def start_main_loop(cls):
            calls.append(("wait", plt.get_fignums()))
            Gcf.destroy(Gcf.get_active())  # the user closes the window

    class Canvas(FigureCanvasAgg):
        required_interactive_framework = "tk"
        manager_class = Manager

    module = types.ModuleType("windows")
    module.FigureCanvas = Canvas
    monkeypatch.setitem(sys.modules, "windows", module)
    monkeypatch.setattr("matplotlib.get_backend", lambda: "module://windows")
    plt.figure(7)
    mine, figure = plt.gcf(), sq.train(ONE, CARS, epochs=3).plot()
    figure.show()
    assert calls == [("show", [1]), ("wait", [1])]  # the backend waits for this window alone
    assert (plt.get_fignums(), plt.gcf()) == ([7], mine)
    plt.ion()
    figure.show()
    plt.ioff()
    assert calls[2:] == [("show", [7])]  # in interactive mode a window does not wait, and pyplot does not manage it
    figure.savefig(io.BytesIO())
    plt.close("all")


# Without color vision

# Machado, Oliveira and Fernandes (2009), doi:10.1109/TVCG.2009.113: matrices of severity 1.0, on linear RGB.
VISION = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def cielab(color, vision):
    """Return L*, a*, b* of a color as it is perceived."""
    c = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    ratio = TO_XYZ @ np.clip(np.asarray(vision) @ linear, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def differences(colors, vision):
    return [np.linalg.norm(cielab(a, vision) - cielab(b, vision)) for a, b in itertools.combinations(colors, 2)]


def test_the_simulation_finds_what_the_colors_of_before_confused():
    red_and_green = differences(["#d1495b", "#2e8b57"], VISION["deuteranopia"])
    assert_close(red_and_green, [9.3], rtol=0.01)  # as a review measured it


@pytest.mark.parametrize("vision", VISION)
def test_colors_differ_for_everybody(vision):
    assert min(differences([*COLORS, "#000000"], VISION[vision])) > 20
    assert min(differences([*COLORS[:3], "#000000"], VISION[vision])) > 35  # the ones that are used most


def test_shades_differ_in_lightness():
    from squarely.show.palette import pick_shade

    for vision in VISION.values():
        lightness = [cielab(pick_shade(i / 3), vision)[0] for i in range(4)]
        assert np.diff(lightness).min() > 10
