"""`table`: several fits and runs side by side, as papers print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from squarely.errors import InputError, short_traceback
from squarely.inference import Fit, fit_column, lay_out_models, model_column
from squarely.types import Below, TableRow

if TYPE_CHECKING:
    from squarely.descent import Training
    from squarely.inference import ModelColumn
    from squarely.show import Page


@short_traceback
def table(
    *results: Fit | Training | Sequence[Fit | Training],
    stars: bool | Sequence[float] = False,
    below: Below = "se",
    rows: Sequence[TableRow] = ("nobs", "rsquared", "rsquared_adj"),
    order: Sequence[str] | None = None,
    hide: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Page:
    """Make a table of several fits for a paper: a column for each fit, coefficients in rows, statistics below them.

    Numbers have three places, and four digits where three places would show 0.000. If the covariances of the fits differ, a row
    names them. A run may stand beside fits: it has no standard errors.

    Parameters
    ----------
    results : what `ols`, `train`, `load` and `fit.vcov` return; or a list of them.
    stars : whether stars mark p-values below 0.1, 0.05 and 0.01, with a legend; or other levels, such as [0.05, 0.01, 0.001].
    below : what is below each coefficient: standard errors "se", "t", p-values "p", or 95 % confidence limits "ci".
    rows : the statistics below the coefficients, by the names of the attributes of a fit.
    order : coefficients or terms that come first, such as ["weight", "C(origin)"].
    hide : coefficients or terms to leave out; a row says which models have them.
    names : the headers of the columns, by default (1), (2), ...
    labels : other texts for coefficients, terms and responses, such as {"weight": "Weight (lb)"}.

    Returns
    -------
    Page : print it, show it in a notebook, or write `as_latex()`, `as_markdown()`, `as_html()`, `as_csv()` to a file.

    Raises
    ------
    InputError : there is no fit, or something is neither a fit nor a run.
    OptionError : an option has a name that no fit has.

    Examples
    --------
    >>> import squarely as sq
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0, 4.0], "z": [1.0, 0.0, 0.0, 1.0, 0.0], "y": [1.0, 3.0, 5.0, 8.0, 9.0]}
    >>> print(sq.table(sq.ols("y ~ x", data), sq.ols("y ~ x + z", data), rows=["nobs"]).as_markdown())
    |  | (1) | (2) |
    | :-- | --: | --: |
    | Dep. Variable | y | y |
    | Intercept | 1.000 | 0.618 |
    |  | (0.374) | (0.344) |
    | x | 2.100 | 2.164 |
    |  | (0.153) | (0.118) |
    | z |  | 0.636 |
    |  |  | (0.340) |
    | No. Observations | 5 | 5 |
    <BLANKLINE>
    Standard errors in parentheses.
    """
    return lay_out_models(
        [_read_column(result) for result in _list_results(results)],
        stars=stars,
        below=below,
        rows=rows,
        order=order,
        hide=hide,
        names=names,
        labels=labels,
    )


def _list_results(results: Sequence[Any]) -> Sequence[Any]:
    """Return the results, also those of one list, as summary_col of statsmodels takes it."""
    every = results[0] if len(results) == 1 and isinstance(results[0], list | tuple) else results
    if not every:
        raise InputError("There is no fit for a table. Give at least one, such as sq.table(sq.ols(formula, data)).")
    return every


def _read_column(result: Any) -> ModelColumn:
    if isinstance(result, Fit):
        return fit_column(result)
    from squarely.descent import Training  # here, because a table of fits does not need it

    if isinstance(result, Training):
        return model_column(result.as_dict(), result.design)
    best = "Give its best run, sweep.best, or" if type(result).__name__ == "Sweep" else "Give"
    raise InputError(
        f"An object of type {type(result).__name__} is not a fit or a run. {best} results of sq.ols, sq.train or sq.load."
    )
