"""Least squares: `ols` fits, `preview` says what a fit costs, `load` reads a saved fit or run, and `merge` combines fits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast, overload

from squarely.api.inputs import ModelInputs, fit_moments, open_least_squares, parse_row_filter
from squarely.api.label_arrays import name_label_arrays
from squarely.api.multiple_fits import fit_several
from squarely.data import is_in_memory, open_source, pass_counter
from squarely.design import learn_from_rows, plan_design
from squarely.errors import InputError, short_traceback
from squarely.exact import solve_least_squares
from squarely.inference import (
    DataPreview,
    Fit,
    Preview,
    analyze_variance,
    build_preview,
    fit_from_json,
    merge_fits,
    preview_data,
    read_covariance_options,
)
from squarely.storage.disk import local_path, read_text
from squarely.types import Collinear, Correction, Data, Duplicates, Fold, Missing, Precision

if TYPE_CHECKING:
    import pandas as pd

_RUN_START = '{"squarely run"'  # how the file of a run begins
_PREVIEWED_ROWS = 1_000_000  # rows in memory that a preview reads for the levels of categories: less than a second


@short_traceback
@pass_counter("residuals")
def ols(
    formula: str | None = None,
    data: Data | None = None,
    *,
    X: object = None,
    y: object = None,
    intercept: bool = True,
    where: str | None = None,
    missing: Missing = "drop",
    read: Mapping[str, object] | None = None,
    collinear: Collinear = "drop",
    precision: Precision = "auto",
    fold: Fold = "auto",
    order_by: str | None = None,
    weights: object = None,
    frequencies: object = None,
    vcov: str | Mapping[str, str] | None = None,
    cluster: object = None,
    time: object = None,
    lags: int | None = None,
    correction: Correction = "usual",
    by: object = None,
) -> Fit:
    """Fit a linear regression by ordinary least squares.

    Minimizes ||y - X beta||_2 over the rows that are complete in every column of the formula.

    Parameters
    ----------
    formula : such as "mpg ~ displacement * C(origin) + log(weight)". docs/formulas.md describes the language. Several responses,
        as in "y1 + y2 ~ x", are fitted each, to the rows that are complete in all of them. What follows `|`, as in
        "y ~ x | firm + year", are fixed effects to absorb (docs/fixed-effects.md).
    data : a path or URL (CSV, Parquet, Arrow, JSON, Excel and more: docs/files.md), a data frame (pandas, Polars, Arrow, Spark,
        Dask), a DuckDB relation, an Ibis table, an open file, or a dict of arrays; "-" is standard input. Several files of one
        kind are one table: a folder or a pattern such as "data/**/*.parquet", read in the order of the paths, or a list of paths,
        read in the order of the list.
    X, y : arrays of shapes (n, p) and (n,), or data frames, instead of formula and data. `intercept` adds an intercept to X.
    where : a condition on rows, such as "weight > 3000 and origin == 1". Other rows are left out and counted.
    missing : "drop" leaves out rows with missing values and counts them; "raise" raises a DataError.
    read : how to read files whose content does not say so, such as {"na_values": ["?"], "delimiter": ";", "skip_rows": 4}.
        docs/files.md lists the options.
    collinear : "drop" leaves out a column that earlier columns span, and reports it; "raise" raises a DataError.
    precision : arithmetic of the residuals r and of X'r in the refinement of the solution: "extended" (double-double), "double" or
        "auto". "auto" is extended up to ten million numbers, and where doubles leave fewer than ten digits of a coefficient, or of
        its standard error if that is larger. The summary says which one was used.
    fold : "batches" reads the rows and sums them up here. "aggregates" lets a Polars LazyFrame, a DuckDB relation, Spark or an Ibis
        table compute the sums, also for robust standard errors, so that no row leaves the engine. "auto" chooses. docs/folds.md
        lists what aggregates lack.
    order_by : a column of unique values that puts the rows in order, for Durbin-Watson, HAC and `fit.resid`. It applies to Ibis
        tables (whose rows are read only with it), Spark DataFrames, DuckDB relations and Polars LazyFrames; other data have
        an order already.
    weights : the column of weights, or an expression such as "I(1 / variance)": weighted least squares minimizes the weighted sum
        of squares. Rows of weight zero are left out and counted, as in R. Beside X= and y= it may be an array (n,).
    frequencies : the column that says how many equal rows each row stands for.
    vcov : the covariance of the coefficients: "nonrobust" (the default), "HC0" to "HC4" (robust to heteroscedasticity), "CR0" to
        "CR3" (clusters; needs `cluster`), "HAC" (Newey-West, in the order of the rows) or "DK" (Driscoll-Kraay; needs `time`).
        docs/standard-errors.md says which one to use. `fit.vcov` changes it afterwards.
    cluster : the column of clusters, or two columns; without `vcov` it means "CR1". Rows without a cluster are left out and
        counted. With X= and y=, an array of n labels, or two.
    time : the column of periods for "DK"; with X= and y=, also an array (n,).
    lags : the lags of "HAC" and "DK"; by default chosen from the data.
    correction : the small-sample factor: "usual", "none" (for CR1, HAC, DK), or "min" (for two columns of clusters).
    by : the column of groups, or a list of columns, each of which gets a fit of its own (docs/groups.md). Rows without a group are
        left out and counted. With X= and y=, also an array of n labels.

    Returns
    -------
    Fit : has the attributes that statsmodels users know; `print(fit.summary())` shows them. With `by` or several responses,
        a mapping `Fits` from each group or response to its fit.

    Raises
    ------
    FormulaError, DataError, OptionError : the formula, the data or an option cannot be used. The message says what to do.

    Examples
    --------
    >>> fit = ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
    >>> fit.params.round(3).to_dict()
    {'Intercept': 0.8, 'x': 2.3}
    """
    cluster, time, by, label_arrays = name_label_arrays(X, cluster, time, by)
    covariance = read_covariance_options(vcov, cluster=cluster, time=time, lags=lags, correction=correction)
    inputs = ModelInputs.of(locals())
    fits = fit_several(inputs, by, collinear=collinear, precision=precision)
    if fits is not None:
        return cast("Fit", fits)
    return fit_moments(inputs, partial(solve_least_squares, collinear=collinear, precision=precision))


@overload
def preview(data: Data, /, *, read: Mapping[str, object] | None = None) -> DataPreview: ...


@overload
def preview(*, data: Data, read: Mapping[str, object] | None = None) -> DataPreview: ...


@overload
def preview(
    formula: str,
    data: Data,
    *,
    where: str | None = None,
    read: Mapping[str, object] | None = None,
    precision: Precision = "auto",
    fold: Fold = "auto",
    order_by: str | None = None,
    weights: object = None,
    frequencies: object = None,
    vcov: str | Mapping[str, str] | None = None,
    cluster: object = None,
    time: object = None,
    lags: int | None = None,
    correction: Correction = "usual",
) -> Preview: ...


@overload
def preview(
    *,
    X: object,
    y: object,
    intercept: bool = True,
    where: str | None = None,
    precision: Precision = "auto",
    fold: Fold = "auto",
    order_by: str | None = None,
    weights: object = None,
    frequencies: object = None,
    vcov: str | Mapping[str, str] | None = None,
    cluster: object = None,
    time: object = None,
    lags: int | None = None,
    correction: Correction = "usual",
) -> Preview: ...


@short_traceback
def preview(
    formula: Data | None = None,
    data: Data | None = None,
    *,
    X: object = None,
    y: object = None,
    intercept: bool = True,
    where: str | None = None,
    read: Mapping[str, object] | None = None,
    precision: Precision = "auto",
    fold: Fold = "auto",
    order_by: str | None = None,
    weights: object = None,
    frequencies: object = None,
    vcov: str | Mapping[str, str] | None = None,
    cluster: object = None,
    time: object = None,
    lags: int | None = None,
    correction: Correction = "usual",
) -> Preview | DataPreview:
    """Look at data before a fit: at the first rows, or with a formula at what `ols` would read and cost.

    `preview(data)` shows the columns with their first values, the dialect of a file, and what is taken for missing. With a
    formula, `preview` reads the first rows of a file and no others, so what depends on rows, such as the number of levels, is
    unknown; up to a million rows in memory are read for it. The parameters are those of `ols`.

    Returns
    -------
    DataPreview, or with a formula Preview : `print(plan.summary())` shows it.

    Raises
    ------
    FormulaError, DataError, OptionError : as in `ols`.

    Examples
    --------
    >>> plan = preview("y ~ poly(x, 2)", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
    >>> plan.names
    ('Intercept', 'poly(x, 2)[1]', 'poly(x, 2)[2]')
    >>> [purpose for purpose, _ in plan.passes]
    ['ranges', 'polynomials', 'cross-products', 'residuals']
    >>> [(column.name, column.kind, column.values) for column in preview({"x": [1.5, None, 2.0]}).columns]
    [('x', 'number', (1.5, None, 2.0))]
    """
    if data is None and not (isinstance(formula, str) and "~" in formula) and X is None and y is None:
        formula, data = None, formula
    if formula is None and data is not None and X is None and y is None:
        return preview_data(open_source(data, read), read)
    cluster, time, _, label_arrays = name_label_arrays(X, cluster, time)
    covariance = read_covariance_options(vcov, cluster=cluster, time=time, lags=lags, correction=correction)
    inputs = ModelInputs.of(locals())
    plan = plan_design(*open_least_squares(inputs), parse_row_filter(inputs))
    names = plan.names
    if names is None and is_in_memory(plan.source) and (plan.source.rows or 0) <= _PREVIEWED_ROWS:
        names = learn_from_rows(plan.formula, plan.source, plan.where).names
    first_rows = preview_data(plan.source, read) if plan.source.is_file else None
    return build_preview(plan, names, first_rows, fold=fold, precision=precision, covariance=covariance)


@short_traceback
def load(path: str | os.PathLike[str]) -> Any:
    """Load a fit or a run that `save(path)` has written; of a folder with the checkpoints of a run that has ended, that run.

    It has no rows. Methods that need rows, such as `fit.resid`, raise an error. A loaded run predicts, prints its summary and its
    script, and can be certified.

    Returns
    -------
    Fit or Training

    Raises
    ------
    MissingExtraError : it is a run, and PyTorch is not installed.
    DataError : the file does not exist, is neither a saved fit nor a saved run, or is damaged.

    Examples
    --------
    >>> import tempfile
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ols("y ~ x", data).save(f"{folder}/fit.json")
    ...     fit = load(f"{folder}/fit.json")
    >>> fit.predict({"x": [4.0]}).round(3)
    array([10.])
    """
    file, label = local_path(path), os.fsdecode(path)
    text = None if file.is_dir() else read_text(path)
    if text is not None and not text.startswith(_RUN_START):
        return fit_from_json(text, label)
    from squarely import descent  # here, because PyTorch takes a second to import

    return descent.load_run(file, text)


@short_traceback
def merge(fits: Iterable[Fit], *, remove: Iterable[Fit] = (), duplicates: Duplicates = "raise") -> Fit:
    """Merge fits of one formula to different rows into the fit of all these rows, without reading a row.

    Parameters
    ----------
    fits : fits of shards, or merged fits; loaded ones too.
    remove : fits to subtract; their rows must be among those of `fits`.
    duplicates : what to do about two of `fits` with the same cross-products. "raise" raises a DataError, because the same rows
        would count twice; "keep" merges them as different rows that are equal.

    Returns
    -------
    Fit : it has no rows. `Fit.merge` and `Fit.remove` describe it.

    Raises
    ------
    InputError, DataError : `fits` is empty, or two fits have different models or the same rows. The message names the difference.

    Examples
    --------
    >>> shards = [{"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]}, {"x": [3.0, 4.0, 5.0], "y": [7.0, 9.0, 10.5]}]
    >>> merge(ols("y ~ x", shard) for shard in shards).params.round(3).to_dict()
    {'Intercept': 1.214, 'x': 1.914}
    """
    for value in (fits, remove):
        if isinstance(value, Fit) or not isinstance(value, Iterable):
            what = "one fit" if isinstance(value, Fit) else repr(value)
            raise InputError(f"merge needs lists of fits, not {what}. Write sq.merge([fit, other], remove=[third]).")
    return merge_fits(list(fits), list(remove), duplicates=duplicates)


@short_traceback
def anova(*fits: Fit, typ: int | str = 1) -> pd.DataFrame:
    """Make the table of an analysis of variance: of the terms of one fit, or of several nested fits.

    Type 1 adds the terms one after the other, in the order of the formula and main effects first, as R's `anova` does. Type 2 tests
    each term beside all terms that do not contain it. Type 3 tests each beside all others, with categories coded by sums to zero
    whatever the formula has. A fit with a robust covariance has F tests by it, and no sums of squares.

    Parameters
    ----------
    fits : one fit, or several of the same rows, each with the columns of the smaller ones.
    typ : 1, 2 or 3 (or "I", "II", "III"), for one fit.

    Returns
    -------
    DataFrame : with the columns of statsmodels' `anova_lm`. `summary()` is its page, with the type in its title and notes.

    Raises
    ------
    OptionError : `typ` is not a type, or the covariance has none of this type.
    DataError : the fits have different rows; or with typ=3, a combination of levels has no rows.

    Examples
    --------
    >>> from squarely import datasets
    >>> cars = datasets.cars()
    >>> fit = ols("mpg ~ weight + C(origin)", cars)
    >>> anova(fit, typ=2)["F"].round(2).to_dict()
    {'weight': 486.58, 'C(origin)': 6.41, 'Residual': nan}
    >>> anova(ols("mpg ~ weight", cars), fit)["df_diff"].to_list()
    [0.0, 2.0]
    """
    return analyze_variance(fits, typ)


anova_lm = anova
