"""The `Training`: one finished run, with the predictions of theory beside its results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from squarely.data import RowAccount, Source, open_new_rows, scan_purpose, to_frame, to_series
from squarely.descent.codegen.script import ScriptInput, write_script
from squarely.descent.loop.result import LoopResult
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.convergence import FAILED, describe_end, judge_end, measure_distance, select_warnings
from squarely.descent.results.log_columns import history_columns
from squarely.descent.results.loss_figure import draw_run
from squarely.descent.results.plain_numbers import to_plain_numbers
from squarely.descent.results.prediction import make_predictor
from squarely.descent.results.serialize import RUN_FILE, SavedTexts, run_to_json
from squarely.descent.results.summary import describe_rows, list_options, list_outcome, metrics_table, torch_name
from squarely.descent.run_theory.limits import RunTheory
from squarely.descent.run_theory.predicted_curve import PredictedCurve
from squarely.design import Design, LinearPredictor, predict_batches, write_predictions
from squarely.errors import MissingExtraError, NumericalError, short_traceback
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import KeyValueTable, Page, Table
from squarely.storage.disk import local_path, write_text
from squarely.types import Data, RankDeficient, Status, Unseen, typed_predict

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure
    from torch import nn


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Training:
    """One training run. Made by `squarely.train`.

    Attributes
    ----------
    options : every choice that decided the run.
    result : the torch objects, the logged losses, the coefficients before and after.
    problem : the standardized columns of the loop.
    moments, source : the rows to train on. `validation`, `validation_rows` : the rows to validate on and their account, if any.
    theory : limits and rates from the spectrum.
    optimum : the least squares solution (p,) in standardized columns; None for a run with another loss, or if it is not unique.
    prediction : the curve that theory predicts, or None where it has no closed form.
    remarks : sentences on what the run changed in the options, and on the checkpoint from which it continued.
    is_plain : whether theory holds for the model: a step moves its coefficients as it moves those of nn.Linear.
    has_user_model, has_user_loader : whether the user gave the model, or the loader.
    saved : the texts that need rows, in a run that `squarely.load` has read.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir("design", "has_user_loader", "has_user_model", "is_plain", "moments", "problem", "validation")

    options: TrainingOptions
    result: LoopResult
    problem: StandardizedProblem
    moments: Moments
    source: Source
    theory: RunTheory
    optimum: Array | None = None
    prediction: PredictedCurve | None = None
    remarks: tuple[str, ...] = ()
    is_plain: bool = True
    has_user_model: bool = False
    has_user_loader: bool = False
    validation: Source | None = None
    validation_rows: RowAccount | None = None
    saved: SavedTexts | None = None

    @property
    def params(self) -> pd.Series:
        """The trained coefficients, in the units of the data."""
        return to_series(self.coefficients, list(self.problem.names))

    @property
    def coefficients(self) -> Array:
        """The trained coefficients (p,) in the units of the data."""
        return self.problem.to_data_units(self.result.end)

    @cached_property
    def model(self) -> nn.Module:
        """The trained torch module; its inputs are standardized columns. That of a closed form is made at the first use."""
        if self.result.model is not None:
            return self.result.model
        try:
            from squarely.descent.model.linear_regression import make_trained  # here, because PyTorch takes a second to import
        except ModuleNotFoundError:
            raise MissingExtraError("run.model", "PyTorch", "torch") from None
        return make_trained(self.result.end, self.options, bias=self.problem.intercept)

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The torch optimizer, with its state after the last update; the closed form has none."""
        return self.result.optimizer

    @property
    def table(self) -> pd.DataFrame:
        """One row for each coefficient: coef, in the units of the data; standardized, and start, before the training."""
        columns = {"coef": self.coefficients, "standardized": self.result.end, "start": self.result.start}
        return to_frame(columns, list(self.problem.names))

    @property
    def nobs(self) -> int:
        """The number of rows to train on."""
        return self.problem.nobs

    @property
    def design(self) -> Design:
        """The frozen design."""
        return self.moments.design

    @property
    def rows(self) -> RowAccount:
        """The rows to train on: how many were read, used and dropped, by column and cause."""
        return self.moments.account

    @property
    def status(self) -> Status:
        """How the run ended, in a word or three.

        "converged" : within 0.01 standard errors of least squares, or the distance of `stop`; "epochs used up" : farther away.
        "stopped" : ended early by an option. "finished" : all epochs are taken, and the best epoch came back, no distance
        is known, or the noise of batches keeps the run away. "diverged", "not finite" : the loss grew, or is not a number.
        """
        return judge_end(self.theory, self.options, self.result, self.distance_se)

    @property
    def has_failed(self) -> bool:
        """Whether the run diverged or its loss is not a number, so that its parameters are no answer."""
        return self.status in FAILED

    @property
    def is_done(self) -> bool:
        """Whether the run neither failed nor used up its epochs far from least squares; `require` raises if not."""
        return not self.has_failed and self.status != "epochs used up"

    @property
    def distance_se(self) -> float | None:
        """The distance from least squares, in standard errors of the combination of coefficients that is farthest away.

        The gradient at the end determines it. It is None where the run has another optimum (another loss, weight decay), where
        least squares has no single one or no standard errors, and where the run diverged.
        """
        if self.source.is_redrawn:  # the loss of an epoch is not that of the moments
            return None
        return measure_distance(self.problem, self.theory, self.options, self.result)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the page: remarks, notes of the design, warnings of theory, and why the run ended where it did."""
        warnings = select_warnings(self.theory, self.options, self.result, self.distance_se)
        return self.remarks + self.design.notes + warnings + self._describe_end()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Another name of `notes`."""
        return self.notes

    @property
    def optimal_loss(self) -> float | None:
        """The mean squared error at the optimum, in standardized units; None for another loss or without a single optimum."""
        return None if self.optimum is None else self.problem.loss(self.optimum)

    @property
    def history(self) -> pd.DataFrame:
        """The log, one row an epoch: epoch, loss (standardized), predicted, excess, and more.

        "predicted" is the curve of theory, NaN where there is none. "excess" is the loss above that of the optimum, NaN where that
        is not known; near the optimum it is rounding, and may be negative.
        "running_loss" is the mean of the losses of an epoch's batches while the weights move: what most loops print. There is "lr"
        with a scheduler, "momentum" if it changes that, each metric, and all of these for validation rows with the prefix "val_".
        """
        return to_frame({name: np.array(values) for name, values in self._history_columns().items()})

    @typed_predict
    @short_traceback
    def predict(
        self,
        new: Data,
        *,
        read: Mapping[str, object] | None = None,
        unseen: Unseen = "error",
        rank_deficient: RankDeficient = "nan",
    ) -> Any:
        """Predict the response for new rows, in its unit: one value a row, in the library of the rows.

        `read` says how to read files, as in `ols`. Rows with a gap in a predictor give NaN. `unseen` decides on a level that is
        not in the training rows: "error" names it, "nan" predicts NaN. Where columns depend on each other, the prediction for a row
        that breaks the dependency follows from the starting point, not from the rows. Such a row gives NaN, and a warning counts
        them; `rank_deficient="allow"` predicts it.
        """
        predictor = self._make_predictor(rank_deficient)
        return predict_batches(predictor, open_new_rows(new, self.design.formula.names, read), unseen=unseen)

    @short_traceback
    @scan_purpose("predictions")
    def write_predictions(
        self,
        new: Data,
        path: str | os.PathLike[str],
        *,
        keep: Sequence[str] | str = (),
        read: Mapping[str, object] | None = None,
        unseen: Unseen = "error",
        rank_deficient: RankDeficient = "nan",
    ) -> int:
        """Predict as `predict` does, write the predictions to a file as `Fit.write_predictions`, and return the number of rows."""
        predictor = self._make_predictor(rank_deficient)
        return write_predictions(predictor, open_new_rows(new, self.design.formula.names, read), path, keep=keep, unseen=unseen)

    @overload
    def plot(self, ax: None = None) -> Figure: ...
    @overload
    def plot(self, ax: Any) -> Any: ...
    @short_traceback
    def plot(self, ax: Any = None) -> Any:
        """Draw the loss by epoch with the curve that theory predicts, and beside it the excess over the optimum.

        The optimum is marked where it is known, and so are the best epoch and the end of a run that stopped early. Runs without a
        predicted curve, and runs that diverged, have the first panel alone. A notebook shows the figure; `.savefig("loss.png")`
        writes it to a file, and `.show()` opens a window. pyplot's current figure stays as it is.

        Parameters
        ----------
        ax : matplotlib axes to draw into, one for the loss or two for both panels. They are then returned in place of a Figure.

        Raises
        ------
        MissingExtraError : matplotlib is not installed.
        """
        return draw_run(self.options, self.result, self.theory, self.prediction, optimal_loss=self.optimal_loss, ax=ax)

    @short_traceback
    def require(self) -> Training:
        """Return the run itself, or raise a NumericalError if it failed: it diverged, is not finite or used up its epochs."""
        if not self.is_done:
            raise NumericalError(" ".join(self._describe_end()))
        return self

    @short_traceback
    def code(self, data: str | os.PathLike[str] | None = None) -> str:
        """Write the run as a plain PyTorch script that imports nothing from squarely and logs the same losses.

        It reads the file of the run, or `data`. Its comments say how to write rows in memory to a file first. It contains the
        columns, levels, knots, means and scales as the run learned them, and the batches, schedules, validation and stopping rules
        that the run used. It computes `losses` and `params`, and prints the last loss and the coefficients. Its first lines say how
        well the losses agree: to the last bit, or up to rounding if the formula computes (log, poly, bs, ...), if the run used
        cross-products or if its gradient was in closed form. Callbacks are left out.

        Raises
        ------
        OptionError : `data` is not a path; or the run used a Python object that has no text, such as an optimizer, a scheduler,
            one of their options, a model or a loader of yours.

        Examples
        --------
        >>> import squarely as sq
        >>> run = sq.train("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}, lr=0.5, epochs=1)
        >>> "torch.optim.SGD(model.parameters(), lr=lr)" in run.code()
        True
        """
        if self.saved is not None:
            return self.saved.require_code(data)
        run = ScriptInput(
            options=self.options,
            result=self.result,
            design=self.design,
            problem=self.problem,
            source=self.source,
            validation=self.validation,
            has_user_model=self.has_user_model,
            has_user_loader=self.has_user_loader,
        )
        return write_script(run, data=data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the run as JSON, which `squarely.load` reads: options, log, coefficients, cross-products and theory, but no rows.

        In a folder, the file is run.json. A loaded run predicts, prints its summary and its script, and can be certified. Its model
        is a new nn.Linear with the trained coefficients, and its optimizer is new. To continue a run, use `checkpoint=` of `train`.
        """
        target = local_path(path)
        write_text(target / RUN_FILE if target.is_dir() else target, run_to_json(self))

    def describe_rows(self) -> str:
        """Describe the account of the rows to train on, and of those to validate on if there are any."""
        if self.saved is not None:
            return self.saved.rows
        return describe_rows(self.source, self.rows, self.validation, self.validation_rows)

    def summary(self) -> Page:
        """Lay out the run: options, theory, loss and coefficients."""
        options, result, problem, prediction = self.options, self.result, self.problem, self.prediction
        least, distance = self.optimal_loss, self.distance_se
        outcome = list_outcome(
            result, self.theory, prediction, status=self.status, least=least, distance=distance, dtype=options.dtype
        )
        cells = zip(problem.names, self.coefficients, result.end, result.start, strict=True)
        used = [
            ("Dep. Variable:", self.design.response),
            *list_options(options, result, self.design.formula.weights_option, has_user_model=self.has_user_model),
            ("No. Observations:", f"{problem.nobs:,}"),
        ]
        tables: list[KeyValueTable | Table] = [
            KeyValueTable(used, outcome),
            *([metrics_table(options, result)] if options.metrics else []),
            Table(("", "coef", "standardized", "at the start"), [(name, *(f"{x:.8g}" for x in row)) for name, *row in cells]),
        ]
        form = [f"Predicted: {prediction.form}."] if prediction is not None and prediction.form else []
        return Page("Training Results", tables, footer=[self.describe_rows(), *form], notes=self.notes)

    def as_dict(self) -> Mapping[str, Any]:
        """Return every number as plain Python values: the output of `--json`."""
        return to_plain_numbers(self, self._history_columns())

    def _repr_html_(self) -> str:
        return self.summary().shorten()._repr_html_()

    def __repr__(self) -> str:
        options = self.options
        return (
            f"<Training {self.design.formula.text!r}: {torch_name(options.optimizer)}, lr {options.rate:g}, "
            f"{options.epochs:,} epochs, {self.status}, loss {self.result.final_values['loss']:.4g}; print(run.summary())>"
        )

    def _make_predictor(self, rank_deficient: RankDeficient) -> LinearPredictor:
        if self.has_failed:
            raise NumericalError(f"The run cannot predict: its status is {self.status!r}. {' '.join(self._describe_end())}")
        return make_predictor(self.moments, self.problem, self.theory.spectrum, self.result.end, rank_deficient)

    def _history_columns(self) -> dict[str, list[Any]]:
        return history_columns(self.result, self.prediction, self.optimal_loss)

    def _describe_end(self) -> tuple[str, ...]:
        return describe_end(self.problem, self.theory, self.options, self.result, self.distance_se)
