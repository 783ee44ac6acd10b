"""Every number that the reference tutorial prints, at its printed digits. Expected values are the tutorial's own."""

import io
import re
from contextlib import redirect_stdout

import numpy as np
import pytest

import squarely as sq
from squarely.cli import demo as demo_module
from squarely.cli.demo import run_demo
from tests.support.checks import CARS, assert_close, need

FORMULA = "mpg ~ displacement"
LOSSES = [1.2198, 0.4682, 0.3685, 0.3553, 0.3535] + [0.3533] * 16  # at epochs 0, 50, ..., 1000


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, CARS)


@pytest.fixture(scope="module")
def run():
    need("torch")
    return sq.train(FORMULA, CARS, lr=0.01, epochs=1000)


SUMMARY = """
Dep. Variable: mpg R-squared: 0.647
Model: OLS Adj. R-squared: 0.646
Method: Least Squares F-statistic: 725.0
Prob (F-statistic): 1.66e-91
Log-Likelihood: -1175.5
No. Observations: 398 AIC: 2355.
Df Residuals: 396 BIC: 2363.
Df Model: 1
Covariance Type: nonrobust
coef std err t P>|t| [0.025 0.975]
35.1748 0.492 71.519 0.000 34.208 36.142
-0.0603 0.002 -26.926 0.000 -0.065 -0.056
Omnibus: 41.373 Durbin-Watson: 0.919
Prob(Omnibus): 0.000 Jarque-Bera (JB): 60.024
Skew: 0.711 Prob(JB): 9.24e-14
Kurtosis: 4.264 Cond. No. 463.
[1] Standard Errors assume that the covariance matrix of the errors is correctly specified.
"""


@pytest.mark.parametrize("line", SUMMARY.strip().splitlines())
def test_summary_prints_what_the_tutorial_prints(fit, line):
    page = " ".join(str(fit.summary()).split())
    assert " ".join(line.split()) in page


def test_summary_fits_80_columns_and_names_rows_and_digits(fit):
    page = str(fit.summary())
    assert max(map(len, page.splitlines())) <= 80
    assert "398 rows read, 398 used." in page
    assert "Digits: 14" in page


def test_losses_from_the_tutorials_start():
    """From any start of loss 1.2198 all 21 printed losses come out: the spectrum is 2, 2, so only the distance matters."""
    need("torch")
    cars = sq.datasets.cars()
    optimum = np.corrcoef(cars["displacement"], cars["mpg"])[0, 1]  # the slope of the standardized line
    floor = 1 - optimum**2  # and its loss
    reach = np.sqrt(1.2198 - floor)
    for angle in (0.3, 2.0, 4.5):
        run = sq.train(FORMULA, CARS, lr=0.01, start=[reach * np.cos(angle), optimum + reach * np.sin(angle)])
        printed = [f"{loss:.4f}" for loss in run.history["loss"][::50]]
        assert printed == [f"{loss:.4f}" for loss in LOSSES]


def test_final_loss_and_history(run):
    assert f"{run.history['loss'].iloc[-1]:.4f}" == "0.3533"
    assert list(run.history.columns) == ["epoch", "loss", "predicted", "excess"]
    assert run.history["epoch"].tolist() == list(range(1001))
    assert_close(run.history["loss"], run.history["predicted"], rtol=2e-6)  # float32


def test_standardization(run):
    shift, scale = run.problem.shift.astype(np.float32), run.problem.scale.astype(np.float32)
    assert [str(x) for x in (shift[0], scale[0], shift[1], scale[1])] == ["193.42587", "104.13876", "23.514572", "7.806159"]


def test_predictions_slope_and_intercept(fit, run):
    cars = sq.datasets.cars()
    trained, solved = run.predict(cars), fit.predict(cars)
    assert [f"{x:.3f}" for x in trained[:5]] == ["16.668", "14.076", "16.005", "16.849", "16.969"]
    assert [f"{x:.6f}" for x in solved[:5]] == ["16.668052", "14.075908", "16.004945", "16.848899", "16.969464"]
    slope = (trained[2] - trained[1]) / (318.0 - 350.0)
    assert_close(slope, -0.06028228998184204, rtol=5e-6)  # the tutorial's own run, from another random start in float32
    assert_close(trained[2] - 318.0 * slope, 35.17472732067108, rtol=2e-6)


def test_trained_parameters_meet_least_squares(fit, run):
    gap = np.abs((run.params - fit.params) / fit.bse)
    assert gap.max() < 1e-3
    assert sq.certify(fit, run).agree


