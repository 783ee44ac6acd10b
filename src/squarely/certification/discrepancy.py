"""A run that ended away from least squares, and the points that it may have been approaching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.certification.certificate import largest_gap
from squarely.data import DetachedSource, scan_purpose
from squarely.design import Block, fold_blocks
from squarely.inference import Fit
from squarely.numerics import Array

if TYPE_CHECKING:
    from squarely.descent import Training

CHANCE_FACTOR = 30.0  # times its mean: an excess that the noise of batches reaches less than once in ten million runs
LOSS_NAMES = {"l1": "mean absolute error", "huber": "Huber loss", "quantile": "quantile loss"}
_MAX_SCANS = 60  # for the optimum of another loss
_SMOOTHING = 1e-3  # of the mean absolute residual: below it an absolute value counts as a square
_STEP_TOLERANCE = 1e-4  # of the size of the coefficients: a smaller step ends the search
_ROUNDINGS = 100.0  # of a standardized coefficient: a converged run may be so many off
_DECOUPLED_OPTIMIZERS = {"AdamW", "Adafactor"}  # their decay does not go through the gradient


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Discrepancy:
    """A run and the fit that it should agree with to `tau` standard errors; its loss is `excess` above the minimum."""

    fit: Fit
    run: Training
    excess: float
    tau: float

    @property
    def max_gap(self) -> float:
        """The largest gap of a coefficient, in standard errors."""
        return largest_gap(self.run.coefficients - self.fit.solution.params, self.fit.standard_errors)

    @property
    def dtype(self) -> str:
        """The precision of the run's arithmetic; a closed form is computed in double."""
        return "float64" if self.run.options.engine == "closed_form" else self.run.options.dtype

    @property
    def unpredicted_gap(self) -> float:
        """The largest difference between the gap and the one that theory predicts, in standard errors; NaN without a prediction."""
        prediction = self.run.prediction
        if prediction is None:
            return float("nan")
        return largest_gap(self.run.coefficients - self.fit.solution.params - prediction.gap, self.fit.standard_errors)

    @property
    def gap_sentence(self) -> str:
        """The distance in a sentence."""
        return f"The largest gap is {in_standard_errors(self.max_gap)}."

    @property
    def epochs(self) -> int:
        """The number of epochs that the run took."""
        return len(self.run.result.losses) - 1

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of the optimizer; the closed form has none."""
        return [] if self.run.optimizer is None else self.run.optimizer.param_groups

    @property
    def has_fixed_order(self) -> bool:
        """Whether the mini-batches come in the same order in every epoch."""
        options = self.run.options
        return not (options.is_full_batch or options.shuffle or options.replacement)

    @property
    def is_least_squares(self) -> bool:
        """Whether the loss of the run has its optimum where least squares has it."""
        return self.run.options.loss == "mse"

    @property
    def optimum(self) -> Array:
        """The least squares solution (p,) in the standardized columns of the run, with all its digits."""
        return self.run.problem.from_scaled(self.fit.solution.scaled_params[0], self.fit.design)

    @scan_purpose("optimum of the loss")
    def estimate_optimum(self) -> Array:
        """Estimate the minimum (p,) of the L1, Huber or quantile loss of the run in standardized columns, to two or three digits.

        This is iteratively reweighted least squares from the least squares solution. Each scan solves the least squares problem
        that is nowhere below the loss and touches it at the current residuals.
        Source: Huber (1964), doi:10.1214/aoms/1177703732; Hunter and Lange (2000), doi:10.1080/10618600.2000.10474866.
        """
        run, problem, options, w = self.run, self.run.problem, self.run.options, self.optimum
        # A loaded run has no rows; the fit has the same, and the problem standardizes columns as they are in its design.
        moments, source = (
            (self.fit.solution.moments, self.fit.source) if isinstance(run.source, DetachedSource) else (run.moments, run.source)
        )
        tilt = options.quantile - 0.5 if options.loss == "quantile" else 0.0
        smooth = _SMOOTHING * np.sqrt(problem.loss(w))

        def step(block: Block) -> Array:
            table = problem.columns(block.values)
            X, y = table[:, :-1], table[:, -1]
            if problem.intercept:
                X = np.column_stack([np.ones(len(X)), X])
            size = np.abs(y - X @ w)
            weight = options.delta / np.maximum(size, options.delta) if options.loss == "huber" else 0.5 / (size + smooth)
            row_weights = 1.0 if block.weights is None else block.weights
            return np.column_stack([X.T @ (X * (row_weights * weight)[:, None]), X.T @ (row_weights * (weight * y + tilt))])

        for _ in range(_MAX_SCANS):
            total = fold_blocks(moments.design, source, step, np.add, np.zeros((len(w), len(w) + 1)))
            new = np.asarray(np.linalg.lstsq(total[:, :-1], total[:, -1], rcond=None)[0], dtype=np.float64)
            moved, w = float(np.abs(new - w).max()), new
            if moved <= _STEP_TOLERANCE * max(float(np.abs(w).max()), 1e-3):
                break
        return w

    @property
    def largest_decay(self) -> float:
        """The largest weight decay of any parameter group, defaults of torch included."""
        return max(map(_group_decay, self.groups), default=self.run.options.weight_decay or 0.0)

    @property
    def ridge_alpha(self) -> float | None:
        """The penalty of the ridge regression of standardized columns that has this decay; None if the decays differ."""
        if not self.run.options.standardize or len({*map(_group_decay, self.groups)}) > 1:
            return None
        return self.run.problem.weight * self.largest_decay / 2

    @property
    def resting_point(self) -> Array | None:
        """The point (p,) where a decay that goes through the gradient comes to rest; None if there is none or it is unknown."""
        run = self.run
        decoupled = type(run.optimizer).__name__ in _DECOUPLED_OPTIMIZERS or any(
            group.get("decoupled_weight_decay") for group in self.groups
        )
        if not self.is_least_squares or not run.is_plain or decoupled or not self.largest_decay:
            return None
        decays: Array | None = np.full(len(run.result.end), self.largest_decay)
        if run.optimizer is not None:
            decays = self.per_coefficient(lambda _, group: _group_decay(group or {}))
        if decays is None:
            return None
        return np.asarray(np.linalg.lstsq(run.problem.H + np.diag(decays), run.problem.h, rcond=None)[0], dtype=np.float64)

    def describe_decay(self, rest: Array) -> str:
        """Say how far weight decay moves the point of rest."""
        by = in_standard_errors(self.distance(rest))
        return f"weight_decay={self.largest_decay:g} moves the point at which training comes to rest by {by}"

    def distance(self, w: Array, v: Array | None = None) -> float:
        """Return the distance of w (p,) from v (p,), by default the optimum, in standardized columns, in standard errors."""
        to_data_units = self.run.problem.to_data_units
        with np.errstate(over="ignore", invalid="ignore"):
            gap = to_data_units(w) - to_data_units(self.optimum if v is None else v)
            return largest_gap(gap, self.fit.standard_errors)

    def per_parameter(self, value: Callable[[Any, Any], float]) -> dict[str, float]:
        """Return `value(parameter, group)` by name; the group is None for a parameter that is not in the optimizer."""
        group_of = {id(parameter): group for group in self.groups for parameter in group["params"]}
        return {name: float(value(each, group_of.get(id(each)))) for name, each in self.run.model.named_parameters()}

    def per_coefficient(self, value: Callable[[Any, Any], float]) -> Array | None:
        """Return `value(parameter, group)` for each coefficient (p,); None if the model does not determine which is which."""
        values, p = list(self.per_parameter(value).values()), len(self.run.result.end)
        if len(set(values)) == 1:
            return np.full(p, values[0])
        layer: Any = getattr(self.run.model, "linear", self.run.model)
        if type(layer).__name__ != "Linear" or len(values) != 2 or layer.bias is not list(self.run.model.parameters())[1]:
            return None
        return np.array([values[1], *[values[0]] * (p - 1)])

    def is_rounding(self, dtype: str, *, roundings: float = _ROUNDINGS) -> bool:
        """Return whether the excess is that of so many roundings of the standardized coefficients."""
        run = self.run
        variance = float(run.moments.variances[-1]) / float(run.problem.scale[-1]) ** 2 or 1.0  # of the standardized response
        return self.excess <= variance * (roundings * float(np.finfo(dtype).eps)) ** 2

    def rounding_excess(self, lr: float, dtype: str) -> float:
        """Return the excess below which steps are smaller than the rounding of the coefficients or of the gradient."""
        lam = self.run.theory.spectrum
        moving = lam.values[lam.flat_directions :]
        size = max(float(np.abs(self.optimum).max()), 1.0) * float(np.finfo(dtype).eps)
        lost = size * np.maximum(1.0 / lr, lam.largest_eigenvalue) / moving
        return 4.0 * float(0.5 * moving @ lost**2)


def _group_decay(group: dict[str, Any]) -> float:
    return float(group.get("weight_decay", 0.0)) + float(group.get("lambd", 0.0))  # ASGD has `lambd`


def in_standard_errors(distance: float) -> str:
    """Write a distance in standard errors, in two digits."""
    number = f"{distance:.2g}"
    return f"{number} standard error{'' if number == '1' else 's'}"


def join_sentences(*sentences: str) -> str:
    """Join the sentences that are not empty."""
    return " ".join(filter(None, sentences))
