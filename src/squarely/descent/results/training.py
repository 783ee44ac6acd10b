"""The Training: one finished run, with what theory says of it beside what it did."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from squarely.data import RowAccount, Source, open_new_rows, to_frame, to_series
from squarely.descent.codegen.script import write_script
from squarely.descent.loop.training_loop import LoopResult
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.run_theory import PredictedCurve, RunTheory, predict_curve
from squarely.descent.results.summary import run_label, training_figure, training_summary
from squarely.design import Check, Design, LinearPredictor, predict_batches, require_rank_deficient
from squarely.errors import NumericalError
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array
from squarely.show import Page
from squarely.theory import flat_threshold

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import nn

_MIN_WEIGHT = 1e-6  # of a direction of length one: a smaller share is rounding


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Training:
    """One training run. Made by `squarely.train`.

    Attributes
    ----------
    options : every choice that decided the run.
    result : the torch objects, the logged losses, the coefficients before and after.
    problem : the standardised columns that the loop saw.
    moments, source : the rows it saw. `validation` are the rows it looked at besides, if there were some, and `validation_rows`
        their account.
    theory : limits and rates from the spectrum.
    prediction : the curve that theory predicts, or None where it has no closed form.
    remarks : what was settled or changed of the recipe before the run began, and where it went on from, in sentences.
    plain : whether theory holds for the model, which a module of the user's may keep from it. `owned` : whether it is the user's.
    """

    options: TrainingOptions
    result: LoopResult
    problem: StandardizedProblem
    moments: Moments
    source: Source
    theory: RunTheory
    prediction: PredictedCurve | None = None
    remarks: tuple[str, ...] = ()
    plain: bool = True
    owned: bool = False
    validation: Source | None = None
    validation_rows: RowAccount | None = None

    @property
    def params(self) -> pd.Series:
        """The trained coefficients, in the units of the data."""
        return to_series(self.coefficients, list(self.problem.names))

    @property
    def coefficients(self) -> Array:
        """The trained coefficients (p,) in the units of the data."""
        return self.problem.to_data_units(self.result.end)

    @property
    def model(self) -> nn.Module:
        """The trained torch module; it works on standardised columns."""
        return self.result.model

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The torch optimiser, with its state after the last update; the closed form has none."""
        return self.result.optimizer

    @property
    def design(self) -> Design:
        """The frozen design."""
        return self.moments.design

    @property
    def rows(self) -> RowAccount:
        """Rows to train on that were read, used and dropped, by column and cause."""
        return self.moments.account

    @property
    def status(self) -> str:
        """How the run ended: "finished", "stopped" (early, as it was asked to), "diverged" or "not finite"."""
        return self.result.stop_reason.status

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was settled of the recipe, what theory had against it, and why the run ended before its last epoch."""
        ending = self.result.stop_reason
        ended = (self._describe_divergence(),) if self.result.has_diverged else (ending.reason,) if ending.reason else ()
        return self.remarks + self.design.notes + self.theory.warnings + ended

    @property
    def history(self) -> pd.DataFrame:
        """What was logged, a row an epoch: epoch, loss (standardised), predicted (NaN where theory has no curve), and more.

        "running_loss" is the mean of the losses of an epoch's batches, while the weights move: what most loops print. "lr" is there
        with a scheduler, "momentum" with one that changes it, metrics by their names, and the same of validation rows after "val_".
        """
        return to_frame({name: np.array(values) for name, values in self._make_columns().items()})

    def predict(self, new: object, *, unseen: str = "error", rank_deficient: str = "nan") -> Any:
        """Predict the response for new rows, in its own unit: one value a row, in the library that the rows are in.

        Rows with a gap in a predictor give NaN; `unseen` says what becomes of a level that the training has not met: "error"
        names it, "nan" predicts NaN. Where columns depend on each other, a row that breaks the dependency has a prediction that
        the starting point decides and not the rows: it gives NaN, and a warning counts such rows. `rank_deficient="allow"`
        predicts it all the same.
        """
        require_rank_deficient(rank_deficient)
        source, problem, w = open_new_rows(new, self.design.formula.names), self.problem, self.result.end
        kept, centre = range(len(self.design.columns)), problem.center[:-1]
        check = self._make_check() if rank_deficient == "nan" else None
        line = LinearPredictor(
            design=self.design,
            selected=kept,
            level=problem.intercept_in_units(w),
            slopes=problem.slopes_in_units(w),
            center=centre,
            check=check,
        )
        return predict_batches(line, source, unseen=unseen)

    def _make_check(self) -> Check | None:
        """Give the directions along which the loss does not change: a row of the training has next to nothing there."""
        problem, lam = self.problem, self.theory.spectrum
        if not lam.flat_directions:
            return None
        V = lam.vectors[:, : lam.flat_directions]
        weights = V if problem.intercept else np.vstack([np.zeros(lam.flat_directions), V])
        names = np.array(["Intercept", *(column.name for column in self.design.columns)])
        room = math.sqrt(self.moments.n * flat_threshold(lam) / 2)  # a squared length along a direction is n lam / 2
        return Check(
            dropped_columns=np.zeros(0, dtype=int),
            weights=weights,
            errors=np.full(lam.flat_directions, room),
            standard_error_scale=np.zeros(len(names)),
            centers=np.concatenate([[0.0], problem.shift[:-1]]),
            scales=np.concatenate([[1.0], problem.scale[:-1]]),
            messages=tuple(" and ".join(names[np.abs(v) > _MIN_WEIGHT].tolist()) + " depend on each other" for v in V.T),
            reason="Columns depend on each other in the rows of the training, and these break it",
        )

    def plot(self) -> Figure:
        """Draw the measured loss with the predicted curve on it, and, where the optimum is known, the excess over it."""
        return training_figure(self)

    def require(self) -> Training:
        """Return the run itself, or raise a NumericalError if it diverged or met what is not a number."""
        if self.result.has_diverged:
            raise NumericalError(self._describe_divergence())
        if self.status == "not finite":
            raise NumericalError(self.result.stop_reason.reason)
        return self

    def code(self, data: str | os.PathLike[str] | None = None) -> str:
        """Write the run as a plain PyTorch script: nothing in it is imported from squarely, and it logs the same losses.

        It reads the file of the run, or `data`; rows in memory go into a file first, and the script says how. Columns, levels,
        knots, means and scales are written into it as they were learnt, and of batches, schedules, validation and endings what the
        run used. It keeps `losses` and `params`, and prints the last loss and the coefficients. Its first lines say how well the
        losses agree: to the last bit, or up to rounding where the formula computes (log, poly, bs, ...), where the run worked on
        cross-products and where its gradient was in closed form. Callbacks are left out.

        Raises
        ------
        OptionError : `data` is not a path; or the run used a Python object that has no text: an optimiser, a scheduler, one of
            their options, a model or a loader of the user's own.

        Examples
        --------
        >>> import squarely as sq
        >>> run = sq.train("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}, lr=0.5, epochs=1)
        >>> "torch.optim.SGD(model.parameters(), lr=lr)" in run.code()
        True
        """
        return write_script(self, data=data)

    def summary(self) -> Page:
        """Lay out the run: recipe, theory, loss and coefficients."""
        return training_summary(self)

    def as_dict(self) -> Mapping[str, Any]:
        """Give every number as plain Python values: what `--json` prints."""
        recipe, known, first = self.options, self.theory, next(iter(self.options.parameter_groups), None)
        return {
            "formula": self.design.formula.text,
            "params": dict(zip(self.problem.names, self.coefficients.tolist(), strict=True)),
            "status": self.status,
            "lr": None if math.isnan(recipe.rate) else recipe.rate,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "criterion": recipe.loss,
            "optimizer": run_label(recipe.optimizer),
            "momentum": recipe.momentum if first is None or first.momentum is None else first.momentum,
            "nesterov": recipe.nesterov,
            "weight_decay": recipe.weight_decay if first is None else first.weight_decay,
            "groups": [{**asdict(group), "lr": None if math.isnan(group.lr) else group.lr} for group in recipe.parameter_groups],
            "scheduler": None if recipe.scheduler is None else run_label(recipe.scheduler),
            "average": recipe.average,
            "stop": recipe.stop,
            "engine": recipe.engine,
            "gradient": recipe.gradient,
            "stream": recipe.stream,
            "dtype": recipe.dtype,
            "seed": recipe.seed,
            "device": recipe.device,
            "loss": self.result.final_values["loss"],
            "start": self.result.start.tolist(),
            "theory": {
                "lr_limit": known.lr_limit,
                "lr_best": known.lr_best,
                "kappa": known.kappa,
                "rate": known.rate,
                "noise_floor": known.floor,
                "noise_floor_se": known.floor_se,
                "excess_left": None if self.prediction is None else self.prediction.remaining_fraction,
                "form": None if self.prediction is None else self.prediction.form or "exact",
            },
            "warnings": list(self.warnings),
            "history": self._make_columns(),
            "rows": self.rows.as_dict(),
            "validation_rows": None if self.validation_rows is None else self.validation_rows.as_dict(),
            "rounded": dict(self.rows.rounded),
            "casts": dict(self.rows.casts),
        }

    def __repr__(self) -> str:
        recipe = self.options
        return (
            f"<Training {self.design.formula.text!r}: {recipe.optimizer}, lr {recipe.rate:g}, {recipe.epochs:,} epochs, "
            f"{self.status}, loss {self.result.final_values['loss']:.4f}; print(run.summary())>"
        )

    def _make_columns(self) -> dict[str, list[Any]]:
        logged, first = (
            len(self.result.losses),
            {"loss": self.result.losses.tolist(), "predicted": self._predicted_losses().tolist()},
        )
        others = {name: values for name, values in self.result.history.columns.items() if name != "loss"}
        padded = {name: [*values, *[math.nan] * (logged - len(values))] for name, values in others.items()}
        return {"epoch": list(range(logged)), **first, **padded}

    def _predicted_losses(self) -> Array:
        logged = len(self.result.losses)
        return np.full(logged, np.nan) if self.prediction is None else self.prediction.losses[:logged]

    def _describe_divergence(self) -> str:
        epoch, told = len(self.result.losses) - 1, self.theory.rate_and_limit
        said = f"The loss grew past all bounds and training stopped at epoch {epoch:,} {self._describe_rate(epoch)}."
        if any(group.get("maximize") for group in self._groups):
            return f"{said} maximize=True goes up the loss."
        if told is None:
            return said
        best, limit = told
        if self.theory.batches is not None:
            return f"{said} The limit {self.theory.limit_label} is {limit}. Try lr={best}."
        kind = "here" if self.options.scheduler is None else "of a constant rate"
        return f"{said} The limit {kind} is {limit}, and the best rate {best}."

    def _describe_rate(self, epoch: int) -> str:
        """Name the rate of the last epoch's updates."""
        logged = self.result.history.columns.get("lr")
        if self.options.scheduler is not None and logged is not None and epoch > 0:
            return f"after an epoch that began with lr={logged[epoch - 1]:g}"
        return f"with lr={self._groups[0]['lr'] if self._groups else self.options.rate:g}"

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [] if self.optimizer is None else self.optimizer.param_groups


def with_prediction(run: Training, optimum: Array) -> Training:
    """Attach what theory predicts, given the optimum (p,) in standardised columns from wherever it is known."""
    if not run.plain:
        return run
    log, recipe, start = run.result.history, run.options, run.result.start
    if run.status == "stopped":  # what it did not take is not predicted
        recipe = replace(recipe, epochs=len(log.losses) - 1)
    taken = len(log.losses) - 1
    rates = np.asarray(log.columns.get("lr", ()))[:taken]
    momenta = np.asarray(log.columns["momentum"])[:taken] if "momentum" in log.columns else None
    foreseen = partial(predict_curve, run.problem, run.theory, start=start, optimum=optimum, rates=rates, momenta=momenta)
    prediction = foreseen(options=recipe)
    if prediction is not None and run.result.stop_reason.restored_epoch is not None:
        best = foreseen(options=replace(recipe, epochs=run.result.stop_reason.restored_epoch))
        prediction = (
            prediction if best is None else replace(prediction, gap=best.gap, final_epoch=run.result.stop_reason.restored_epoch)
        )
    return replace(run, prediction=prediction)
