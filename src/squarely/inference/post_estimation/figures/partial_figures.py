"""Figures of one predictor given the others: added variables, and component plus residual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from squarely.design import Categorical, argument_of, column_names
from squarely.errors import OptionError, join_words, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.root import covariance_root
from squarely.inference.post_estimation.figures.diagnostic_figures import row_marks
from squarely.inference.post_estimation.figures.line_figure import describe_fit
from squarely.inference.post_estimation.figures.planes import fitted_values, panel_rows, read_planes, roots_of
from squarely.inference.post_estimation.hypotheses.terms import term_label, terms_of
from squarely.inference.post_estimation.influence.measures import RowInfluence
from squarely.inference.scan import WhitenedRows, whitening_matrix
from squarely.inference.statistics import t_values
from squarely.numerics import Array
from squarely.show import Curve, Panel

_FIT_COLOR = 2  # green
_MOST_PANELS = 12
_HEIGHT = 4.4


def added_variable_panels(fit: CoefficientStatistics, term: object) -> list[Panel]:
    """Draw, for coefficients, the response over their column, both without what the other columns explain of them.

    The slope is the coefficient, and the residuals are those of the fit (Belsley, Kuh and Welsch 1980, 2.3): a column x without
    the others is A_j v / |A_j|^2 with A A' = (X'X)^-1 and whitened rows v.

    Raises
    ------
    OptionError : there is no such term, or the model has too many.
    """
    positions = _positions_of(fit, term)
    selected = np.flatnonzero(fit.solution.factor.selected).tolist()
    root, scale = covariance_root(fit.solution)[[selected.index(j) for j in positions]], float(fit.design.scales[-1])
    root = root * (scale / np.einsum("ij,ij->i", root, root))[:, None]
    slopes = fit.solution.params[positions]

    def coordinates(rows: WhitenedRows, measured: RowInfluence) -> list[tuple[Array, Array]]:
        x = root @ rows.V / roots_of(rows)
        residuals = scale * rows.residuals / roots_of(rows)
        return [(each, slope * each + residuals) for each, slope in zip(x, slopes, strict=True)]

    rows = panel_rows(fit, read_planes(fit, coordinates, [None] * len(positions)))
    tests = t_values(slopes, fit.standard_errors[positions])
    panels = []
    for name, slope, t, each in zip((fit.design.names[j] for j in positions), slopes, tests, rows, strict=True):
        ends = each.plane.ends[:, 0]
        line = Curve(x=ends, y=slope * ends, color=_FIT_COLOR, label="least squares" if each.has_legend else "")
        panel = Panel(
            title=f"Added variable: {name}",
            x_label=f"{name} | others",
            y_label=f"{fit.design.response} | others",
            marks=[line, *row_marks(each)],
            note=_note(fit, f"Coefficient {slope:.4g}, t = {t:.4g}.".replace("-", "−"), len(rows)),
            y_limits=each.y_limits,
            height=_HEIGHT,
        )
        panels.append(panel)
    return panels


def _positions_of(fit: CoefficientStatistics, term: object) -> list[int]:
    """Return the positions of the coefficients of a term, or of one by its own name; without a term those of all slopes."""
    terms = {term_label(each): positions for each, positions in terms_of(fit.solution).items() if each != ()}
    names = {fit.design.names[j]: [j] for positions in terms.values() for j in positions}
    if term is None:
        positions = [j for positions in terms.values() for j in positions]
        _require_few(len(positions), "slopes", terms)
        return positions
    found = {**terms, **names}
    if not isinstance(term, str) or term not in found:
        raise OptionError(f"term={show_value(term)} is not a term of the model. {suggest_name(term, found)}")
    _require_few(len(found[term]), f"coefficients of {term}", names)
    return found[term]


def _require_few(count: int, what: str, names: Mapping[str, object]) -> None:
    if count > _MOST_PANELS:
        raise OptionError(
            f"There are {count:,} {what}, and a figure has at most {_MOST_PANELS} panels. Name one, such as "
            f"term={next(iter(names))!r}, or draw kind='coefficients'."
        )
    if not count:
        raise OptionError("The model has no slope to draw. Fit one with a predictor.")


def component_panels(fit: CoefficientStatistics, term: object) -> list[Panel]:
    """Draw, for numeric predictors, what their terms contribute plus the residual, over the predictor.

    Raises
    ------
    OptionError : there is no such predictor, it is in a term with others, the model has too many, or fixed effects are absorbed.
    """
    if fit.design.absorbed is not None:
        raise OptionError(
            "Components need the predictors as they are, and absorbed fixed effects are taken out of them. Draw kind='added'."
        )
    parts = _parts_of(fit, term)
    solution, design = fit.solution, fit.design
    columns, b = solution.factor.columns, solution.scaled_params[0]
    masked = np.stack([np.where(np.isin(columns, places), b, 0.0) for places in parts.values()])
    images = np.asarray(np.linalg.solve(whitening_matrix(solution), masked.T).T)
    scale, moments = float(design.scales[-1]), solution.moments
    means = scale * masked @ moments.gram[0, columns] / moments.weight * design.intercept

    def coordinates(rows: WhitenedRows, measured: RowInfluence) -> list[tuple[Array, Array, Array]]:
        residuals = scale * rows.residuals / roots_of(rows)
        components = [fitted_values(rows, image, scale, -mean) for image, mean in zip(images, means, strict=True)]
        return [(rows.columns[name], each + residuals, each) for name, each in zip(parts, components, strict=True)]

    rows = panel_rows(fit, read_planes(fit, coordinates, [None] * len(parts)))
    panels = []
    for (name, places), each in zip(parts.items(), rows, strict=True):
        x, y = each.plane.means(1, in_groups=False)
        terms = dict.fromkeys(term_label(design.columns[j - 1].term) for j in places)
        line = Curve(x=x, y=y, color=_FIT_COLOR, label="component" if each.has_legend else "")
        panel = Panel(
            title=f"Component and residual: {name}",
            x_label=name,
            y_label=f"component of {design.response} + residual",
            marks=[line, *row_marks(each)],
            note=_note(fit, f"Component: {join_words([*terms])}.", len(rows)),
            y_limits=each.y_limits,
            height=_HEIGHT,
        )
        panels.append(panel)
    return panels


def _parts_of(fit: CoefficientStatistics, term: object) -> Mapping[str, Sequence[int]]:
    """Return, for each numeric predictor that is in terms alone, the places in [1, x] of their columns that were not dropped."""
    design, alone, joint = fit.design, dict[str, list[int]](), dict[str, str]()
    for j, column in enumerate(design.columns, start=1):
        factors = [design.factors[text] for text in column.term]
        numbers = [part.name for f in factors if not isinstance(f, Categorical) for part in column_names(argument_of(f))]
        names = {*numbers, *(f.name.name for f in factors if isinstance(f, Categorical))}
        if len(names) == 1 and numbers:
            alone.setdefault(numbers[0], []).append(j)
        else:
            joint |= dict.fromkeys(numbers, term_label(column.term))
    kept = set(fit.solution.factor.columns.tolist())
    parts = {name: [j for j in places if j in kept] for name, places in alone.items() if name not in joint}
    parts = {name: places for name, places in parts.items() if places}
    if term is not None:
        if isinstance(term, str) and term in joint:
            raise OptionError(
                f"{term!r} is in {joint[term]} with another predictor, so it has no component alone. Draw kind='added' instead."
            )
        if not isinstance(term, str) or term not in parts:
            raise OptionError(f"term={show_value(term)} is not a numeric predictor of the model. {suggest_name(term, parts)}")
        return {term: parts[term]}
    if not parts:
        raise OptionError("No numeric predictor is in terms of its own, so none has a component. Draw kind='added' instead.")
    _require_few(len(parts), "numeric predictors", parts)
    return parts


def _note(fit: CoefficientStatistics, note: str, panels: int) -> str:
    """Return the note of a panel, below the formula if the panel is alone."""
    return note if panels > 1 else f"{fit.design.formula.text}: {describe_fit(fit)}\n{note}"
