"""`Figures`: the method of a fit that draws it, and the figure of several fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

from squarely.errors import OptionError, join_words, require_one_of, short_traceback, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.figures.coefficient_figure import coefficient_panel
from squarely.inference.post_estimation.figures.diagnostic_figures import DIAGNOSTICS, diagnostic_panels
from squarely.inference.post_estimation.figures.effects_figure import effects_panels
from squarely.inference.post_estimation.figures.line_figure import line_panel
from squarely.inference.post_estimation.figures.partial_figures import added_variable_panels, component_panels
from squarely.inference.post_estimation.influence.influence import require_rows
from squarely.inference.post_estimation.predictors import predictors_of
from squarely.show import Panel, draw
from squarely.types import PlotKind


class Figures(CoefficientStatistics):
    """The figures of a fit. All follow its covariance: those of `fit.vcov("HC3")` have its limits and band."""

    __slots__ = ()

    @short_traceback
    def plot(self, kind: PlotKind | None = None, ax: Any = None, *, term: str | None = None) -> Any:
        """Draw the fit and return a matplotlib figure, or draw into your axes `ax` and return these.

        * "line": a model of one numeric predictor: rows, fitted curve, and bands at 95 %, of which the confidence band is for the
          mean and the prediction band for a new row. It is the default where the model has one.
        * "coefficients": the coefficients with their limits at 95 %, otherwise the default.
        * "effects": the predictions along each number, and the contrasts of each category, with the others at their means.
        * "residuals": residuals against fitted values; "qq": standardized residuals against normal quantiles; "scale": the root of
          their absolute values against fitted values; "leverage": against the leverage, with contours of Cook's distance. All four
          are "diagnostics", as in R.
        * "added": for each coefficient, or those of `term`, the response over its column, both without what the other columns
          explain (added-variable plots).
        * "component": for each numeric predictor, or `term`, what it contributes plus the residual.

        All but "coefficients" read the rows once. More than 10,000 rows are counted in the cells of a grid, in the memory of a
        batch, and the 20 rows with the largest Cook's distances are drawn beside them. A fit without rows has a line all the same.
        A notebook shows the figure, `.show()` opens a window, and `.save("fit.png")` writes a file.

        Raises
        ------
        OptionError : the kind or the term is unknown, or is a line and the model has not exactly one numeric predictor.
        DataError : the rows have changed since the fit, or the fit has no rows and needs them.
        MissingExtraError : matplotlib is not installed.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ displacement", sq.datasets.cars())
        >>> fit.plot().axes[0].get_xlabel(), fit.plot("coefficients").axes[0].get_xlabel()
        ('displacement', 'coefficient, with limits at 95 %')
        """
        return plot_fit(self, kind, ax, term)


def plot_fit(fit: CoefficientStatistics, kind: str | None, ax: Any, term: object = None) -> Any:
    """Draw a fit; the public method documents it."""
    if kind is not None:
        require_one_of("kind", kind, get_args(PlotKind))
    if term is not None and kind not in ("added", "component"):
        raise OptionError(f"term={show_value(term)} is for kind='added' and kind='component'. Leave it out, or give one of them.")
    if kind == "effects":
        return draw(effects_panels(fit), ax)
    if kind not in _OF_ROWS:
        return draw([_line_or_coefficients(fit, kind)], ax)
    require_rows(fit.source)
    return draw(_OF_ROWS[str(kind)](fit, term), ax)


_OF_ROWS: Mapping[str, Callable[[CoefficientStatistics, object], list[Panel]]] = {
    **{kind: partial(diagnostic_panels, kinds=[kind]) for kind in DIAGNOSTICS},
    "diagnostics": partial(diagnostic_panels, kinds=DIAGNOSTICS),
    "added": added_variable_panels,
    "component": component_panels,
}


def _line_or_coefficients(fit: CoefficientStatistics, kind: str | None) -> Panel:
    """Draw the line of a model that has one, or else its coefficients."""
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
    return line_panel(fit, numbers[0]) if has_line and kind != "coefficients" else coefficient_panel([fit])
