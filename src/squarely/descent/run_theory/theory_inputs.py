"""The standardized problem of a run with its spectrum: all that theory needs, from cross-products alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from squarely import theory
from squarely.data import Source
from squarely.errors import DataError
from squarely.moments import Moments, StandardizedProblem, expected_noise, identity_scaling, standardize_moments


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class TheoryInputs:
    """What the theory of a run depends on, besides its options."""

    problem: StandardizedProblem
    spectrum: theory.Spectrum  # of the Hessian (2/n) X'X
    standardized_kappa: float | None  # of standardized columns, if those of the problem are not; None also if a column is constant
    gradient_noise: Callable[[], theory.Noise]  # computes what single rows add to the gradient
    has_even_batches: bool = True  # whether all epochs have the same rows, and all batches but the last the same size


def make_theory_inputs(moments: Moments, source: Source, *, standardize: bool) -> TheoryInputs:
    """Standardize the columns if `standardize`, and decompose the Hessian. The gradient noise is that of Gaussian columns.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, fewer than two rows, or a constant column.
    """
    problem = _make_problem(moments, source, standardize=standardize)
    spectrum = theory.decompose_hessian(problem.H)
    kappa = None
    if not standardize and not _is_constant(moments).any():
        kappa = theory.decompose_hessian(standardize_moments(moments).H).kappa
    return TheoryInputs(
        problem=problem,
        spectrum=spectrum,
        standardized_kappa=kappa,
        gradient_noise=lambda: expected_noise(problem, spectrum, theory.fixed_point(spectrum, problem.h)),
    )


def _is_constant(moments: Moments) -> np.ndarray:
    """Return (k,) whether each column is constant, or zero if there is no intercept."""
    return moments.is_constant if moments.design.intercept else np.diag(moments.gram)[1:] == 0


def _make_problem(moments: Moments, source: Source, *, standardize: bool) -> StandardizedProblem:
    design = moments.design
    if not design.columns:
        raise DataError(f"The formula {design.formula.text!r} has no predictor, so a linear layer has no input. Name a column.")
    if moments.n < 2:
        raise DataError(f"{source.label} has {moments.n} complete row. Training on standardized columns needs at least 2.")
    if not standardize:
        return identity_scaling(moments)
    for name, is_constant, mean in zip(design.labels, _is_constant(moments), moments.means, strict=True):
        if is_constant:
            raise DataError(
                f"Column {name!r} is {mean:.6g} in every row, and standardizing divides by its standard deviation, which is zero. "
                "Leave it out of the formula, or look for the rows in which it differs."
            )
    return standardize_moments(moments)
