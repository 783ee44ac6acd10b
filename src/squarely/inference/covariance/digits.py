"""Count the digits of standard errors that can be trusted, under any covariance."""

from __future__ import annotations

import math

import numpy as np

from squarely.exact import Solution
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.root import covariance_root, expand_selected
from squarely.inference.scan import residual_error, whitening_matrix
from squarely.numerics import ROUNDOFF, Array

_POWERS = {"HC2": 0.5, "HC3": 1.0, "HC4": 2.0, "CR2": 0.5, "CR3": 1.0}  # of 1 - h by which a residual is divided, at most


def digits_of_errors(solution: Solution, robust: RobustCovariance | None) -> Array:
    """Return the decimal digits (p,) of each standard error, with the exact one for the stored doubles as the truth.

    With a row a of A and the standard error s = |a'M^(1/2)|, its relative error is at most the sum of

    * e |a| |M^(1/2)| / s, because R, or the root in its place, has the relative error e;
    * |a| d / s, because the residuals have an error of norm d;
    * q u |a| |W| |R| t / s, because the whitened rows v = W'z are rounded, and sums of their scores may cancel; t is the norm of
      the residuals. For HC no sum cancels, and |R| t is the norm of the rows z r;
    * 2 p (q u + e) / (1 - h), because leverages h are rounded, and residuals are divided by (1 - h)^p. The smallest 1 - h, or
      eigenvalue of I - P_g, also enlarges the second and the third.

    For two columns of clusters M is a difference of parts. M^(1/2) above is then a root of their sum, and the error is larger by
    at most its |a'M^(1/2)| / s.
    """
    if robust is None or robust.cov_type == "nonrobust" or solution.has_hidden_residuals:
        return solution.digits_bse
    A, M, W, R = covariance_root(solution), robust.meat, whitening_matrix(solution), solution.factor.R
    root, q, power = solution.inverse_root, len(M), _POWERS.get(robust.cov_type, 0.0)
    e = (solution.factor.unit_error if root is None else root.error) + solution.input_rounding + 16 * ROUNDOFF
    if robust.cov_type.startswith("HC"):
        rows = math.sqrt(max(float(np.trace(R.T @ M @ R)), 0.0))  # M has the powers of 1 - h
    else:
        residual_norm = math.sqrt(solution.ssr) / float(solution.moments.design.scales[-1])
        rows = float(np.linalg.norm(R)) * residual_norm / robust.margin**power
    rounding = residual_error(solution) / robust.margin**power + q * ROUNDOFF * float(np.linalg.norm(W)) * rows
    largest = math.sqrt(max(float(np.linalg.eigvalsh(M)[-1]) if robust.gross is None else robust.gross, 0.0))
    errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", A, M, A), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = np.linalg.norm(A, axis=1)
        relative = lengths * (e * largest + rounding) / errors
        relative *= 1.0 if robust.gross is None else lengths * largest / errors
        relative = relative + 2 * power * (q * ROUNDOFF + e) / robust.margin
        digits = np.clip(-np.log10(relative), 0.0, 15.0) + 0.0  # no -0.0
    undefined = errors == 0 if robust.undefined is None else robust.undefined | (errors == 0)
    found = expand_selected(np.where(undefined, np.nan, digits), solution.factor.selected)
    return np.asarray(np.minimum(found, solution.digits_bse))
