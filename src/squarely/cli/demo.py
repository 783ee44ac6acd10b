"""The tutorial on cars.csv, with the public functions: least squares, a training loop, learning rates, the certificate.

Each numbered step is one function, in the order in which they run.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely import certify, datasets
from squarely.api import ols, sweep, train
from squarely.cli.demo_figures import bowl_panel, gap_panel, lines_panel, rates_panels, residual_panel, scatter_panel
from squarely.cli.output import print_text
from squarely.errors import InputError, MissingExtraError
from squarely.numerics import Array, round_down
from squarely.show import draw, save, terminal_width

if TYPE_CHECKING:
    import pandas as pd

    from squarely.certification import Certificate
    from squarely.descent import Sweep, Training
    from squarely.inference import Fit

FORMULA = "mpg ~ displacement"
CURVE = "mpg ~ ns(displacement, df=3) + model"
TWO_PREDICTORS = "mpg ~ displacement + weight"
LR, EPOCHS = 0.01, 1000
RATES = (1.1, 0.01, 0.001, 0.0001)
BOWL_RATES, BOWL_EPOCHS, BOWL_START = (0.1, 0.5), 30, (0.0, 0.9, -1.2)
_WIDEST = 78  # columns of text
_LOGGED = (0, 10, 50, 100, 200, 500, 1000)  # epochs

_LOOP = (
    ("optimizer.zero_grad()", "sets the gradients to zero; otherwise those of earlier epochs add up"),
    ("outputs = model(inputs)", "predicts every row with the current weight and bias"),
    ("loss = criterion(outputs, labels)", "measures the mean squared error of these predictions"),
    ("losses.append(loss.item())", "logs the loss before the update"),
    ("loss.backward()", "computes the gradient of the loss for weight and bias"),
    ("optimizer.step()", "moves both against their gradients, by lr times the gradient"),
)


def run_demo(folder: Path) -> Mapping[str, Any]:
    """Print the tutorial, write its figures to `folder`, and return every number as plain Python values."""
    missing = [name for module, name in (("torch", "PyTorch"), ("matplotlib", "matplotlib")) if find_spec(module) is None]
    if missing:
        raise MissingExtraError("The demo", " and ".join(missing), "all")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {str(folder)!r} cannot be created ({error.strerror}). Name another folder.") from error
    cars = datasets.cars()
    _look_at_the_data(cars, folder)
    fit = _least_squares(cars)
    _check_the_line(cars, fit, folder)
    weights: list[list[float]] = []
    run = train(FORMULA, cars, lr=LR, epochs=EPOCHS, callbacks=lambda epoch: _log_weights(epoch, weights))
    _standardize(cars, run)
    _training_loop(run, folder)
    rates = _learning_rates(cars, folder)
    _two_predictors(cars, folder)
    certificate = _compare(cars, fit, run, np.array(weights), folder)
    _what_next(cars, folder)
    return {"ols": fit.as_dict(), "train": run.as_dict(), "sweep": rates.as_dict(), "certify": certificate.as_dict()}


def _log_weights(epoch: Any, weights: list[list[float]]) -> None:
    """Append bias and weights of an epoch."""
    layer = epoch.model.linear
    weights.append([*layer.bias.tolist(), *layer.weight[0].tolist()])


def _look_at_the_data(cars: pd.DataFrame, folder: Path) -> None:
    _print_section("1. The data", f"{len(cars)} cars of the model years 1970 to 1982. Larger engines use more fuel.")
    print_text(cars[["name", "model", "displacement", "weight", "mpg"]].head().to_string(index=False))
    _save(folder, "1-scatter", draw([scatter_panel(cars, title="Fuel efficiency by engine size")]))


def _least_squares(cars: pd.DataFrame) -> Fit:
    _print_section("2. Least squares", "The line with the smallest sum of squared residuals, from an exact solution.")
    fit = ols(FORMULA, cars)
    print_text(fit.summary())
    intercept, slope = fit.params.tolist()
    print_text(f"\nThe line: mpg = {intercept:.6g} - {-slope:.6g} * displacement")
    return fit


def _check_the_line(cars: pd.DataFrame, fit: Fit, folder: Path) -> None:
    curve = ols(CURVE, cars)
    _print_section("3. Is a straight line right?", "No. It is the best line, but the data do not follow a line:")
    _print_item("The residuals bend: small and large engines are above the line, those between are below it (right panel).")
    _print_item(
        f"Durbin-Watson is {fit.durbin_watson:.2f}; for independent errors it is near 2. The file is in order of model year, and "
        "neighbors have similar residuals. One reason: cars became more efficient."
    )
    _print_item("Prob(JB) is tiny: the residuals are not normal.")
    _print_text(
        "So do not trust the standard errors of the line. A curve and the year describe the data better: "
        f"'{CURVE}' raises R-squared from {fit.rsquared:.3f} to {curve.rsquared:.3f} and Durbin-Watson to "
        f"{curve.durbin_watson:.2f}. This tutorial stays with the line: the question is whether two methods find the same one."
    )
    line = scatter_panel(cars, fit, title=f"Least squares: R-squared {fit.rsquared:.3f}")
    _save(folder, "2-least-squares", draw([line, residual_panel(cars, fit)]))


def _standardize(cars: pd.DataFrame, run: Training) -> None:
    _print_section("4. Standardization", "Subtract the mean and divide by the (population) standard deviation, in both columns.")
    for name, shift, scale in zip(("displacement:", "mpg:"), run.problem.shift, run.problem.scale, strict=True):
        print_text(f"{name:<13} mean {np.float32(shift)!s}, sd {np.float32(scale)!s}")
    table = ((cars[["displacement", "mpg"]].to_numpy() - run.problem.shift) / run.problem.scale).astype(np.float32)
    x, y = table[:, :1], table[:, 1:]
    print_text(f"shapes: {x.shape}, {y.shape}")
    print_text(f"after:  means {x.mean():.1e} and {y.mean():.1e}, sds {x.std():.6f} and {y.std():.6f}")


def _training_loop(run: Training, folder: Path) -> None:
    _print_section("5. The training loop", "A linear layer with one input and one output is the same line: weight * x + bias.")
    print_text(
        f"{run.model}\ndevice: {run.options.device}; MSELoss; SGD with lr = {LR}, {EPOCHS:,} epochs.\n\nEach epoch does this:"
    )
    for code, meaning in _LOOP:
        print_text(f"  {code}\n      {meaning}")
    print_text("\n Epoch       Loss    Above the optimum   Predicted by theory")
    assert run.prediction is not None  # noqa: S101  # SGD on all rows has a curve
    for epoch in _LOGGED:
        loss, excess = run.result.losses[epoch], run.prediction.excess[epoch]
        print_text(f"{epoch:6,} {loss:10.6f}{loss - run.prediction.floor:21.2e}{excess:22.2e}")
    theory = run.theory
    _print_text(
        "Theory predicts this curve without training. The loss is a bowl, and its curvature is "
        f"{theory.spectrum.largest_eigenvalue:g} in every direction. So at this learning rate each epoch multiplies the error by "
        f"{theory.rate:.4g} and the loss above the optimum by {(theory.rate or 1.0) ** 2:.4f} (dashed in the figure). Rates below "
        f"{round_down(theory.lr_limit or 0.0)} converge. float32 cannot resolve the loss below about 1e-8, where the "
        "measured curve ends."
    )
    _save(folder, "3-loss", run.plot())


def _learning_rates(cars: pd.DataFrame, folder: Path) -> Sweep:
    _print_section(
        "6. Learning rates",
        "Four rates, one above the limit. Each gets a new model and a new optimizer: a model that is used again would continue "
        "from where it stopped.",
    )
    rates = sweep(FORMULA, cars, lr=RATES, epochs=EPOCHS)
    print_text(f"{rates.summary()}\n\nLoss by epoch and learning rate:")
    table = rates.history.pivot(index="epoch", columns="lr", values="loss")[list(RATES)].loc[[0, 1, 2, 10, 100, 1000]]
    table = table.rename(columns="lr = {:g}".format).rename_axis(columns=None).reset_index()
    print_text(table.to_string(index=False, float_format=lambda x: f"{x:.6g}", na_rep="stopped", col_space=12))
    _save(folder, "4-learning-rates", draw(rates_panels(rates)))
    return rates


def _two_predictors(cars: pd.DataFrame, folder: Path) -> None:
    exact, panels = ols(TWO_PREDICTORS, cars), []
    for lr in BOWL_RATES:
        weights: list[list[float]] = []
        run = train(
            TWO_PREDICTORS,
            cars,
            lr=lr,
            epochs=BOWL_EPOCHS,
            start=BOWL_START,
            callbacks=lambda epoch, weights=weights: _log_weights(epoch, weights),
        )
        optimum = exact.params.to_numpy()[1:] * run.problem.scale[:-1] / run.problem.scale[-1]
        panels.append(bowl_panel(run, np.array(weights)[:, 1:], optimum))
    lam = run.theory.spectrum
    _print_section(
        "7. Two predictors: the bowl", f"With weight as a second predictor, '{TWO_PREDICTORS}', the bowl has two slopes."
    )
    _print_text(
        f"Heavy cars have large engines, so the bowl is a long valley: its curvature is {lam.largest_eigenvalue:.3g} across and "
        f"{lam.smallest_eigenvalue:.3g} along it. Their ratio, the condition number {run.theory.kappa:.3g}, decides how long "
        f"training takes: the steep direction limits the learning rate to {round_down(run.theory.lr_limit or 0.0, 3)}, and the "
        "flat one then needs many steps."
    )
    _print_text(
        f"The figure shows the loss as level lines, and {BOWL_EPOCHS} steps from one start. At lr = {BOWL_RATES[0]:g} they creep "
        f"along the valley. At lr = {BOWL_RATES[1]:g}, the best rate, they jump from side to side and get nearer."
    )
    _save(folder, "5-bowl", draw(panels))


def _compare(cars: pd.DataFrame, fit: Fit, run: Training, weights: Array, folder: Path) -> Certificate:
    _print_section("8. The two answers meet", "Predictions of both, in miles per gallon:")
    both = cars[["name", "displacement", "mpg"]].assign(trained=run.predict(cars), exact=fit.predict(cars))
    print_text(both.head().to_string(index=False))
    certificate = certify(fit, run)
    print_text(f"\n{certificate}")
    _print_text(
        "Why both agree: they minimize the same function, the mean squared error of a line. Least squares sets its derivatives to "
        "zero and solves. Gradient descent moves down the same function, which has one minimum, and with a small enough learning "
        "rate it ends there."
    )
    _print_text(
        "Why least squares does not carry over to other networks: with hidden layers the derivatives are no longer linear in the "
        "weights, so there is no linear system to solve, and there is more than one minimum. Gradient descent needs only gradients "
        "and still works, but the answer is not known beforehand. Here it is."
    )
    by_epoch = np.abs(np.array([run.problem.to_data_units(w) for w in weights]) - fit.params.to_numpy()) / fit.bse.to_numpy()
    gaps = dict(zip(fit.params.index, by_epoch.T, strict=True))
    _save(folder, "6-comparison", draw([lines_panel(cars, fit, run), gap_panel(gaps, certificate)]))
    return certificate


def _what_next(cars: pd.DataFrame, folder: Path) -> None:
    path = folder / "cars.csv"
    cars.to_csv(path, index=False)
    _print_section("What to try next", f"The figures are in {folder}, and a copy of the data is {path}.")
    print_text(f"More columns, with every statistic:\n  squarely ols 'mpg ~ displacement + weight' {path}")
    print_text(f"A learning rate above the limit:\n  squarely train '{FORMULA}' {path} --lr 1.1")
    print_text(f"A run that stops too early, and how many more epochs it needs:\n  squarely certify '{FORMULA}' {path} --lr 0.0001")
    print_text("Then your own file and formula; squarely --help lists the other commands.")


def _print_section(heading: str, text: str) -> None:
    print_text(f"\n{heading}\n{'-' * len(heading)}\n{_wrap(text)}")


def _print_text(text: str) -> None:
    print_text(f"\n{_wrap(text)}")


def _print_item(text: str) -> None:
    print_text(_wrap(text, first="* ", rest="  "))


def _wrap(text: str, *, first: str = "", rest: str = "") -> str:
    """Break lines where a page of results does, on a wide terminal earlier."""
    width = min(terminal_width(), _WIDEST)
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)  # a path stays whole


def _save(folder: Path, name: str, figure: Any) -> None:
    print_text(f"\nFigure: {save(figure, folder, name)}")
