"""Ridge, lasso and elastic net: those of MASS, glmnet and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import ElasticNet, Lasso, LassoCV, Ridge
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import StandardScaler

import squarely as sq
from tests.support.checks import assert_close
from tests.support.inference_oracles import CASES, assert_values, options_of, table

ALPHAS = {
    "ridge.1": 1, "ridge.10": 10, "ridge.100": 100, "sk.ridge10": 10, "sk.ridge10.raw": 10, "lasso.1": 1, "lasso.0.1": 0.1,
    "sk.lasso.1": 0.1, "sk.lasso.1.raw": 0.1, "enet.0.5": 0.5, "sk.enet": 0.5, "sk.enet.raw": 0.5,
}  # fmt: skip


def least_squares(case):
    return sq.ols(case["formula"], table(case["data"]))


@pytest.mark.parametrize("name", ALPHAS)
def test_coefficients_are_those_of_the_case(name):
    case = CASES[name]
    method = next(method for key, method in {"ridge": "ridge", "lasso": "lasso", "enet": "elastic_net"}.items() if key in name)
    penalized = getattr(least_squares(case), method)(ALPHAS[name], **options_of(case))
    assert_values(case, penalized.params.to_dict())


def test_generalized_cross_validation_is_that_of_mass():
    case = CASES["ridge.gcv"]
    ridge = least_squares(case).ridge([0, 1, 10, 100])
    assert_values(case, {f"lambda{alpha:g}": score for alpha, score in ridge.criteria["gcv"].items()})
    assert ridge.alpha == 10


def peers(seed, *, k=30, n=80, collinear=False):
    """Return a data frame with more columns than a lasso keeps, and the standardized columns."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + 100 * rng.normal(size=k)
    if collinear:
        X[:, 3] = X[:, 1] + X[:, 2]
    y = X[:, :5] @ rng.normal(size=5) + 10 * rng.normal(size=n)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(k)]).assign(y=y, w=rng.uniform(0.5, 2, n))
    return frame, StandardScaler().fit_transform(X), y, "y ~ " + " + ".join(frame.columns[:k])


def slopes_of(penalized, frame, k=30):
    return penalized.params.to_numpy()[1:] * frame.iloc[:, :k].std(ddof=0).to_numpy()


@pytest.mark.parametrize("seed", range(5))
def test_slopes_are_those_of_scikit_learn(seed):
    frame, Z, y, formula = peers(seed)
    fit = sq.ols(formula, frame)
    for alpha in (0.01, 0.3, 3.0):
        settings = {"alpha": alpha, "max_iter": 10**6, "tol": 1e-13}
        assert_close(slopes_of(fit.lasso(alpha), frame), Lasso(**settings).fit(Z, y).coef_, rtol=1e-6, atol=1e-7)
        net = ElasticNet(**settings, l1_ratio=0.7).fit(Z, y).coef_
        assert_close(slopes_of(fit.elastic_net(alpha, 0.7), frame), net, rtol=1e-6, atol=1e-7)
        assert_close(slopes_of(fit.ridge(alpha), frame), Ridge(alpha=alpha).fit(Z, y).coef_, rtol=1e-9)


def test_ridge_decides_between_columns_that_depend_on_each_other():
    frame, Z, y, formula = peers(1, collinear=True)
    fit = sq.ols(formula, frame)
    assert len(fit.dropped_columns) == 1
    ridge = fit.ridge(2.0)
    assert_close(slopes_of(ridge, frame), Ridge(alpha=2.0, solver="svd").fit(Z, y).coef_, rtol=1e-9)
    assert "dropped" in " ".join(ridge.summary().notes)
    predicted = Ridge(alpha=2.0, solver="svd").fit(Z, y).predict(Z)
    assert_close(ridge.predict(frame), predicted, rtol=1e-9)
    assert_close(ridge.ssr, ((y - predicted) ** 2).sum(), rtol=1e-9)


def test_weighted_ridge_and_lasso_are_those_of_scikit_learn():
    frame, _, y, formula = peers(2)
    fit, w = sq.ols(formula, frame, weights="w"), frame["w"].to_numpy()
    X = frame.iloc[:, :30].to_numpy()
    peer = Ridge(alpha=3.0).fit(X, y, sample_weight=w)
    assert_close(fit.ridge(3.0, standardize=False).params.to_numpy()[1:], peer.coef_, rtol=1e-8)
    peer = Lasso(alpha=0.5, max_iter=10**6, tol=1e-13).fit(X, y, sample_weight=w)
    assert_close(fit.lasso(0.5, standardize=False).params.to_numpy()[1:], peer.coef_, rtol=1e-5, atol=1e-7)


