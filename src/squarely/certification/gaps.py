"""Loss and gradient at the trained coefficients, and the bound on their distance from the optimum that follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import DetachedSource, Source, is_aggregate_only, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.moments import EngineClient, EngineGram, Moments, StandardizedProblem, combination_sums
from squarely.numerics import Array
from squarely.reprs import short_repr


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GradientAtSolution:
    """The loss (1/n) ||X w - y||^2 and its gradient (2/n) X'(X w - y) (p,) at the trained w, in float64 and standardized units.

    With weights, rows count as often as their relative weights.
    `basis` is "rows", and the engine that has them, if one does; or "moments", where a loaded fit and a loaded run have no rows.
    """

    __repr__ = short_repr

    loss: float
    gradient: Array
    basis: str = "rows"

    @property
    def norm(self) -> float:
        """The Euclidean norm of the gradient."""
        return float(np.linalg.norm(self.gradient))


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceBound:
    """What the gradient proves without the optimum: ||w - w*|| <= `distance`, in standardized coefficients, L(w) - L* <= `excess`.

    Every linear combination of the coefficients is within `standard_errors` of the optimum.
    """

    __repr__ = short_repr

    distance: float
    excess: float
    standard_errors: float


def gradient_at(moments: Moments, source: Source, problem: StandardizedProblem, w: Array) -> GradientAtSolution:
    """Return the loss and gradient at w (p,), the intercept first if there is one, computed where the rows are."""
    if isinstance(source, DetachedSource):  # a loaded fit and a loaded run: there are no rows
        return GradientAtSolution(loss=problem.loss(w), gradient=problem.H @ w - problem.h, basis="moments")
    gram = None if moments.engine_record is None else moments.engine_record.engine_gram
    if gram is not None and is_aggregate_only(source):
        return _gradient_in_engine(gram, source, problem, w)
    return _gradient_on_rows(moments.design, source, problem, w)


def _gradient_in_engine(gram: EngineGram, source: Source, problem: StandardizedProblem, w: Array) -> GradientAtSolution:
    """Compute the loss and gradient in one scan of r = Z c and Z'r.

    The standardized columns Z = [1, (x - shift) / scale, (y - shift) / scale] are W M, with the columns W of the engine.
    """
    M = gram.to_data_columns / np.concatenate([[1.0], problem.scale])
    M[0, 1:] = ((gram.to_data_columns[0, 1:] - problem.center) - problem.offset) / problem.scale
    first = 0 if problem.intercept else 1  # the column of Z that w begins with
    sums = combination_sums(gram, EngineClient(source), M @ np.concatenate([np.zeros(first), w, [-1.0]]))
    gradient = 2.0 * (M.T @ sums.gradient)[first:-1] / problem.weight
    return GradientAtSolution(
        loss=sums.squares / problem.weight, gradient=gradient, basis=f"rows in {source.require_engine().name}"
    )


@scan_purpose("gradient")
def _gradient_on_rows(design: Design, source: Source, problem: StandardizedProblem, w: Array) -> GradientAtSolution:
    intercept = design.intercept
    slopes, bias = (w[1:], w[0]) if intercept else (w, 0.0)

    def step(block: Block) -> Array:
        table = problem.columns(block.values)
        residual = table[:, :-1] @ slopes + bias - table[:, -1]
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverged has an infinite loss
            r = residual if block.weights is None else residual * problem.relative_weights(block.weights)
            return np.concatenate([[r @ residual, r.sum()], table[:, :-1].T @ r])

    total = fold_blocks(design, source, step, np.add, np.zeros(len(slopes) + 2)) / problem.n
    return GradientAtSolution(loss=float(total[0]), gradient=2.0 * (total[1:] if intercept else total[2:]))
