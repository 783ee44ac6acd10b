"""Estimate the covariance that options name, from a scan of the rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from squarely.data import Source
from squarely.exact import Solution
from squarely.inference.covariance.clustered.one_way import cluster_covariance
from squarely.inference.covariance.clustered.two_way import two_way_covariance
from squarely.inference.covariance.hc import hc_covariance
from squarely.inference.covariance.options import (
    CLASSICAL,
    CLUSTERED,
    HC,
    CovarianceOptions,
    require_group_columns,
)
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.serial_correlation.driscoll_kraay import driscoll_kraay_covariance
from squarely.inference.covariance.serial_correlation.hac import hac_covariance


def estimate_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance | None:
    """Return the covariance, or None for the classical one with its usual degrees of freedom, which needs no scan.

    Raises
    ------
    DataError : the rows do not support it, or are not those of the fit.
    OptionError : the rows have no order, stay in a database, or are too few for the lags.
    """
    if options == CLASSICAL:
        return None
    require_group_columns(options, source)
    if options.kind == "nonrobust":
        estimate = _classical_covariance(solution, options)
    elif options.kind in HC:
        estimate = hc_covariance(solution, source, options)
    elif options.kind in CLUSTERED:
        estimator = cluster_covariance if len(options.cluster) == 1 else two_way_covariance
        estimate = estimator(solution, source, options)
    elif options.kind == "HAC":
        estimate = hac_covariance(solution, source, options)
    else:
        estimate = driscoll_kraay_covariance(solution, source, options)
    if options.df is not None:
        kwds = {**estimate.cov_kwds, "df": options.df}
        estimate = replace(estimate, df=options.df, df_t=None, htz_df=None, products=None, cov_kwds=kwds)
    return estimate if options.use_t else replace(estimate, df=math.inf, df_t=None, htz_df=None, products=None)


def _classical_covariance(solution: Solution, options: CovarianceOptions) -> RobustCovariance:
    """Return the classical covariance, for tests with other degrees of freedom or the normal distribution."""
    q, scale = len(solution.factor.columns), float(solution.moments.design.scales[-1])
    df = solution.df_resid
    variance = math.nan if solution.has_hidden_residuals else solution.ssr / df
    note = f"Standard Errors assume that the covariance matrix of the errors is correctly specified; {options.describe_df('')}."
    return RobustCovariance(cov_type="nonrobust", meat=variance / scale**2 * np.eye(q), df=df, rank=q, notes=(note,))
