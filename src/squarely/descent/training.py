"""The Training: one finished run, with what theory says of it beside what it did."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from squarely import theory
from squarely.data import RowAccount, Source, frame, open_rows, scanning, series
from squarely.descent.checks import checked
from squarely.descent.code import script
from squarely.descent.foresight import Prediction, RunTheory, foreknow, predict, settled
from squarely.descent.gradients import laid_flat, new_gradient, of_the_quadratic
from squarely.descent.halting import Halting
from squarely.descent.identity import identity_of
from squarely.descent.keeper import kept
from squarely.descent.keeping import Keeping
from squarely.descent.loader import LoaderSource
from squarely.descent.loop import Look, Loop, run_loop, settle
from squarely.descent.losses import new_criterion
from squarely.descent.metrics import Measured, named
from squarely.descent.model import coefficients, new_model, set_coefficients
from squarely.descent.own import Own, owned, reader, suited
from squarely.descent.page import figure, name_of, page
from squarely.descent.processes import Team, met_alone
from squarely.descent.quadratic import closed_form, descend, goes_unwatched
from squarely.descent.recipe import DTYPES, Recipe
from squarely.descent.rows import Held, Loaded, Rows, Unseen, held, require_count
from squarely.descent.shares import SharedHeld, require_a_row_each, shared, shared_gradient, shared_recipe
from squarely.descent.state import Log, new_state
from squarely.descent.stopping import new_distance
from squarely.descent.streamed import Streamed
from squarely.design import Design, linear_predictor, rows
from squarely.errors import DataError, NumericalError, OptionError
from squarely.moments import Moments, Standardised, expected_noise, fold_noise, noise_cost, standardise, unstandardised
from squarely.numerics import Array
from squarely.show import Page

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import nn


_HELD = 2**28  # bytes of standardised rows that are held; more are streamed
_DEAR = 2_000_000_000  # multiplications: about a second


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Training:
    """One training run. Made by `squarely.train`.

    Attributes
    ----------
    recipe : every choice that decided the run.
    loop : the torch objects, the logged losses, the coefficients before and after.
    problem : the standardised columns that the loop saw.
    moments, source : the rows it saw. `validation` are the rows it looked at besides, if there were some.
    theory : limits and rates from the spectrum.
    prediction : the curve that theory predicts, or None where it has no closed form.
    remarks : what was settled or changed of the recipe before the run began, and where it went on from, in sentences.
    plain : whether theory holds for the model, which a module of the user's may keep from it. `owned` : whether it is the user's.
    """

    recipe: Recipe
    loop: Loop
    problem: Standardised
    moments: Moments
    source: Source
    theory: RunTheory
    prediction: Prediction | None = None
    remarks: tuple[str, ...] = ()
    plain: bool = True
    owned: bool = False
    validation: Source | None = None

    @property
    def params(self) -> pd.Series:
        """The trained coefficients, in the units of the data."""
        return series(self.coefficients, list(self.problem.names))

    @property
    def coefficients(self) -> Array:
        """The trained coefficients (p,) in the units of the data."""
        return self.problem.to_units(self.loop.end)

    @property
    def model(self) -> nn.Module:
        """The trained torch module; it works on standardised columns."""
        return self.loop.model

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The torch optimiser, with its state after the last update; the closed form has none."""
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
        """How the run ended: "finished", "stopped" (early, as it was asked to), "diverged" or "not finite"."""
        return self.loop.ending.status

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was settled of the recipe, what theory had against it, and why the run ended before its last epoch."""
        ending = self.loop.ending
        ended = (self._divergence(),) if self.loop.diverged else (ending.reason,) if ending.reason else ()
        return self.remarks + self.theory.warnings + ended

    @property
    def history(self) -> pd.DataFrame:
        """What was logged, a row an epoch: epoch, loss (standardised), predicted (NaN where theory has no curve), and more.

        "running_loss" is the mean of the losses of an epoch's batches, while the weights move: what most loops print. "lr" is there
        with a scheduler, metrics by their names, and the same of validation rows after "val_".
        """
        return frame({name: np.array(values) for name, values in self._columns().items()})

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
        return figure(self)

    def require(self) -> Training:
        """Return the run itself, or raise a NumericalError if it diverged or met what is not a number."""
        if self.loop.diverged:
            raise NumericalError(self._divergence())
        if self.status == "not finite":
            raise NumericalError(self.loop.ending.reason)
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
        return script(self, data=data)

    def summary(self) -> Page:
        """Lay out the run: recipe, theory, loss and coefficients."""
        return page(self)

    def as_dict(self) -> Mapping[str, Any]:
        """Give every number as plain Python values: what `--json` prints."""
        recipe, known = self.recipe, self.theory
        return {
            "formula": self.design.formula.text,
            "params": dict(zip(self.problem.names, self.coefficients.tolist(), strict=True)),
            "status": self.status,
            "lr": recipe.rate,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "criterion": recipe.loss,
            "optimizer": name_of(recipe.optimizer),
            "momentum": recipe.momentum,
            "nesterov": recipe.nesterov,
            "weight_decay": recipe.weight_decay,
            "scheduler": None if recipe.scheduler is None else name_of(recipe.scheduler),
            "average": recipe.average,
            "stop": recipe.stop,
            "engine": recipe.engine,
            "gradient": recipe.gradient,
            "stream": recipe.stream,
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
                "noise_floor": known.floor,
                "noise_floor_se": known.floor_se,
                "excess_left": None if self.prediction is None else self.prediction.kept,
                "form": None if self.prediction is None else self.prediction.form or "exact",
            },
            "warnings": list(self.warnings),
            "history": self._columns(),
            "rows": self.rows.as_dict(),
            "rounded": dict(self.rows.rounded),
            "casts": dict(self.rows.casts),
        }

    def __repr__(self) -> str:
        recipe = self.recipe
        return (
            f"<Training {self.design.formula.text!r}: {recipe.optimizer}, lr {recipe.rate:g}, {recipe.epochs:,} epochs, "
            f"{self.status}, loss {self.loop.losses[-1]:.4f}; print(run.summary())>"
        )

    def _columns(self) -> dict[str, list[Any]]:
        logged, first = len(self.loop.losses), {"loss": self.loop.losses.tolist(), "predicted": self._predicted().tolist()}
        others = {name: values for name, values in self.loop.log.columns.items() if name != "loss"}
        padded = {name: [*values, *[math.nan] * (logged - len(values))] for name, values in others.items()}
        return {"epoch": list(range(logged)), **first, **padded}

    def _predicted(self) -> Array:
        logged = len(self.loop.losses)
        return np.full(logged, np.nan) if self.prediction is None else self.prediction.losses[:logged]

    def _divergence(self) -> str:
        epoch = len(self.loop.losses) - 1
        limit, best = self.theory.lr_limit, self.theory.lr_best
        said = "" if limit is None or best is None else f"The limit here is {limit:.4g}, and the best rate {best:.4g}."
        return f"The loss grew past all bounds and training stopped at epoch {epoch:,} with lr={self.recipe.rate:g}. {said}".strip()


def train(
    moments: Moments,
    source: Source,
    recipes: tuple[Recipe, ...],
    *,
    validation: Source | None = None,
    model: nn.Module | None = None,
    keeping: Keeping | None = None,
    team: Team | None = None,
    share: Source | None = None,
) -> tuple[Training, ...]:
    """Train one newly made model for each recipe, or a user's own; rows that fit into memory are read once.

    `keeping` is for a single recipe. The processes of a `team` train together, each on its `share` of the rows; the moments are
    those of all.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a column without spread.
    OptionError : a recipe makes no sense, or is not that of the checkpoint that it is to go on from.
    KeyboardInterrupt : Ctrl-C; where the run was kept, the message says how to go on.
    """
    recipes = tuple(checked(recipe) for recipe in recipes)
    if validation is None and any(recipe.stop == "validation" for recipe in recipes):
        raise OptionError("stop='validation' watches the loss of other rows, and there are none. Give validation=, or stop='loss'.")
    if keeping is not None and any(recipe.engine == "closed_form" for recipe in recipes):
        raise OptionError("engine='closed_form' takes no steps, so there is nothing to keep. Leave checkpoint= and resume= out.")
    own = owned(model, source, len(moments.design.columns), intercept=moments.design.intercept)
    team = team or Team()
    seen = Seen(moments=moments, source=source, validation=validation, own=own, keeping=keeping, team=team, share=share)
    return tuple(run_alone(seen, recipe) for recipe in recipes)


@dataclass(eq=False, slots=True, kw_only=True)
class Seen:
    """The rows that runs are to see; what several runs need is worked out once."""

    moments: Moments
    source: Source
    validation: Source | None
    own: Own
    keeping: Keeping | None = None
    team: Team = field(default_factory=Team)
    share: Source | None = None
    problems: dict[bool, tuple[Standardised, theory.Spectrum]] = field(default_factory=dict)
    tables: dict[object, Held] = field(default_factory=dict)

    @property
    def here(self) -> Source:
        """The rows of this process."""
        return self.source if self.share is None else self.share

    def problem(self, recipe: Recipe) -> tuple[Standardised, theory.Spectrum]:
        """Give the problem that a recipe sees, and the spectrum of its Hessian."""
        if recipe.standardize not in self.problems:
            problem = _problem(self.moments, self.source, standardize=recipe.standardize)
            self.problems[recipe.standardize] = problem, theory.spectrum(problem.H)
        return self.problems[recipe.standardize]

    def rows(self, recipe: Recipe) -> Rows:
        """Give the rows to train on."""
        if recipe.engine == "moments":
            return Unseen(n=self.moments.n, features=len(self.moments.design.columns))
        if self.own.loader is not None:
            return self._loaded(recipe, self.own.loader, self.moments.n)
        if self.streams(recipe):
            require_a_row_each(recipe, self.team)
            return shared(self._streamed(recipe, self.here, self._complete()), self.team)
        table = self._table(recipe, self.here, of="training")
        given = replace(table, seed=recipe.seed, shuffle=recipe.shuffle, replacement=recipe.replacement)
        rows_of_all = shared(given, self.team)
        require_count(self.source, self.moments.n, rows_of_all.n)
        return rows_of_all

    def validation_rows(self, recipe: Recipe) -> Rows | None:
        """Give the rows to validate on, if there are some."""
        if isinstance(self.validation, LoaderSource):
            return self._loaded(recipe, self.validation, self.validation.rows or 0)
        if self.validation is None:
            return None
        share = self.team.share_of(self.validation)
        if self.streams(recipe) and self._size(self.validation.rows or 0, recipe) > _HELD:
            return shared(self._streamed(recipe, share, self._count(share)), self.team)
        return shared(self._table(recipe, share, of="validation"), self.team)

    def _complete(self) -> int | None:
        """Count the complete rows of this process's share, None where they are those of the moments."""
        if self.team.alone:
            return None
        whole = self.moments.account.read == self.moments.n  # no row has a gap, and none is filtered out
        return self.here.rows if whole else self._count(self.here)

    def _count(self, source: Source) -> int:
        with scanning("number of rows"):
            return self.team.agreed(lambda: sum(block.size for block in rows(self.moments.design, source)))

    def _size(self, n: int, recipe: Recipe) -> int:
        """Tell how many bytes the standardised rows of one process take, when there are n in all."""
        return -(-n // self.team.size) * (len(self.moments.design.columns) + 1) * (8 if recipe.dtype == "float64" else 4)

    def streams(self, recipe: Recipe) -> bool:
        """Tell whether rows are read anew each epoch, because they are too many to hold, or because that was asked for."""
        size = self._size(self.moments.n, recipe)
        streams = recipe.stream
        if streams is None:
            streams = self.own.loader is None and recipe.engine == "rows" and size > _HELD
        if streams and recipe.replacement:
            raise OptionError(
                "replacement=True draws any row at any time, and rows that are streamed pass by once an epoch. These take "
                f"{size / 1e6:,.0f} MB: hold them with stream=False, or leave replacement out."
            )
        return streams

    def _streamed(self, recipe: Recipe, source: Source, complete: int | None) -> Streamed:
        return Streamed(
            design=self.moments.design,
            source=source,
            problem=self.problem(recipe)[0],
            dtype=DTYPES[recipe.dtype],
            device=recipe.device,
            seed=recipe.seed,
            shuffle=recipe.shuffle,
            complete=complete,
        )

    def _loaded(self, recipe: Recipe, source: LoaderSource, count: int) -> Loaded:
        features, device = len(self.moments.design.columns), torch.device(recipe.device)
        return Loaded(source=source, n=count, features=features, dtype=DTYPES[recipe.dtype], device=device)

    def _table(self, recipe: Recipe, source: Source, *, of: str) -> Held:
        key = of, recipe.standardize, recipe.dtype, recipe.device
        if key not in self.tables:
            problem = self.problem(recipe)[0]
            with scanning(f"{of} rows"):
                self.tables[key] = self.team.agreed(lambda: held(self.moments.design, problem, source, recipe))
        return self.tables[key]


def run_alone(seen: Seen, recipe: Recipe) -> Training:
    """Train one recipe on the rows that are to be seen."""
    with torch.inference_mode(False), torch.enable_grad():  # a loop needs tensors that can change, whatever the user has set
        return _alone(seen, recipe)


def _alone(seen: Seen, recipe: Recipe) -> Training:
    recipe, noted = suited(recipe, seen.own)
    problem, lam = seen.problem(recipe)
    noise = cache(partial(gradient_noise, seen, recipe))
    model = seen.own.model or new_model(len(problem.scale) - 1, recipe, bias=problem.intercept)
    read = reader(model, len(problem.scale) - 1, bias=problem.intercept)
    seen.team.begin_alike([parameter.detach() for parameter in model.parameters()])  # a user's own may differ
    recipe, remarks = settled(recipe, problem, lam, read, noise)
    known = foreknow(recipe, problem, lam, noise, plain=seen.own.plain, tamed=kappa_once_standardised(seen, recipe))
    remarks += _passing(seen, recipe)
    closed = recipe.engine == "closed_form"
    finished = _closed(model, problem, lam, recipe) if closed else _looped(seen, model, read, recipe)
    return Training(
        recipe=replace(recipe, stream=seen.streams(recipe)),
        loop=finished,
        problem=problem,
        moments=seen.moments,
        source=seen.source,
        theory=known,
        remarks=noted + remarks + finished.remarks,
        plain=seen.own.plain,
        owned=seen.own.model is not None,
        validation=seen.validation,
    )


def _passing(seen: Seen, recipe: Recipe) -> tuple[str, ...]:
    """Say that rows are not held, and where their order is not what a user of shuffle=True expects."""
    if not seen.streams(recipe):
        return ()
    said = "The rows are not held: they are read anew each epoch."
    if recipe.full_batch or not recipe.shuffle or len(seen.source.parts()) > 1:
        return (said,)
    return (
        f"{said} {seen.source.label} can only be read from its beginning, so rows are shuffled within a buffer and move no further "
        "than that: if they are sorted, write them to a Parquet file with many row groups first.",
    )


def _looped(seen: Seen, model: nn.Module, read: Callable[[], Array], recipe: Recipe) -> Loop:
    (problem, lam), given, validation = seen.problem(recipe), seen.rows(recipe), seen.validation_rows(recipe)
    flat = laid_flat(model) if recipe.engine == "moments" else None  # before anybody takes hold of the parameters
    start, state = read(), new_state(model, recipe)
    if seen.keeping is None and flat is not None and goes_unwatched(recipe, validated=validation is not None):
        return settle(state, descend(flat, problem, state, recipe), start, read)
    halting = Halting()
    if flat is None:
        gradient = shared_gradient(new_gradient(recipe, model), model, seen.team, halting)
    else:
        gradient = of_the_quadratic(flat, problem)
    loop = partial(
        run_loop,
        given,
        state,
        shared_recipe(recipe, seen.team),
        gradient=gradient,
        look=Look(
            criterion=new_criterion(recipe),
            unit=float(problem.scale[-1]),
            validation=validation,
            known=None if isinstance(given, Held | SharedHeld) else _known(seen, problem, recipe, read),
        ),
        distance=new_distance(recipe, problem, lam, read),
    )
    with met_alone():
        ended, remarks = kept(
            seen.keeping,
            state,
            recipe,
            identity=lambda: identity_of(seen.moments.design, problem, recipe, given, validation, team=seen.team),
            run=lambda keeper: loop(keeper=keeper),
            halting=halting,
            team=seen.team,
        )
    return replace(settle(state, ended, start, read), remarks=remarks)


def gradient_noise(seen: Seen, recipe: Recipe) -> theory.Noise:
    """Find out what single rows add to the gradient: from the rows where that is cheap, else as it is for Gaussian columns."""
    problem, lam = seen.problem(recipe)
    w = theory.fixed_point(lam, problem.h)
    if seen.own.loader is not None or seen.streams(recipe) or noise_cost(problem) > _DEAR:
        return expected_noise(problem, lam, w)
    return fold_noise(seen.moments.design, seen.here, problem, lam, w, summed=seen.team.added)


def kappa_once_standardised(seen: Seen, recipe: Recipe) -> float | None:
    """Give kappa for standardised columns, None where they are so, or one of them is constant."""
    if recipe.standardize:
        return None
    flat = seen.moments.constant if seen.moments.design.intercept else np.diag(seen.moments.gram)[1:] == 0
    return None if flat.any() else theory.spectrum(standardise(seen.moments).H).kappa


def _known(seen: Seen, problem: Standardised, recipe: Recipe, read: Callable[[], Array]) -> Callable[[], Measured] | None:
    """Give what works the mean squared error out from cross-products, so that rows that are not held need no second reading."""
    if recipe.loss != "mse" or "mae" in recipe.metrics:
        return None
    unit = float(problem.scale[-1])
    variance = float(seen.moments.variances[-1]) / unit**2

    def known() -> Measured:
        mse = problem.loss(read())
        return Measured(loss=mse, metrics=named(recipe.metrics, mse, variance, unit))

    return known


def with_prediction(run: Training, optimum: Array) -> Training:
    """Attach what theory predicts, given the optimum (p,) in standardised columns from wherever it is known."""
    if not run.plain:
        return run
    log, recipe, start = run.loop.log, run.recipe, run.loop.start
    if run.status == "stopped":  # what it did not take is not predicted
        recipe = replace(recipe, epochs=len(log.losses) - 1)
    rates = np.asarray(log.columns.get("lr", ()))[: len(log.losses) - 1]
    prediction = predict(run.problem, run.theory, recipe, start, optimum, rates=rates)
    if prediction is not None and run.loop.ending.restored is not None:
        best = predict(run.problem, run.theory, replace(recipe, epochs=run.loop.ending.restored), start, optimum, rates=rates)
        prediction = prediction if best is None else replace(prediction, gap=best.gap)
    return replace(run, prediction=prediction)


def _problem(moments: Moments, source: Source, *, standardize: bool) -> Standardised:
    design = moments.design
    if not design.columns:
        raise DataError(f"The formula {design.formula.text!r} has no predictor, so a linear layer has no input. Name a column.")
    if moments.n < 2:
        raise DataError(f"{source.label} has {moments.n} complete row. Training on standardised columns needs at least 2.")
    if not standardize:
        return unstandardised(moments)
    flat = moments.constant if design.intercept else np.diag(moments.gram)[1:] == 0
    for name, is_flat, mean in zip(design.labels, flat, moments.means, strict=True):
        if is_flat:
            raise DataError(
                f"Column {name!r} is {mean:.6g} in every row: standardising divides by its spread, which is zero. "
                "Leave it out of the formula, or look for the rows in which it differs."
            )
    return standardise(moments)


def _closed(model: nn.Module, problem: Standardised, lam: theory.Spectrum, recipe: Recipe) -> Loop:
    start = coefficients(model)
    losses, end, ended = closed_form(problem, lam, recipe, start)
    set_coefficients(model, end)
    return Loop(
        model=model, optimizer=None, losses=losses, log=Log(columns={"loss": losses.tolist()}), start=start, end=end, ending=ended
    )
