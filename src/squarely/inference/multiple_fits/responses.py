"""Fits of several responses to the same rows and columns, which each scan of the rows serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from squarely.data import Source
from squarely.design import Design, Formula, Where, learn_from_rows, map_first_block, with_centers
from squarely.exact import Solution, solve_responses
from squarely.inference.covariance.options import CovarianceOptions
from squarely.inference.fit import Fit, infer
from squarely.inference.multiple_fits.fits import Fits
from squarely.inference.multiple_fits.group_estimates import GroupEstimates
from squarely.moments import gather_response_moments


def fit_responses(
    formulas: Sequence[Formula],
    stored: Source,
    source: Source,
    where: Where | None,
    options: CovarianceOptions,
    *,
    remarks: Sequence[str],
    collinear: str,
    precision: str,
) -> Fits:
    """Fit formulas that differ in their responses alone, each of which requires the others.

    `stored` has the rows of `source`, perhaps for a while; the fits keep `source`.
    """
    designs = _learn_designs(formulas, stored, where)
    moments = [replace(each, remarks=(*each.remarks, *remarks)) for each in gather_response_moments(designs, stored)]
    solutions = solve_responses(moments, stored, collinear=collinear, precision=precision)
    fits = {solution.moments.design.response: _infer(solution, stored, source, options) for solution in solutions}
    text = f"{' + '.join(fits)} ~ {formulas[0].text.partition('~')[2].strip()}"
    return Fits(text, ["response"], estimates_of(fits), fits.__getitem__, options.kind)


def _infer(solution: Solution, stored: Source, source: Source, options: CovarianceOptions) -> Fit:
    return replace(infer(solution, stored, options), source=source)


def _learn_designs(formulas: Sequence[Formula], source: Source, where: Where | None) -> list[Design]:
    """Learn the first design from the rows, and of the others the center and the scale of the response."""
    first = learn_from_rows(formulas[0], source, where)
    designs = [first]
    for formula in formulas[1:]:
        design = replace(first, formula=formula)
        pilot = map_first_block(design, source, lambda block: np.array([block.response.mean(), block.response.std()]))[1]
        mean, deviation = (0.0, 1.0) if pilot is None else pilot
        centered = with_centers(design, mean=np.append(first.centers[:-1], mean), deviation=np.append(first.scales[:-1], deviation))
        centers, scales = first.centers.copy(), first.scales.copy()
        centers[-1], scales[-1] = centered.centers[-1], centered.scales[-1]
        designs.append(replace(design, centers=centers, scales=scales))
    return designs


def estimates_of(fits: Mapping[str, Fit]) -> GroupEstimates:
    """Return the numbers of fits of one design as arrays."""
    every = list(fits.values())
    first = every[0]
    dropped = np.array([~fit.solution.factor.selected for fit in every])
    return GroupEstimates(
        keys=list(fits),
        names=first.design.names,
        nobs=np.array([fit.nobs for fit in every]),
        rank=np.array([fit.rank for fit in every]),
        rsquared=np.array([fit.rsquared for fit in every]),
        params=np.array([fit.solution.params for fit in every]),
        bse=np.array([fit.standard_errors for fit in every]),
        df=np.array([fit.df_of_t for fit in every]),
        zero=np.zeros_like(dropped),
        dropped=dropped,
        reasons=[""] * len(every),
        account=first.rows,
        scans=first.solution.scans,
    )
