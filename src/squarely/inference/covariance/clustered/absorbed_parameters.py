"""How many parameters the small-sample factor of clusters counts where fixed effects are absorbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from squarely.data import Source
from squarely.design import AbsorbedEffects
from squarely.errors import OptionError, join_words
from squarely.exact import Solution, read_level_sums
from squarely.inference.covariance.options import CovarianceOptions


def count_parameters(solution: Solution, source: Source, options: CovarianceOptions) -> tuple[int, list[str]]:
    """Return the K of the factor (n-1)/(n-K): the coefficients, and the fixed effects that are not nested in clusters.

    The second result says in a sentence which effects are nested.

    An effect is nested if each of its levels lies in one cluster; reghdfe, fixest and pyfixest do not count it. Unless the effect
    has the column of the clusters, one more scan finds out.

    Raises
    ------
    OptionError : CR2 or CR3 with fixed effects.
    """
    absorbed, q = solution.moments.design.absorbed, len(solution.factor.columns)
    if absorbed is None:
        return q, []
    if options.kind in ("CR2", "CR3"):
        raise OptionError(
            f"vcov={options.kind!r} needs the leverages of whole clusters, and those of absorbed effects are not summed. Use "
            "vcov='CR1', or write few levels as C(...) before the '|'."
        )
    nested = [i for i, effect in enumerate(absorbed.effects) if set(effect).intersection(options.cluster)]
    others = [i for i in range(len(absorbed.effects)) if i not in nested]
    if others and options.correction != "none" and options.kind != "CR0":
        nested = sorted([*nested, *_find_nested(solution, source, absorbed, options.cluster, others)])
    if not nested:
        return q + absorbed.rank, []
    parameters = q + absorbed.rank - absorbed.system.rank_of(nested) + 1
    names = join_words([absorbed.names[i] for i in nested])
    which = (
        f"{names} {'is' if len(nested) == 1 else 'are'} nested in the clusters and {'does' if len(nested) == 1 else 'do'} not count"
    )
    return parameters, [f"The factor has K = {parameters:,}: {which}, as in fixest and reghdfe."]


def _find_nested(
    solution: Solution, source: Source, absorbed: AbsorbedEffects, clusters: Sequence[str], others: Sequence[int]
) -> list[int]:
    """Return which of the effects at some positions have as many pairs of a level and a cluster as levels."""
    design = solution.moments.design
    labels = (*((name,) for name in clusters), *(absorbed.effects[i] for i in others))
    pairs_design = replace(design, formula=replace(design.formula, effects=labels), absorbed=None)
    sums = read_level_sums(pairs_design, source, np.zeros(len(design.centers)))
    return [
        i
        for j, i in enumerate(others, start=len(clusters))
        if any(len(sums.pairs[k, j][2]) == len(sums.counts[j]) for k in range(len(clusters)))
    ]
