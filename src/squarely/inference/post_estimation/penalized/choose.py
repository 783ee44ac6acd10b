"""The path of penalties of a fit, and the choice of one: given, by generalized cross-validation, or by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from squarely.errors import DataError, OptionError, join_words, pluralize, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.post_estimation.penalized.cross_validation import fold_grams, require_folds, validation_errors
from squarely.inference.post_estimation.penalized.elastic_net import ElasticNet
from squarely.inference.post_estimation.penalized.penalized import Penalized
from squarely.inference.post_estimation.penalized.ridge import Ridge
from squarely.inference.post_estimation.penalized.standardized import StandardizedColumns, standardize_columns
from squarely.numerics import Array

_CHOICES = ("gcv", "cv")


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltyOptions:
    """What a penalized fit was asked for: see `Fit.elastic_net`."""

    alpha: object
    alphas: object
    standardize: bool
    folds: object


def fit_ridge(fit: CoefficientStatistics, options: PenaltyOptions) -> Penalized:
    """Return the ridge fit; the public method documents it."""
    columns = _columns_of(fit, options)
    ridge = Ridge.of(columns, fit.ssr, fit.nobs)
    chosen_by, alphas = _read_path(options, ridge.default_alphas)
    if chosen_by == "gcv" and options.alphas is None and options.alpha == "gcv":
        alphas = np.sort(np.append(alphas, ridge.best_gcv()))[::-1]

    def path(train: StandardizedColumns) -> Sequence[Array]:
        there = ridge if train is columns else Ridge.of(train, 0.0, fit.nobs)
        return [there.coefficients(alpha) for alpha in alphas]

    scores = {
        "df": np.array([ridge.df(alpha) for alpha in alphas]),
        "ssr": np.array([ridge.ssr(alpha) for alpha in alphas]),
        "gcv": np.array([ridge.gcv(alpha) for alpha in alphas]),
    }
    return _choose(fit, columns, options, path, alphas=alphas, scores=scores, chosen_by=chosen_by, method="ridge", l1_ratio=0.0)


def fit_elastic_net(fit: CoefficientStatistics, l1_ratio: object, options: PenaltyOptions) -> Penalized:
    """Return the lasso or elastic net fit; the public method documents it."""
    if isinstance(l1_ratio, bool) or not isinstance(l1_ratio, Real) or not 0 < float(l1_ratio) <= 1:
        raise OptionError(
            f"l1_ratio={show_value(l1_ratio)} is not a number above 0 and at most 1. 1 is lasso, and 0 is ridge: fit.ridge()."
        )
    columns, ratio = _columns_of(fit, options), float(l1_ratio)
    net = ElasticNet(columns=columns, l1_ratio=ratio)
    chosen_by, alphas = _read_path(options, net.default_alphas)

    def path(train: StandardizedColumns) -> Sequence[Array]:
        there = ElasticNet(columns=train, l1_ratio=ratio)
        slopes: list[Array] = []
        for alpha in alphas:
            slopes.append(there.coefficients(float(alpha), slopes[-1] if slopes else None))
        return slopes

    standardized = path(columns)
    rest = [columns.target - columns.root @ b for b in standardized]
    least = columns.target - columns.root @ np.linalg.lstsq(columns.root, columns.target, rcond=None)[0]
    df = np.array([net.df(b, float(alpha)) for b, alpha in zip(standardized, alphas, strict=True)])
    ssr = np.array([fit.ssr + max(float(r @ r - least @ least), 0.0) for r in rest])
    with np.errstate(divide="ignore"):
        gcv = np.where(df < fit.nobs, ssr / (fit.nobs - df) ** 2, np.inf)
    scores = {"df": df, "ssr": ssr, "gcv": gcv}
    method = "lasso" if ratio == 1 else "elastic net"
    return _choose(fit, columns, options, path, alphas=alphas, scores=scores, chosen_by=chosen_by, method=method, l1_ratio=ratio)


def _columns_of(fit: CoefficientStatistics, options: PenaltyOptions) -> StandardizedColumns:
    require_no_effects(fit, "A penalized fit")
    if not isinstance(options.standardize, bool):
        raise OptionError(f"standardize={show_value(options.standardize)} is neither True nor False.")
    if not fit.design.columns:
        raise DataError("The fit has no slope, so there is nothing to penalize. Add a predictor to the formula.")
    return standardize_columns(fit.solution, standardize=options.standardize)


def _read_path(options: PenaltyOptions, default: Array) -> tuple[str, Array]:
    """Return how the penalty is chosen, and the penalties (a,), decreasing."""
    alpha, alphas = options.alpha, options.alphas
    if isinstance(alpha, str):
        if alpha not in _CHOICES:
            raise OptionError(f"alpha={alpha!r} is neither a number nor one of {join_words([*map(repr, _CHOICES)], 'and')}.")
        return alpha, default if alphas is None else _read_alphas("alphas", alphas)
    if alphas is not None:
        raise OptionError("alphas= is the path for alpha='gcv' or alpha='cv'. Leave one of both out.")
    if isinstance(alpha, Real):
        return "given", _read_alphas("alpha", [alpha])
    return "gcv", _read_alphas("alpha", alpha)


def _read_alphas(name: str, values: object) -> Array:
    """Return penalties (a,), decreasing and without repetitions."""
    numbers = list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes | dict) else []
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, Real) or not 0 <= float(number) < math.inf:
            raise OptionError(f"{name}={show_value(number)} is not a number of at least 0. 0 is least squares.")
    if not numbers:
        raise OptionError(f"{name}={show_value(values)} is not a list of penalties. Write {name}=[0.1, 1, 10].")
    return np.unique(np.array(numbers, dtype=np.float64))[::-1]


def _choose(
    fit: CoefficientStatistics,
    columns: StandardizedColumns,
    options: PenaltyOptions,
    path: Callable[[StandardizedColumns], Sequence[Array]],
    *,
    alphas: Array,
    scores: dict[str, Array],
    chosen_by: str,
    method: str,
    l1_ratio: float,
) -> Penalized:
    """Return the fit with the penalty that has the least score."""
    moments = fit.solution.moments
    score = scores["gcv"]
    if chosen_by == "cv":
        grams = fold_grams(moments, fit.source, require_folds(options.folds, fit.nobs))
        errors = validation_errors(grams, columns, moments, path)
        score = errors.mean(axis=1)
        scores = scores | {"cv_mse": score, "cv_se": errors.std(axis=1, ddof=1) / math.sqrt(errors.shape[1])}
    best = 0 if chosen_by == "given" else int(np.argmin(score))
    return Penalized(
        fit=fit,
        method=method,
        alpha=float(alphas[best]),
        l1_ratio=l1_ratio,
        standardize=options.standardize,
        alphas=alphas,
        slopes=np.array(path(columns)) / columns.scale,
        scores=scores,
        chosen_by=chosen_by,
        notes=tuple(_notes(fit, chosen_by, best, alphas)),
    )


def _notes(fit: CoefficientStatistics, chosen_by: str, best: int, alphas: Array) -> Iterable[str]:
    moments, dropped = fit.solution.moments, len(fit.solution.factor.dropped)
    zero = moments.is_constant[:-1] if moments.design.intercept else moments.variances[:-1] + moments.means[:-1] ** 2 == 0
    names = [column.name for column, is_zero in zip(moments.design.columns, zero, strict=True) if is_zero]
    if names:
        yield f"The slope of {join_words(names)} is zero, because {'it is' if len(names) == 1 else 'they are'} constant."
    if dropped > len(names):
        yield (
            f"Least squares dropped {pluralize(dropped - len(names), 'column')}; the penalty decides between columns that depend "
            "on each other."
        )
    if len(alphas) > 1 and chosen_by != "given" and best in (0, len(alphas) - 1):
        end = "largest" if best == 0 else "smallest"
        yield f"The chosen penalty is the {end} of the path. Give other penalties in alphas= to look beyond it."
