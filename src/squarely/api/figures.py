"""`plot_coefficients`: the figure of several fits side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squarely.errors import short_traceback
from squarely.inference import Fit, coefficient_panel
from squarely.show import draw


@short_traceback
def plot_coefficients(*fits: Fit, names: Sequence[str] | None = None, ax: Any = None) -> Any:
    """Draw the coefficients of several fits side by side, with their limits at 95 %.

    Coefficients of one name share a row. The limits of each fit follow its covariance.

    Parameters
    ----------
    fits : fits, live, loaded or merged.
    names : of the fits in the legend. By default it has what tells them apart: formulas, covariances or data.
    ax : your matplotlib axes to draw into; by default a new figure.

    Returns
    -------
    A matplotlib figure, which a notebook shows, `.show()` opens in a window and `.save("fits.png")` writes; or `ax`.

    Raises
    ------
    InputError : there is no fit, or something is not a fit.
    OptionError : `names` are not one text for each fit.
    MissingExtraError : matplotlib is not installed.

    Examples
    --------
    >>> import squarely as sq
    >>> fit = sq.ols("mpg ~ weight + horsepower", sq.datasets.cars())
    >>> figure = sq.plot_coefficients(fit, fit.vcov("HC3"), names=["classical", "HC3"])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['classical', 'HC3']
    """
    return draw([coefficient_panel(fits, names)], ax)
