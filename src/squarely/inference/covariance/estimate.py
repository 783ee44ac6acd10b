"""Estimate the covariance that options name, from a scan of the rows."""

from __future__ import annotations

import math
from dataclasses import replace

from squarely.data import Source
from squarely.exact import Solution
from squarely.inference.covariance.cluster import cluster_covariance
from squarely.inference.covariance.hc import hc_covariance
from squarely.inference.covariance.options import CLUSTERED, HC, CovarianceOptions
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.serial_correlation.driscoll_kraay import driscoll_kraay_covariance
from squarely.inference.covariance.serial_correlation.hac import hac_covariance
from squarely.inference.covariance.two_way import two_way_covariance


def estimate_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance | None:
    """Return the covariance, or None for the classical one, which needs no scan.

    Raises
    ------
    DataError : the rows do not support it, or are not those of the fit.
    OptionError : the rows have no order, or are too few for the lags.
    """
    if options.kind == "nonrobust":
        return None
    if options.kind in HC:
        estimate = hc_covariance(solution, source, options)
    elif options.kind in CLUSTERED:
        estimator = cluster_covariance if len(options.cluster) == 1 else two_way_covariance
        estimate = estimator(solution, source, options)
    elif options.kind == "HAC":
        estimate = hac_covariance(solution, source, options)
    else:
        estimate = driscoll_kraay_covariance(solution, source, options)
    if options.df is not None:
        estimate = replace(estimate, df=options.df, df_t=None)
    return estimate if options.use_t else replace(estimate, df=math.inf, df_t=None)
