"""The digits that are claimed for robust standard errors, against exact fractions on designs where rounding matters."""

from fractions import Fraction

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import exact_normal_equations_of, nist, nist_columns
from tests.support.exact_reference import as_decimal, root, true_digits

N, LAGS = 24, 2
GROUPS, CROSSED = np.arange(N) // 3, np.arange(N) % 7
KINDS = ("HC0", "HC1", "HC2", "HC3", "HC4", "CR1", "CR3", "HAC", "DK")


def designs():
    rng = np.random.default_rng(1)
    x, other, noise = rng.normal(size=(3, N))
    odd = np.arange(N) % 2 == 1
    longley = {name: np.asarray(values, float) for name, values in nist_columns(nist("Longley"))[1].items()}
    pairs = np.repeat(rng.normal(size=N // 2), 2)
    return {
        "Longley": longley,
        "powers": {**{f"x{k}": (10 + x) ** k for k in range(1, 5)}, "y": 11 + x + noise},
        "leverage": {"x": np.where(np.arange(N) == 3, 1e6, x), "z": other, "y": x + noise},
        "level": {"x": 1e8 + x, "z": x**2, "y": 1e9 + x + 1e-3 * noise},
        "heteroscedastic": {"x": np.where(odd, x, 1e-5 * x), "z": other, "y": np.where(odd, 1e-6, 1e3) * noise},
        "collinear": {"x": x, "z": x + 1e-6 * other, "y": x + noise},
        "cancelling": {"x": pairs, "y": 2 * pairs + np.tile([1.0, -1.0], N // 2) * (100 + 1e-4 * noise)},
        "plain": {"x": x, "z": other, "y": x + noise},
    }


DESIGNS = designs()


def groups_of(name, n):
    return np.arange(n) // 2 if name == "cancelling" else GROUPS[:n]


def exact_variances(data, g, kind):
    """Return the variances of the coefficients as fractions."""
    y = [Fraction(v) for v in data["y"].tolist()]
    columns = [values.tolist() for name, values in data.items() if name != "y"]
    X = [[Fraction(1), *map(Fraction, row)] for row in zip(*columns, strict=True)]
    b, inverse, _ = exact_normal_equations_of(X, data["y"])
    n, k, terms = len(y), len(b), range(len(b))
    e = [y[i] - sum(u * v for u, v in zip(X[i], b, strict=True)) for i in range(n)]
    C = [[sum(inverse[j][m] * X[i][m] for m in terms) for j in terms] for i in range(n)]
    if kind.startswith("HC"):
        h = [sum(c * x for c, x in zip(C[i], X[i], strict=True)) for i in range(n)]
        return [sum(C[i][j] ** 2 * e[i] ** 2 * hc_factor(kind, h[i], n, k) for i in range(n)) for j in terms]
    if kind == "HAC":
        return [Fraction(n, n - k) * bartlett([C[i][j] * e[i] for i in range(n)]) for j in terms]
    if kind == "two-way":
        pairs = np.array([first * n + second for first, second in zip(g.tolist(), CROSSED[:n].tolist(), strict=True)])
        parts = [exact_variances(data, labels, "CR1") for labels in (g, CROSSED[:n], pairs)]
        return [first + second - both for first, second, both in zip(*parts, strict=True)]
    clusters = [[i for i in range(n) if g[i] == label] for label in sorted(set(g.tolist()))]
    sums = [cluster_scores(C, X, e, rows, adjusted=kind == "CR3") for rows in clusters]
    G = len(clusters)
    if kind == "DK":
        return [Fraction(G, G - 1) * Fraction(n - 1, n - k) * bartlett([s[j] for s in sums]) for j in terms]
    factor = Fraction(G - 1, G) if kind == "CR3" else Fraction(G, G - 1) * Fraction(n - 1, n - k)
    return [factor * sum(s[j] ** 2 for s in sums) for j in terms]


def hc_factor(kind, h, n, k):
    if kind in ("HC0", "HC1"):
        return Fraction(n, n - k) if kind == "HC1" else 1
    power = {"HC2": 1, "HC3": 2}.get(kind, min(Fraction(4), n * h / k))
    return Fraction(as_decimal(1 - h) ** -as_decimal(Fraction(power)))


def bartlett(scores):
    total = sum(s * s for s in scores)
    for lag in range(1, LAGS + 1):
        products = (a * b for a, b in zip(scores[lag:], scores[:-lag], strict=True))
        total += 2 * (1 - Fraction(lag, LAGS + 1)) * sum(products)
    return total


def cluster_scores(C, X, e, rows, *, adjusted):
    """Return the sums of a cluster's rows of C times its residuals, or times (I - H)^-1 of them."""
    u = [e[i] for i in rows]
    if adjusted:
        M = [[int(i == j) - sum(c * x for c, x in zip(C[i], X[j], strict=True)) for j in rows] + [e[i]] for i in rows]
        for p in range(len(rows)):
            M[p] = [v / M[p][p] for v in M[p]]
            M = [row if r == p else [a - row[p] * b for a, b in zip(row, M[p], strict=True)] for r, row in enumerate(M)]
        u = [row[-1] for row in M]
    return [sum(C[i][j] * v for i, v in zip(rows, u, strict=True)) for j in range(len(C[0]))]


CASES = [(name, kind) for name in DESIGNS for kind in KINDS]
CASES += [(name, "two-way") for name in ("leverage", "collinear", "plain")]  # indefinite ones have eigenvalues set to zero


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_robust_standard_errors_have_the_digits_that_are_claimed(name, kind):
    data = DESIGNS[name]
    g = groups_of(name, len(data["y"]))
    fit = sq.ols(f"y ~ {' + '.join(each for each in data if each != 'y')}", {**data, "g": g, "h": CROSSED[: len(g)]})
    options = {"CR": {"cluster": "g"}, "HA": {"lags": LAGS}, "DK": {"lags": LAGS, "time": "g"}}.get(kind[:2], {})
    robust = fit.vcov(cluster=["g", "h"]) if kind == "two-way" else fit.vcov(kind, **options)
    if kind == "CR3" and name == "leverage":  # the cluster with that row determines the coefficient up to rounding
        assert robust.bse.isna().all()
        assert robust.digits_bse.isna().all()
        return
    for error, claimed, variance in zip(robust.bse, robust.digits_bse, exact_variances(data, g, kind), strict=True):
        assert 0 < claimed <= true_digits(error, root(variance)) + 1e-9
    assert (robust.digits_bse <= fit.digits_bse).all()
    if name == "plain":
        assert (robust.digits_bse > 13).all()
    assert robust.table["digits_std_err"].equals(robust.digits_bse.rename("digits_std_err"))


@pytest.mark.parametrize("kind", ["HC3", "CR3"])
def test_a_saved_fit_keeps_the_digits_of_its_standard_errors(kind, tmp_path):
    fit = sq.ols("y ~ x + z", {**DESIGNS["plain"], "g": GROUPS}, vcov=kind, cluster="g" if kind == "CR3" else None)
    fit.save(tmp_path / "fit.json")
    assert sq.load(tmp_path / "fit.json").digits_bse.tolist() == fit.digits_bse.tolist()
