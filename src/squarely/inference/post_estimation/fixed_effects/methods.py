"""`FixedEffects`: the method of a fit that returns the effect of each level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.fixed_effects.estimates import estimate_effects

if TYPE_CHECKING:
    import pandas as pd


class FixedEffects(CoefficientStatistics):
    """What a fit says of the fixed effects after `|` in its formula."""

    __slots__ = ()

    @short_traceback
    def fixed_effects(self) -> pd.DataFrame:
        """Return the estimate of each level of the fixed effects, as a frame with the columns effect, level, estimate and n.

        Only sums of effects are determined. The constant is in the first effect: of each later one, the first level is zero. If the
        levels of two effects fall into groups that share no row, this holds for the first level in each group. So the estimates
        are those of `C(firm) - 1 + C(year)`. They have no standard errors. `n` is the number of rows of a level.

        Raises
        ------
        OptionError : the formula has no effects.

        Examples
        --------
        >>> import squarely as sq
        >>> data = {"firm": [*"aaabbb"], "x": [0.0, 1.0, 2.0, 0.0, 1.0, 3.0], "y": [1.0, 3.0, 5.0, 4.0, 6.0, 9.0]}
        >>> sq.ols("y ~ x | firm", data).fixed_effects().round(2).to_dict("list")
        {'effect': ['firm', 'firm'], 'level': ['a', 'b'], 'estimate': [1.25, 4.0], 'n': [3, 3]}
        """
        return estimate_effects(self.solution)
