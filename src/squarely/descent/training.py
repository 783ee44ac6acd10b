"""The Training: one finished run, with what theory says of it beside what it did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely import theory
from squarely.data import RowAccount, Source, frame, open_rows, series
from squarely.descent.code import script
from squarely.descent.foresight import Prediction, RunTheory, foreknow, predict
from squarely.descent.loop import LinearRegression, Loop, run_loop, standardised_rows
from squarely.descent.recipe import Recipe, checked
from squarely.design import Design, linear_predictor
from squarely.errors import DataError, NumericalError
from squarely.moments import Moments, Standardised, standardise
from squarely.numerics import Array
from squarely.show import Curve, Page, Pairs, Panel, Table, draw

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure


_LOSS = "MSE (standardised)"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Training:
    """One training run. Made by `squarely.train`.

    Attributes
    ----------
    recipe : every choice that decided the run.
    loop : the torch objects, the logged losses, the coefficients before and after.
    problem : the standardised columns that the loop saw.
    moments, source : the rows it saw.
    theory : limits and rates from the spectrum.
    prediction : the curve that theory predicts, or None where it has no closed form.
    """

    recipe: Recipe
    loop: Loop
    problem: Standardised
    moments: Moments
    source: Source
    theory: RunTheory
    prediction: Prediction | None = None

    @property
    def params(self) -> pd.Series:
        """The trained coefficients, in the units of the data."""
        return series(self.coefficients, list(self.problem.names))

    @property
    def coefficients(self) -> Array:
        """The trained coefficients (p,) in the units of the data."""
        return self.problem.to_units(self.loop.end)

    @property
    def model(self) -> LinearRegression:
        """The trained torch module; it works on standardised columns."""
        return self.loop.model

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The torch optimiser, with its state after the last update."""
        return self.loop.optimizer

    @property
    def design(self) -> Design:
        """The frozen design."""
        return self.moments.design

    @property
    def rows(self) -> RowAccount:
        """Rows read, used and dropped, by column and cause."""
        return self.moments.account

    @property
    def status(self) -> str:
        """How the run ended: "finished" or "diverged"."""
        return "diverged" if self.loop.diverged else "finished"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What theory had against the recipe, and what went wrong."""
        return self.theory.warnings + ((self._divergence(),) if self.loop.diverged else ())

    @property
    def history(self) -> pd.DataFrame:
        """The loss at each epoch, in standardised units: columns epoch, loss, predicted (NaN where theory has no curve)."""
        return frame({"epoch": np.arange(len(self.loop.losses)), "loss": self.loop.losses, "predicted": self._predicted()})

    def predict(self, new: object, *, unseen: str = "error") -> Any:
        """Predict the response for new rows, in its own unit: one value a row, in the library that the rows are in.

        Rows with a gap in a predictor give NaN; `unseen` says what becomes of a level that the training has not met: "error"
        names it, "nan" predicts NaN.
        """
        source, problem, w = open_rows(new, self.design.formula.names), self.problem, self.loop.end
        kept, centre = range(len(self.design.columns)), problem.centre[:-1]
        made = linear_predictor(self.design, source, kept, problem.level(w), problem.slopes(w), centre=centre, unseen=unseen)
        return source.column(np.concatenate([np.empty(0), *made]), "predicted")

    def plot(self) -> Figure:
        """Draw the measured loss with the predicted curve on it, and, where the optimum is known, the excess over it."""
        epochs, losses = np.arange(len(self.loop.losses)), self.loop.losses
        title = f"Loss by epoch, lr = {self.recipe.lr:g}"
        if self.prediction is None:
            return draw([Panel(title=title, x_label="epoch", y_label=_LOSS, marks=[Curve(x=epochs, y=losses)], log_y=True)])
        floor, predicted = self.prediction.floor, self.prediction.excess[: len(losses)]
        measured = np.where(losses > floor, losses - floor, np.nan)  # below the optimum is rounding: it has no logarithm
        label = f"measured, {self.recipe.dtype}"
        loss = [Curve(x=epochs, y=losses, label=label), _predicted_curve(epochs, floor + predicted)]
        excess = [Curve(x=epochs, y=measured, label=label), _predicted_curve(epochs, predicted)]
        return draw(
            [
                Panel(title=title, x_label="epoch", y_label=_LOSS, marks=loss),
                Panel(title="Excess over the optimum", x_label="epoch", y_label="excess MSE", marks=excess, log_y=True),
            ]
        )

    def require(self) -> Training:
        """Return the run itself, or raise a NumericalError if it diverged."""
        if self.loop.diverged:
            raise NumericalError(self._divergence())
        return self

    def code(self, data: str | os.PathLike[str] | None = None) -> str:
        """Write the run as a plain PyTorch script: nothing in it is imported from squarely, and it logs the same losses.

        It reads the file of the run, or `data`; rows in memory go into a file first, and the script says how. Columns, levels,
        knots, means and scales are written into it as they were learnt. It keeps `losses` and `params`, and prints the last
        loss and the coefficients. Where the formula computes (log, poly, bs, ...), the losses agree up to rounding.

        Raises
        ------
        OptionError : `data` is not a path.

        Examples
        --------
        >>> import squarely as sq
        >>> run = sq.train("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}, lr=0.5, epochs=1)
        >>> "torch.optim.SGD(model.parameters(), lr=lr)" in run.code()
        True
        """
        return script(self.recipe, self.problem, self.design, self.source, data=data)

    def summary(self) -> Page:
        """Lay out the run: recipe, theory, loss and coefficients."""
        return _page(self)

    def as_dict(self) -> Mapping[str, Any]:
        """Give every number as plain Python values: what `--json` prints."""
        recipe, known = self.recipe, self.theory
        return {
            "formula": self.design.formula.text,
            "params": dict(zip(self.problem.names, self.coefficients.tolist(), strict=True)),
            "status": self.status,
            "lr": recipe.lr,
            "epochs": recipe.epochs,
            "optimizer": recipe.optimizer,
            "momentum": recipe.momentum,
            "nesterov": recipe.nesterov,
            "dtype": recipe.dtype,
            "seed": recipe.seed,
            "device": recipe.device,
            "loss": float(self.loop.losses[-1]),
            "start": self.loop.start.tolist(),
            "theory": {
                "lr_limit": known.lr_limit,
                "lr_best": known.lr_best,
                "kappa": known.kappa,
                "rate": known.rate,
                "excess_left": None if self.prediction is None else self.prediction.kept,
            },
            "warnings": list(self.warnings),
            "history": {
                "epoch": list(range(len(self.loop.losses))),
                "loss": self.loop.losses.tolist(),
                "predicted": self._predicted().tolist(),
            },
            "rows": self.rows.as_dict(),
            "rounded": dict(self.rows.rounded),
            "casts": dict(self.rows.casts),
        }

    def __repr__(self) -> str:
        recipe = self.recipe
        return (
            f"<Training {self.design.formula.text!r}: {recipe.optimizer}, lr {recipe.lr:g}, {recipe.epochs:,} epochs, "
            f"{self.status}, loss {self.loop.losses[-1]:.4f}; print(run.summary())>"
        )

    def _predicted(self) -> Array:
        logged = len(self.loop.losses)
        return np.full(logged, np.nan) if self.prediction is None else self.prediction.losses[:logged]

    def _divergence(self) -> str:
        epoch = len(self.loop.losses) - 1
        limit, best = self.theory.lr_limit, self.theory.lr_best
        said = "" if limit is None or best is None else f"The limit here is {limit:.4g}, and the best rate {best:.4g}."
        return f"The loss grew past all bounds and training stopped at epoch {epoch:,} with lr={self.recipe.lr:g}. {said}".strip()


def train(moments: Moments, source: Source, recipes: tuple[Recipe, ...]) -> tuple[Training, ...]:
    """Train one newly made model for each recipe; the rows are read once.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a column without spread.
    OptionError : a recipe makes no sense.
    """
    recipes = tuple(checked(recipe) for recipe in recipes)
    problem = _problem(moments, source)
    lam = theory.spectrum(problem.H)
    bias = moments.design.intercept
    tensors, runs = {}, []
    for recipe in recipes:
        place = recipe.dtype, recipe.device
        if place not in tensors:
            tensors[place] = standardised_rows(moments, problem, source, recipe)
        X, y = tensors[place]
        known = foreknow(lam, recipe)
        loop = run_loop(X, y, recipe, bias=bias)
        runs.append(Training(recipe=recipe, loop=loop, problem=problem, moments=moments, source=source, theory=known))
    return tuple(runs)


def with_prediction(run: Training, optimum: Array) -> Training:
    """Attach what theory predicts, given the optimum (p,) in standardised columns from wherever it is known."""
    return replace(run, prediction=predict(run.problem, run.theory, run.recipe, run.loop.start, optimum))


def _problem(moments: Moments, source: Source) -> Standardised:
    design = moments.design
    if not design.columns:
        raise DataError(f"The formula {design.formula.text!r} has no predictor, so a linear layer has no input. Name a column.")
    if moments.n < 2:
        raise DataError(f"{source.label} has {moments.n} complete row. Training on standardised columns needs at least 2.")
    flat = moments.constant if design.intercept else np.diag(moments.gram)[1:] == 0
    for name, is_flat, mean in zip(design.labels, flat, moments.means, strict=True):
        if is_flat:
            raise DataError(
                f"Column {name!r} is {mean:.6g} in every row: standardising divides by its spread, which is zero. "
                "Leave it out of the formula, or look for the rows in which it differs."
            )
    return standardise(moments)


def _predicted_curve(epochs: np.ndarray, losses: Array) -> Curve:
    return Curve(x=epochs, y=losses, label="predicted by theory", dashed=True)


def _page(run: Training) -> Page:
    recipe, known, prediction = run.recipe, run.theory, run.prediction
    top = Pairs(
        [
            ("Dep. Variable:", run.design.response),
            ("Model:", "nn.Linear, MSELoss"),
            ("Optimizer:", recipe.optimizer),
            ("Learning rate:", f"{recipe.lr:g}"),
            ("Momentum:", f"{recipe.momentum:g}{' (Nesterov)' if recipe.nesterov else ''}"),
            ("Epochs:", f"{recipe.epochs:,}"),
            ("Start:", f"random, seed {recipe.seed}" if recipe.start is None else "given"),
            ("Device, dtype:", f"{recipe.device}, {recipe.dtype}"),
            ("No. Observations:", str(run.moments.n)),
        ],
        [
            ("Status:", run.status),
            ("First loss:", f"{run.loop.losses[0]:.6g}"),
            ("Last loss:", f"{run.loop.losses[-1]:.6g}"),
            ("Loss at the optimum:", "unknown" if prediction is None else f"{prediction.floor:.6g}"),
            ("Excess left, predicted:", "unknown" if prediction is None else f"{prediction.kept:.3g}"),
            ("Learning rate limit:", "unknown" if known.lr_limit is None else f"{known.lr_limit:.6g}"),
            ("Best learning rate:", "unknown" if known.lr_best is None else f"{known.lr_best:.6g}"),
            ("Condition (kappa):", f"{known.kappa:.6g}"),
        ],
    )
    standardised = run.loop.end
    cells = zip(run.problem.names, run.coefficients, standardised, run.loop.start, strict=True)
    table = Table(
        ("", "coef", "standardised", "at the start"),
        [(name, f"{a:.8g}", f"{b:.8g}", f"{c:.8g}") for name, a, b, c in cells],
    )
    return Page("Training Results", [top, table], footer=["Rows: " + " ".join(run.rows.lines())], notes=run.warnings)
