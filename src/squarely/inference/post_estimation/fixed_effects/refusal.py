"""What a fit with absorbed fixed effects does not compute."""

from __future__ import annotations

from squarely.errors import OptionError
from squarely.inference.coefficients import CoefficientStatistics


def require_no_effects(fit: CoefficientStatistics, what: str) -> None:
    """Raise an OptionError for something that needs the columns of the effects, if the fit has absorbed them."""
    if fit.design.absorbed is not None:
        raise OptionError(
            f"{what} needs the columns of the fixed effects, which {fit.design.formula.text!r} absorbs. Write few levels as "
            "columns before the '|', such as C(firm)."
        )
