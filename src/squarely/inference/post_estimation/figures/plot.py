"""`Figures`: the method of a fit that draws it, and the figure of several fits."""

from __future__ import annotations

from typing import Any

from squarely.errors import OptionError, join_words, require_one_of, short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.figures.coefficient_figure import coefficient_panel
from squarely.inference.post_estimation.figures.effects_figure import effects_panels
from squarely.inference.post_estimation.figures.line_figure import line_panel
from squarely.inference.post_estimation.predictors import predictors_of
from squarely.show import draw

_KINDS = ("line", "coefficients", "effects")


class Figures(CoefficientStatistics):
    """The figures of a fit. All follow its covariance: those of `fit.vcov("HC3")` have its limits and band."""

    __slots__ = ()

    @short_traceback
    def plot(self, kind: str | None = None, ax: Any = None) -> Any:
        """Draw the fit and return a matplotlib figure, or draw into your axes `ax` and return these.

        "line" draws a model of one numeric predictor: rows, fitted curve, and bands at 95 %, of which the confidence band is for
        the mean and the prediction band for a new row. "coefficients" draws the coefficients with their limits at 95 %. "effects"
        draws the predictions along each number, and the contrasts of each category, with the others at their means. Without
        `kind` it is the line where the model has one, otherwise the coefficients.

        The line reads the rows once. More than 10,000 rows are counted in the cells of a grid, in the memory of a batch. A fit
        without rows has a line all the same. A notebook shows the figure, `.show()` opens a window, and `.save("fit.png")` writes
        a file.

        Raises
        ------
        OptionError : the kind is unknown, or is a line and the model has not exactly one numeric predictor.
        DataError : the rows have changed since the fit, or the fit has no rows and does not have their range.
        MissingExtraError : matplotlib is not installed.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ displacement", sq.datasets.cars())
        >>> fit.plot().axes[0].get_xlabel(), fit.plot("coefficients").axes[0].get_xlabel()
        ('displacement', 'coefficient, with limits at 95 %')
        """
        return plot_fit(self, kind, ax)


def plot_fit(fit: CoefficientStatistics, kind: str | None, ax: Any) -> Any:
    """Draw a fit; the public method documents it."""
    if kind is not None:
        require_one_of("kind", kind, _KINDS)
    if kind == "effects":
        return draw(effects_panels(fit), ax)
    numbers, labels = predictors_of(fit)
    has_line = len(numbers) == 1 and not labels
    if kind == "line" and not has_line:
        names = [*numbers, *labels]
        found = join_words([*map(repr, names)]) if names else "no predictor"
        if labels:
            found += f", of which {join_words([*map(repr, labels)])} {'has' if len(labels) == 1 else 'have'} categories"
        raise OptionError(
            f"kind='line' draws a model of one numeric predictor, and this one has {found}. Write kind='coefficients', or "
            "fit one predictor alone."
        )
    return draw([line_panel(fit, numbers[0]) if has_line and kind != "coefficients" else coefficient_panel([fit])], ax)