def test_cross_validation_is_that_of_scikit_learn():
    frame, Z, y, formula = peers(3)
    fit = sq.ols(formula, frame)
    lasso = fit.lasso("cv", folds=5)
    folds = PredefinedSplit(np.arange(len(frame)) % 5)
    peer = LassoCV(alphas=list(lasso.alphas), cv=folds, max_iter=10**6, tol=1e-13).fit(Z, y)
    assert_close(lasso.criteria["cv_mse"].to_numpy(), peer.mse_path_.mean(axis=1), rtol=1e-7)
    assert_close(lasso.alpha, peer.alpha_, rtol=1e-12)
    assert lasso.alpha_1se >= lasso.alpha
    by_column = sq.ols(formula, frame.assign(fold=np.arange(len(frame)) % 5)).lasso("cv", folds="fold")
    assert_close(by_column.criteria["cv_mse"].to_numpy(), lasso.criteria["cv_mse"].to_numpy(), rtol=1e-12)


def test_the_slopes_satisfy_the_conditions_of_the_minimum():
    for seed in range(20):
        frame, Z, y, formula = peers(seed, k=12, n=30, collinear=seed % 2 == 0)
        fit = sq.ols(formula, frame)
        for alpha in (1e-4, 0.1, 2.0):
            b = slopes_of(fit.lasso(alpha), frame, 12)
            gradient = Z.T @ (y - y.mean() - Z @ b) / len(y)
            size = np.abs(Z.T @ (y - y.mean()) / len(y)).max()
            assert np.abs(gradient).max() <= alpha + 1e-9 * size
            assert_close(gradient[b != 0], alpha * np.sign(b[b != 0]), rtol=1e-9, atol=1e-9 * size)


def test_a_penalty_of_zero_is_least_squares():
    frame, _, _, formula = peers(4)
    fit = sq.ols(formula, frame)
    for penalized in (fit.ridge(0), fit.lasso(0.0), fit.elastic_net(0, 0.3)):
        assert_close(penalized.params.to_numpy(), fit.params.to_numpy(), rtol=1e-9)
        assert_close([penalized.ssr, penalized.df, penalized.rsquared], [fit.ssr, 30, fit.rsquared], rtol=1e-9)


def test_a_fit_without_an_intercept_or_with_a_constant_column(tmp_path):
    frame, _, y, _ = peers(5)
    X = frame[["x0", "x1", "x2"]].to_numpy()
    fit = sq.ols("y ~ x0 + x1 + x2 - 1", frame)
    peer = Ridge(alpha=5.0, fit_intercept=False).fit(X, y)
    assert_close(fit.ridge(5.0, standardize=False).params.to_numpy(), peer.coef_, rtol=1e-9)
    constant = sq.ols("y ~ x0 + c + x1", frame.assign(c=7.0)).ridge(5.0)
    assert constant.params["c"] == 0
    notes = " ".join(constant.summary().notes)
    assert "The slope of c is zero, because it is constant." in notes
    assert "depend on each other" not in notes
    assert_close(constant.params.drop("c").to_numpy(), sq.ols("y ~ x0 + x1", frame).ridge(5.0).params.to_numpy(), rtol=1e-9)


def test_a_loaded_or_merged_fit_needs_no_rows(tmp_path):
    frame, _, _, formula = peers(6)
    fit = sq.ols(formula, frame)
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    assert_close(loaded.ridge(2.0).params.to_numpy(), fit.ridge(2.0).params.to_numpy(), rtol=1e-9)
    merged = sq.merge([sq.ols(formula, frame[:40]), sq.ols(formula, frame[40:])])
    assert_close(merged.lasso(0.3).params.to_numpy(), fit.lasso(0.3).params.to_numpy(), rtol=1e-8, atol=1e-10)
    with pytest.raises(sq.errors.DataError, match="needs the rows"):
        loaded.lasso("cv")


def test_the_path_and_its_page():
    frame, _, _, formula = peers(7)
    ridge = sq.ols(formula, frame).ridge()
    near = [ridge.criteria["gcv"].iloc[ridge.position + i] for i in (-1, 0, 1)]
    assert near[1] == min(near) == ridge.criteria["gcv"].min()
    assert ridge.path.loc[ridge.alpha].equals(ridge.params.rename(ridge.alpha))
    other = ridge.at(1.0)
    assert 0.7 < other.alpha < 1.5
    page = str(ridge.summary())
    assert "Ridge Regression Results" in page
    assert f"{ridge.alpha:.6g}" in page
    assert ridge.as_dict()["params"] == ridge.params.to_dict()
