"""The closed form: any epoch of gradient descent on a quadratic from its spectrum, without taking a step."""

from __future__ import annotations

import numpy as np

from squarely import theory
from squarely.descent.recipe import Recipe
from squarely.descent.stopping import BEYOND_ALL_BOUNDS, FINISHED, Ending
from squarely.moments import Standardised
from squarely.numerics import Array


def closed_form(problem: Standardised, lam: theory.Spectrum, recipe: Recipe, start: Array) -> tuple[Array, Array, Ending]:
    """Give the losses (epochs + 1,) and the coefficients (p,) at the end of a run from `start` (p,), both in float64.

    In the eigenbasis each coordinate of the error shrinks by a factor of its own; where the loss is flat it stays as it is.
    """
    descent = recipe.descent
    assert descent is not None  # noqa: S101  # the checks let no other recipe through
    moving = lam.values > 0
    a = lam.vectors.T @ start
    optimum = np.where(moving, lam.vectors.T @ problem.h / np.where(moving, lam.values, 1.0), a)
    c = a - optimum
    floor = problem.loss(lam.vectors @ optimum)
    losses = floor + theory.excess_curve(lam, c, descent, recipe.epochs)
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(~(losses <= BEYOND_ALL_BOUNDS * (losses[0] + 1.0)))
    last = int(beyond[0]) if len(beyond) else recipe.epochs
    end = lam.vectors @ (optimum + theory.modes_after(lam, c, descent, last))
    return losses[: last + 1], end, Ending("diverged") if len(beyond) else FINISHED
