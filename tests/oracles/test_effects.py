"""Average slopes, contrasts and predictions against R, emmeans and marginaleffects: the reference cases of effects."""

import pytest

from tests.support.inference_oracles import CASES, assert_values, fit_of

POINTS = [
    {"education": 8, "type": "bc", "income": 4000, "women": 0},
    {"education": 12, "type": "wc", "income": 6000, "women": 50},
    {"education": 16, "type": "prof", "income": 12000, "women": 10},
]
_NAMES = {"se": "se", "p": "pvalue", "low": "low", "high": "high", "estimate": "estimate", "t": "t"}


def _one_row(frame, prefix=""):
    (row,) = frame.to_dict("records")
    return {f"{prefix}{key}": row[name] for key, name in _NAMES.items()}


def _rows(frame, make_prefix):
    rows = frame.to_dict("records")
    return {f"{make_prefix(i, row)}{key}": row[name] for i, row in enumerate(rows) for key, name in _NAMES.items()}


@pytest.mark.parametrize("variable", ["education", "income", "women"])
@pytest.mark.parametrize("prefix", ["slope.avg.", "slope.avg.hc3."])
def test_average_slopes(prefix, variable):
    case = CASES[f"{prefix}{variable}"]
    assert_values(case, _one_row(fit_of(case).effects(variable)))


@pytest.mark.parametrize("level", ["bc", "prof", "wc"])
def test_averages_by_group_and_with_a_level_set(level):
    slopes, groups, counterfactual = (CASES[f"{name}.{level}"] for name in ("slope.by", "mean.by", "mean.cf"))
    fit = fit_of(slopes)
    assert_values(slopes, _one_row(fit.effects("education", by="type").query("type == @level")))
    assert_values(groups, _one_row(fit.margins(by="type").query("type == @level")))
    assert_values(counterfactual, _one_row(fit.margins(at={"type": level})))


def test_average_contrasts():
    case = CASES["contrast.prof"]
    assert_values(case, _one_row(fit_of(case).effects("type").query("contrast == 'prof - bc'")))


@pytest.mark.parametrize("i", [1, 2, 3])
def test_predictions_at_points(i):
    case = CASES[f"grid.{i}"]
    assert_values(case, _one_row(fit_of(case).margins(at=POINTS[i - 1])))


def test_estimated_marginal_means_and_trends():
    case = CASES["emm.type"]
    rows = fit_of(case).margins(at="mean", by="type").set_index("type")
    numbers = {f"{key}{level}": rows.loc[level, name] for level in rows.index
               for key, name in {"": "estimate", "se ": "se", "low ": "low", "high ": "high"}.items()}  # fmt: skip
    assert_values(case, numbers)
    case = CASES["trends"]
    rows = fit_of(case).effects("education", by="type").set_index("type")
    assert_values(case, {f"{key}{level}": rows.loc[level, name] for level in rows.index
                         for key, name in {"": "estimate", "se ": "se"}.items()})  # fmt: skip


def test_standardized_coefficients_and_partial_r2():
    case = CASES["std.coef"]
    assert_values(case, fit_of(case).standardized().to_dict())
    case = CASES["partialR2"]
    assert_values(case, fit_of(case).partial_r2().to_dict())


@pytest.mark.parametrize("name", ["me.slopes.avg", "me.slopes.hc3"])
def test_slopes_of_marginaleffects(name):
    frame = fit_of(CASES[name]).effects(["education", "income", "women"])
    prefix = "term={variable} contrast=dY/dX " if name == "me.slopes.avg" else "term={variable} "
    assert_values(CASES[name], _rows(frame, lambda i, row: prefix.format(**row)))


def test_elasticities_of_marginaleffects():
    case = CASES["me.slopes.ela"]
    assert_values(case, _one_row(fit_of(case).effects("income", slope="eyex"), "term=income "))


def test_groups_and_contrasts_of_marginaleffects():
    fit = fit_of(CASES["me.slopes.by"])
    by_type = _rows(fit.effects("education", by="type"), lambda i, row: f"term=education kind={row['type']} ")
    assert_values(CASES["me.slopes.by"], by_type)
    assert_values(CASES["me.pred.by"], _rows(fit.margins(by="type"), lambda i, row: f"kind={row['type']} "))
    contrasts = _rows(fit.effects("type"), lambda i, row: f"term=kind contrast={row['contrast']} ")
    assert_values(CASES["me.comp.type"], contrasts)


def test_points_of_marginaleffects():
    fit = fit_of(CASES["me.pred.grid"])
    predictions, slopes = {}, {}
    for i, point in enumerate(POINTS):
        predictions |= _one_row(fit.margins(at=point), f"rowid={i} ")
        for variable in ("education", "women"):
            slopes |= _one_row(fit.effects(variable, at=point), f"rowid={i} term={variable} ")
    assert_values(CASES["me.pred.grid"], predictions)
    assert_values(CASES["me.slopes.grid"], slopes)
