"""The tutorial on cars.csv, with the public functions: least squares, a training loop, learning rates, the certificate.

Each numbered step is one function, in the order in which they run.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely import datasets
from squarely.api import certify, ols, sweep, train
from squarely.errors import InputError
from squarely.numerics import round_down
from squarely.show import Curve, Panel, draw, save

if TYPE_CHECKING:
    import pandas as pd

    from squarely.certification import Certificate
    from squarely.descent import Sweep, Training
    from squarely.inference import Fit

FORMULA = "mpg ~ displacement"
LR, EPOCHS = 0.01, 1000
RATES = (0.01, 0.001, 0.0001)

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {str(folder)!r} cannot be created ({error.strerror}). Name another folder.") from error
    cars = datasets.cars()
    _look_at_the_data(cars, folder)
    fit = _least_squares(cars, folder)
    run = train(FORMULA, cars, lr=LR, epochs=EPOCHS)
    _standardize(cars, run)
    _training_loop(run, folder)
    rates = _learning_rates(cars, folder)
    certificate = _compare(cars, fit, run, folder)
    _what_next(cars, folder)
    return {"ols": fit.as_dict(), "train": run.as_dict(), "sweep": rates.as_dict(), "certify": certificate.as_dict()}


def _look_at_the_data(cars: pd.DataFrame, folder: Path) -> None:
    _print_section("1. The data", "398 cars of 1970 to 1982. Larger engines use more fuel; the relation is clear but not perfect.")
    print(cars.head().to_string(max_cols=6))
    print(f"[{len(cars)} rows x {len(cars.columns)} columns]")
    _save(folder, "1-scatter", draw([_panel("Fuel efficiency by engine displacement", cars)]))


def _least_squares(cars: pd.DataFrame, folder: Path) -> Fit:
    _print_section("2. Least squares", "The line with the smallest sum of squared residuals, from an exact solution.")
    fit = ols(FORMULA, cars)
    print(fit.summary())
    intercept, slope = fit.params.tolist()
    _print_section("3. The line", f"mpg = {slope:.4f} * displacement + {intercept:.4f}")
    panel = _panel(f"Least squares: R-squared {fit.rsquared:.3f}", cars, fit.predict(cars), "least squares")
    _save(folder, "2-least-squares", draw([panel]))
    return fit


def _standardize(cars: pd.DataFrame, run: Training) -> None:
    _print_section("4. Standardization", "Subtract the mean and divide by the (population) standard deviation, in both columns.")
    for name, shift, scale in zip(("displacement:", "mpg:"), run.problem.shift, run.problem.scale, strict=True):
        print(f"{name:<13} mean {np.float32(shift)!s}, sd {np.float32(scale)!s}")
    table = ((cars[["displacement", "mpg"]].to_numpy() - run.problem.shift) / run.problem.scale).astype(np.float32)
    x, y = table[:, :1], table[:, 1:]
    print(f"shapes: {x.shape}, {y.shape}")
    print(f"after:  means {x.mean():.1e} and {y.mean():.1e}, sds {x.std():.6f} and {y.std():.6f}")


def _training_loop(run: Training, folder: Path) -> None:
    _print_section("5. The training loop", "A linear layer with one input and one output is the same line: weight * x + bias.")
    print(f"{run.model}\ndevice: {run.options.device}; MSELoss; SGD with lr = {LR}, {EPOCHS} epochs.\n\nEach epoch does this:")
    for code, meaning in _LOOP:
        print(f"  {code}\n      {meaning}")
    print()
    for epoch, loss in list(enumerate(run.result.losses))[::50]:
        print(f"Epoch: {epoch}, Loss: {loss:.4f}")
    theory = run.theory
    eigenvalues = " and ".join(f"{value:g}" for value in theory.spectrum.values.tolist())
    _print_text(
        f"Theory predicts this curve without training: the Hessian has the eigenvalues {eigenvalues}, so at this learning "
        f"rate the error shrinks by {theory.rate:.4g} and the excess loss by {(theory.rate or 1.0) ** 2:.4f} an epoch (dashed). "
        f"Rates below {round_down(theory.lr_limit or 0.0)} converge. float32 cannot follow below about 1e-8."
    )
    _save(folder, "3-loss", run.plot())


def _learning_rates(cars: pd.DataFrame, folder: Path) -> Sweep:
    _print_section(
        "6. Learning rates",
        "Each rate gets a new model and a new optimizer: a model that is used again would continue from where it stopped.",
    )
    rates = sweep(FORMULA, cars, lr=RATES, epochs=EPOCHS)
    print(f"{rates.summary()}\n")
    print(rates.history.iloc[[0, 1, 2, -2, -1]].to_string())
    print(f"[{len(rates.history)} rows x 3 columns]")
    _save(folder, "4-learning-rates", rates.plot())
    return rates


def _compare(cars: pd.DataFrame, fit: Fit, run: Training, folder: Path) -> Certificate:
    _print_section("7. The two answers meet", "Predictions of both, in miles per gallon:")
    both = cars[["mpg", "displacement"]].assign(mpgNN=run.predict(cars), mpgOLS=fit.predict(cars))
    print(both.head().to_string())
    panels = [
        _panel("Trained: nn.Linear, SGD", cars, both["mpgNN"], "trained"),
        _panel("Solved: least squares", cars, both["mpgOLS"], "least squares", color=2),
    ]
    _save(folder, "5-comparison", draw(panels))
    second, third = both.iloc[1], both.iloc[2]
    slope = (third["mpgNN"] - second["mpgNN"]) / (third["displacement"] - second["displacement"])
    intercept = third["mpgNN"] - slope * third["displacement"]
    print(f"\nFrom two predictions:  slope {slope:.5f}, intercept {intercept:.4f}")
    print(f"From its weights:      slope {run.params['displacement']:.5f}, intercept {run.params['Intercept']:.4f}")
    print(f"Least squares:         slope {fit.params['displacement']:.5f}, intercept {fit.params['Intercept']:.4f}")
    certificate = certify(fit, run)
    print(f"\n{certificate}")
    _print_text(
        "Why both agree: they minimize the same function, the mean squared error of a line. Least squares sets its "
        "derivatives to zero and solves. Gradient descent moves down the same function, which has one minimum, and with a "
        "small enough learning rate it ends there."
    )
    _print_text(
        "Why least squares does not carry over to other networks: with hidden layers the derivatives are no longer linear in the "
        "weights, so there is no linear system to solve, and there is more than one minimum. Gradient descent needs only "
        "gradients and still works, but there the answer is not known beforehand. Here it is."
    )
    return certificate


def _what_next(cars: pd.DataFrame, folder: Path) -> None:
    path = folder / "cars.csv"
    cars.to_csv(path, index=False)
    _print_section("What to try next", f"The figures are in {folder}, as PNG and SVG, and a copy of the data in {path}.")
    print(f"More columns, with every statistic:\n  squarely ols 'mpg ~ displacement + weight' {path}")
    print(f"A learning rate above the limit:\n  squarely train '{FORMULA}' {path} --lr 1.1")
    print(f"A run that stops too early, and how many more epochs it needs:\n  squarely certify '{FORMULA}' {path} --lr 0.0001")
    print("Then your own file and formula; squarely --help lists the other commands.")


def _print_section(heading: str, text: str) -> None:
    print(f"\n{heading}\n{'-' * len(heading)}\n{textwrap.fill(text, 78)}")


def _print_text(text: str) -> None:
    print(f"\n{textwrap.fill(text, 78)}")


def _panel(title: str, cars: pd.DataFrame, predicted: pd.Series | None = None, label: str = "", color: int = 1) -> Panel:
    x, y = cars["displacement"].to_numpy(), cars["mpg"].to_numpy()
    marks = [Curve(x=x, y=y, color=0, dots=True)]
    if predicted is not None:
        order = np.argsort(x)
        marks.append(Curve(x=x[order], y=predicted.to_numpy()[order], label=label, color=color))
    return Panel(title=title, x_label="displacement (cubic inches)", y_label="mpg", marks=marks)


def _save(folder: Path, name: str, figure: Any) -> None:
    png, svg = save(figure, folder, name)
    print(f"Figure: {png} and {svg.name}")