def test_float64_gap_is_the_one_that_theory_predicts(fit):
    need("torch")
    run = sq.train(FORMULA, CARS, lr=0.01, epochs=1000, dtype="float64")
    gap = ((run.params - fit.params) / fit.bse).to_numpy()
    assert np.abs(gap).max() < 1e-7
    assert np.abs(gap).max() > 1e-9  # it is predicted, not rounding
    assert_close(gap, run.prediction.gap / fit.bse, rtol=0, atol=1e-10)


def test_what_is_left_at_each_learning_rate():
    """1.8 % at 0.001 and 67 % at 0.0001 after 1,000 epochs, from (1 - 2 lr)^2000."""
    need("torch")
    sweep = sq.sweep(FORMULA, CARS)
    assert list(sweep.history.columns) == ["epoch", "loss", "lr"]
    assert sweep.history["lr"].unique().tolist() == [0.01, 0.001, 0.0001]
    assert_close(
        [run.prediction.remaining_fraction for run in sweep.runs[1:]], [(1 - 0.002) ** 2000, (1 - 0.0002) ** 2000], rtol=1e-9
    )
    for run in sweep.runs:
        assert_close([run.theory.lr_limit, run.theory.lr_best], [1.0, 0.5], rtol=1e-12)
        assert run.history["loss"].iloc[0] == sweep.runs[0].history["loss"].iloc[0]  # each has a new model with the same start


MESSAGES = [
    "chevrolet chevelle malibu",
    "The line: mpg = 35.1748 - 0.0602824 * displacement",
    *("The residuals bend", "Durbin-Watson is 0.92", "do not trust the standard errors"),
    *("193.42587", "104.13876", "23.514572", "7.806159", "(398, 1), (398, 1)"),
    *("in_features=1, out_features=1", "device: ", "curvature is 2 in every direction"),
    *("diverged", "condition number 28.8", "Verdict: agree"),
]
FIGURES = ["1-scatter", "2-least-squares", "3-loss", "4-learning-rates", "5-bowl", "6-comparison"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The numbers of the demo, what it printed, and its folder."""
    need("torch")
    need("matplotlib")
    folder, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with redirect_stdout(printed):
        numbers = run_demo(folder)
    return numbers, printed.getvalue(), folder


def test_demo_tells_everything_and_draws(demo):
    numbers, message, folder = demo
    words = " ".join(message.split())
    for expected in MESSAGES:
        assert expected in words
    assert max(map(len, message.replace(str(folder), "squarely-demo").splitlines())) <= 80
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{name}.png" for name in FIGURES), "cars.csv"]
    for name in FIGURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert numbers["certify"]["verdict"] == "agree"
    assert sq.ols(FORMULA, folder / "cars.csv").nobs == 398


def test_demo_avoids_noise(demo):
    """Each logged loss differs from the one before, no frame is cut, and no word is unexplained."""
    _, message, _ = demo
    table = re.search(r"Predicted by theory\n(.*?)\n\n", message, re.DOTALL)[1].splitlines()
    epochs, losses = zip(*((int(line.split()[0].replace(",", "")), line.split()[1]) for line in table), strict=True)
    assert (epochs[0], epochs[-1]) == (0, 1000)
    assert len(set(losses[:-1])) == len(losses) - 1
    assert losses[-1] == "0.353258"  # 1 - r^2 of the two columns
    assert "..." not in message
    assert "Hessian" not in message


def test_the_numbers_of_the_check_of_the_line_are_those_of_statsmodels(demo):
    smf, stattools = need("statsmodels.formula.api"), need("statsmodels.stats.stattools")
    cars = sq.datasets.cars()
    line = smf.ols(FORMULA, cars).fit()
    curve = smf.ols("mpg ~ cr(displacement, df=4) - 1 + model", cars).fit()  # the same space as a natural spline with df=3
    words = " ".join(demo[1].split())
    assert f"Durbin-Watson is {stattools.durbin_watson(line.resid):.2f}" in words
    assert f"from {line.rsquared:.3f} to " in words
    assert curve.rsquared == pytest.approx(0.808, abs=2e-3)  # other knots
    order = np.argsort(cars["displacement"], kind="stable").to_numpy()
    resid = line.resid.to_numpy()[order]
    assert resid[:49].mean() > 1  # above the line
    assert resid[150:250].mean() < -1
    assert resid[-49:].mean() > 1


@pytest.mark.parametrize(
    ("missing", "named"), [(["torch"], "PyTorch, which is"), (["torch", "matplotlib"], "PyTorch and matplotlib, which are")]
)
def test_demo_checks_what_it_needs_before_it_starts(missing, named, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_module, "find_spec", lambda name: None if name in missing else True)
    with pytest.raises(sq.errors.MissingExtraError, match=rf"The demo needs {named} .*squarely\[all\]"):
        run_demo(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert capsys.readouterr().out == ""
