"""Mini-batches: theory against every outcome written out, and against simulation, with the rows folded by us and by einsum."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

import squarely as sq
from squarely import theory
from squarely.data import open_source
from squarely.design import learn_from_rows, parse_formula
from squarely.moments import fold_gradient_noise, gather_moments, standardize_moments
from squarely.theory import Batches
from tests.support.checks import assert_close

WITH = "with replacement"


def rows_of(n, slopes, *, seed=0, square=0.0, mixed=True):
    """Make columns for a regression; `square` adds a term that the model lacks, so that residuals hang together with rows."""
    rng = np.random.default_rng(seed)
    p = len(slopes)
    X = rng.normal(size=(n, p)) @ np.diag(np.linspace(0.4, 1.5, p)) + 0.6 * mixed * rng.normal(size=(n, 1))
    y = 1 + X @ slopes + square * X[:, 0] ** 2 + rng.normal(size=n)
    return {**{f"x{j}": X[:, j] for j in range(p)}, "y": y}


def folded(data, formula=None):
    """Fold a table into Noise, and give what a simulation needs: the rows in the eigenbasis, and their residuals."""
    formula = formula or "y ~ " + " + ".join(name for name in data if name != "y")
    source = open_source(data)
    moments = gather_moments(learn_from_rows(parse_formula(formula), source), source)
    problem = standardize_moments(moments)
    lam = theory.decompose_hessian(problem.H)
    noise = fold_gradient_noise(moments.design, source, problem, lam, theory.fixed_point(lam, problem.h))
    names = [name for name in data if name != "y"]
    table = np.column_stack([data[name] for name in [*names, "y"]])
    if problem.intercept:
        table = (table - table.mean(0)) / table.std(0)
        X, y = np.column_stack([np.ones(len(table)), table[:, :-1]]), table[:, -1]
    else:
        table = table / np.sqrt((table**2).mean(0))
        X, y = table[:, :-1], table[:, -1]
    best = np.linalg.lstsq(X, y, rcond=None)[0]
    return noise, (X @ lam.vectors)[:, lam.flat_directions :], y - X @ best


def updated(e, v, g, batches):
    """Update as torch's SGD documents it."""
    v = batches.momentum * v + g
    return e - batches.lr * (g + batches.momentum * v if batches.nesterov else v), v


def simulate(Z, r, c, batches, epochs, *, runs=1500, seed=0, mean=False):
    """Run many descents in NumPy, written out: E[L] - L* (of the mean iterate) and its standard error at the end of each epoch."""
    rng = np.random.default_rng(seed)
    n, e = len(r), np.tile(c, (runs, 1))
    lam, v, total, count, losses = 2 * (Z**2).mean(0), np.zeros_like(e), np.zeros_like(e), 0, [0.5 * (e**2) @ (2 * (Z**2).mean(0))]
    for _ in range(epochs):
        order = (
            rng.integers(n, size=(runs, n)) if batches.sampling == WITH else rng.permuted(np.tile(np.arange(n), (runs, 1)), axis=1)
        )
        for first in range(0, n, batches.batch_size):
            rows = order[:, first : first + batches.batch_size]
            x = Z[rows]
            g = 2 * np.einsum("kbp,kb->kp", x, np.einsum("kbp,kp->kb", x, e) - r[rows]) / rows.shape[1]
            e, v = updated(e, v, g, batches)
            total, count = total + e, count + 1
        losses.append(0.5 * ((total / count if mean else e) ** 2) @ lam)
    return np.mean(losses, axis=1), np.std(losses, axis=1) / np.sqrt(runs)


def every_outcome(Z, r, c, batches, orders):
    """Give E[L] - L* after the batches of each of all equally likely orders."""
    lam, losses = 2 * (Z**2).mean(0), []
    for order in orders:
        e, v = c, np.zeros_like(c)
        for rows in order:
            x = Z[list(rows)]
            e, v = updated(e, v, 2 / len(rows) * x.T @ (x @ e - r[list(rows)]), batches)
        losses.append(0.5 * lam @ e**2)
    return np.mean(losses)


def test_the_fold_gives_the_moments_of_the_rows():
    data = rows_of(300, [1.0, -2.0, 0.5], square=0.7)
    noise, Z, r = folded(data)
    pairs = noise.pairs
    assert_close(noise.values, 2 * (Z**2).mean(0), rtol=1e-11)
    assert_close(noise.sigma2, np.mean(r**2), rtol=1e-11)
    S = 4 * np.einsum("i,ia,ib->ab", r**2, Z, Z) / len(r)
    assert_close(noise.gradient, theory.coordinates(S, pairs), rtol=1e-9, atol=1e-12)
    skew = 4 * np.einsum("i,ia,ib,ic->cab", r, Z, Z, Z) / len(r)
    assert_close(noise.skew.T, theory.coordinates(skew, pairs), rtol=1e-9, atol=1e-11)
    C = np.cov(np.random.default_rng(1).normal(size=(4, 9)))
    squared = 4 * np.einsum("ia,ib,ic,id,cd->ab", Z, Z, Z, Z, C) / len(r)
    assert_close(noise.square @ theory.coordinates(C, pairs), theory.coordinates(squared, pairs), rtol=1e-10, atol=1e-12)
    assert not noise.gaussian
    assert noise.n == 300


def test_the_fold_is_one_of_many_pieces(monkeypatch):
    data = rows_of(1000, [1.0, -2.0])
    whole = folded(data)[0]
    monkeypatch.setattr("squarely.moments.gradient_noise._CELLS", 600)
    pieces = folded(data)[0]
    for name in ("sigma2", "gradient", "skew", "square"):
        assert_close(getattr(pieces, name), getattr(whole, name), rtol=1e-11, atol=1e-13)


def test_many_columns_are_taken_as_gaussian_and_it_is_said():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40_000, 25)) + 0.5 * rng.normal(size=(40_000, 1))
    noise, Z, r = folded({**{f"x{j}": x for j, x in enumerate(X.T)}, "y": X.sum(1) + rng.normal(size=len(X))})
    assert noise.gaussian
    assert len(noise.gradient) == 26
    assert_close(noise.gradient, 4 * np.mean(r[:, None] ** 2 * Z**2, axis=0), rtol=1e-9)
    own = 4 * (Z**2).T @ Z**2 / len(Z)  # these columns are Gaussian, so the closed form meets the rows' own
    assert_close(noise.square, own, rtol=0.12)
    assert_close(theory.batch_lr_limit(noise, 64), theory.batch_lr_limit(replace(noise, square=own), 64), rtol=0.02)


def test_collinear_columns_leave_the_moving_directions():
    data = rows_of(60, [1.0, 2.0])
    whole = folded(data)[0]
    copied, Z, r = folded({**data, "x2": data["x1"], "y": data["y"]}, "y ~ x0 + x1 + x2")
    assert len(copied.values) == len(whole.values) == 3
    batches = Batches(lr=0.02, batch_size=7, sampling=WITH)
    curve = theory.expected_curve(copied, np.array([5.0, 1.0, 1.0, 1.0]), batches, 2)
    simulated, error = simulate(Z, r, np.ones(3), batches, 2)
    assert (np.abs(curve - simulated) < 4 * error + 1e-9).all()


@pytest.mark.parametrize(("n", "size"), [(4, 1), (4, 2), (5, 2), (3, 2), (3, 9)])
def test_with_replacement_every_outcome_is_counted(n, size):
    """Exact, short last batch and skewed residuals included: the expectation over all n^n epochs, and over two."""
    _, Z, r = folded(rows_of(n, [1.0], square=1.0, seed=n))
    noise = folded(rows_of(n, [1.0], square=1.0, seed=n))[0]
    c, batches = np.array([0.5, -2.0]), Batches(lr=0.1, batch_size=size, sampling=WITH)
    cuts = [slice(first, first + size) for first in range(0, n, size)]
    epochs = [[draw[cut] for cut in cuts] for draw in product(range(n), repeat=n)]
    curve = theory.expected_curve(noise, c, batches, 2)
    assert_close(curve[:2], [0.5 * noise.values @ c**2, every_outcome(Z, r, c, batches, epochs)], rtol=1e-11)
    if n < 4:
        twice = [[*a, *b] for a in epochs for b in epochs]
        assert_close(curve[2], every_outcome(Z, r, c, batches, twice), rtol=1e-11)


@pytest.mark.parametrize("kind", [{}, {"momentum": 0.6}, {"momentum": 0.6, "nesterov": True}])
@pytest.mark.parametrize(("n", "size"), [(4, 2), (5, 2), (5, 3), (6, 6), (6, 4), (5, 1), (3, 2)])
def test_reshuffled_is_exact_where_all_rows_have_the_same_hessian(n, size, kind):
    """One column of ones up to sign: only the noise of the gradient is left, and all n! orders are written out."""
    rng = np.random.default_rng(n)
    noise, Z, r = folded({"x": rng.permutation(np.arange(n) % 2 * 2.0 - 1), "y": rng.normal(size=n)}, "y ~ x - 1")
    orders = [[o[first : first + size] for first in range(0, n, size)] for o in permutations(range(n))]
    c, batches = np.array([1.5]), Batches(lr=0.13, batch_size=size, **kind)
    curve = theory.expected_curve(noise, c, batches, 400)
    assert_close(curve[1], every_outcome(Z, r, c, batches, orders), rtol=1e-11)
    if n < 5:  # the velocity goes over into the second epoch
        twice = [[*one, *other] for one in orders for other in orders]
        assert_close(curve[2], every_outcome(Z, r, c, batches, twice), rtol=1e-11)
    assert_close(theory.noise_floor(noise, batches), curve[-1], rtol=1e-9, atol=1e-15)
    if size == n:
        assert theory.noise_floor(noise, batches) < 1e-15


@pytest.mark.parametrize("kind", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_one_batch_of_all_rows_is_full_batch_descent(kind):
    noise = folded(rows_of(50, [1.0, -1.0]))[0]
    c, batches = np.array([1.0, -1.0, 0.5]), Batches(lr=0.05, batch_size=1000, **kind)
    full = theory.excess_curve(theory.Spectrum(noise.values, np.eye(3)), c, batches.descent, 40)
    assert_close(theory.expected_curve(noise, c, batches, 40), full, rtol=1e-10)


@pytest.mark.parametrize("sampling", ["reshuffled", WITH])
@pytest.mark.parametrize("size", [1, 7, 12, 31, 60])
def test_every_curve_ends_at_its_floor(size, sampling):
    """The exact floor solves for what the curve comes to by powers: two ways, also where the last batch is short."""
    noise = folded(rows_of(60, [1.0, -1.0], square=0.5))[0]
    batches = Batches(lr=0.3 * theory.batch_lr_limit(noise, size), batch_size=size, sampling=sampling)
    late = theory.expected_excess(noise, np.array([1.0, -1.0, 0.5]), batches)(10**6)
    assert_close(late, theory.noise_floor(noise, batches), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("size", [1, 4, 16, 96])
def test_the_limit_is_where_the_second_moment_stops_shrinking(size):
    """E[(I - lr H_B) x (I - lr H_B)] in full, p^2 x p^2 from Kronecker products, has the spectral radius one there."""
    noise, Z, _ = folded(rows_of(96, [1.0, 2.0], square=0.5))
    p = Z.shape[1]
    H, eye = np.diag(noise.values), np.eye(p)
    each = np.mean([np.kron(np.outer(z, z), np.outer(z, z)) for z in Z], axis=0) * 4
    lr = theory.batch_lr_limit(noise, size)
    full = np.eye(p * p) - lr * (np.kron(H, eye) + np.kron(eye, H)) + lr**2 * (each / size + (1 - 1 / size) * np.kron(H, H))
    assert_close(np.abs(np.linalg.eigvals(full)).max(), 1.0, rtol=1e-10)


def test_the_published_limits_by_batch_size():
    """Two whitened Gaussian columns, where H = 2 I and full batches may go to 1: .25, .58, .85, .97 for B = 1, 4, 16, 96."""
    sizes, published = [1, 4, 16, 96], [0.25, 0.58, 0.85, 0.97]
    values = np.array([2.0, 2.0])
    gaussian = theory.Noise(
        values=values,
        n=96,
        sigma2=1.0,
        pairs=theory.pairs_of(2, gaussian=True),
        gradient=2 * values,
        skew=np.zeros((2, 2)),
        square=theory.gaussian_square(values),
        gaussian=True,
    )
    limits = [theory.batch_lr_limit(gaussian, size) for size in sizes]
    assert_close(
        limits, [1 / (1 + 3 / size) for size in sizes], rtol=1e-12
    )  # by hand: E(H_i^2) = 16 I, and lr (16/B + 4 - 4/B) = 4
    assert_close(limits, published, rtol=0.02)
    assert_close(theory.batch_lr_limit(gaussian, 10**9), 1.0, rtol=1e-8)
    found = []
    for seed in range(20):  # 96 rows of them: the rows' own fourth moments scatter about the Gaussian ones
        X = np.random.default_rng(seed).normal(size=(96, 2))
        X = X @ np.linalg.inv(np.linalg.cholesky(X.T @ X / 96)).T
        noise = folded({"a": X[:, 0], "b": X[:, 1], "y": X.sum(1) + np.random.default_rng(99).normal(size=96)}, "y ~ a + b - 1")[0]
        found.append([theory.batch_lr_limit(noise, size) for size in sizes])
    assert_close(np.median(found, axis=0), published, rtol=0.06)


@pytest.mark.parametrize("square", [0.0, 0.5])
@pytest.mark.parametrize(("n", "size", "lr"), [(96, 4, 0.01), (96, 4, 0.1), (97, 16, 0.1), (60, 1, 0.02)])
def test_the_curve_with_replacement_is_that_of_simulation(n, size, lr, square):
    noise, Z, r = folded(rows_of(n, [1.0, -1.0], square=square))
    batches, c = Batches(lr=lr, batch_size=size, sampling=WITH), np.array([1.0, -1.0, 0.5])
    simulated, error = simulate(Z, r, c, batches, 12)
    assert (np.abs(theory.expected_curve(noise, c, batches, 12) - simulated) < 4 * error + 1e-12).all()


def test_floors_of_both_samplings_are_far_apart():
    """n = 96, B = 4, lr = .01: reshuffling leaves .00016 where the first order with replacement is .00704, a fortieth.

    Theory's floor with replacement is within 4 % of simulation, and the reshuffled one at most 16 % below it.
    """
    noise, Z, r = folded(rows_of(96, [1.0, -1.0], mixed=False))
    batches, settled = Batches(lr=0.01, batch_size=4), np.zeros(3)
    drawn = replace(batches, sampling=WITH)
    floor, first, low = (
        theory.noise_floor(noise, drawn),
        theory.first_order_floor(noise, drawn),
        theory.noise_floor(noise, batches),
    )
    assert_close(first, 0.01 * noise.sigma2 * 3 / 4, rtol=0.2)  # lr sigma^2 tr(X'X/n) / B, were the residuals as large everywhere
    assert 30 < first / low < 60
    simulated = simulate(Z, r, settled, drawn, 25)[0][12:].mean()
    assert_close(floor, simulated, rtol=0.04)
    assert first < floor < 1.1 * first
    simulated = simulate(Z, r, settled, batches, 25)[0][12:].mean()
    assert 0.84 < low / simulated < 1.0


@pytest.mark.parametrize(("n", "size", "share"), [(96, 4, 0.1), (97, 16, 0.1), (60, 1, 0.1), (200, 20, 0.25)])
def test_reshuffled_curves_are_those_of_simulation_to_first_order(n, size, share):
    noise, Z, r = folded(rows_of(n, [1.0, -1.0], square=0.3))
    batches = Batches(lr=share * theory.batch_lr_limit(noise, size), batch_size=size)
    c = np.array([1.0, -1.0, 0.5])
    simulated, error = simulate(Z, r, c, batches, 20, runs=2500)
    curve = theory.expected_curve(noise, c, batches, 20)
    assert (np.abs(curve / simulated - 1) < 0.2 + 3 * error / simulated).all()
    late = simulated[8:].mean()
    assert 0.76 < theory.noise_floor(noise, batches) / late < 1.0


def test_reshuffled_batches_bear_the_rates_that_drawn_ones_do():
    noise, Z, r = folded(rows_of(96, [1.0, -1.0]))
    for size in (1, 4, 16):
        batches = Batches(lr=0.95 * theory.batch_lr_limit(noise, size), batch_size=size)
        simulated, _ = simulate(Z, r, np.array([30.0, -30.0, 30.0]), batches, 30, runs=300)
        assert simulated[-1] < 0.1 * simulated[0]


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_keeps_the_noise_of_the_last_batches(nesterov):
    """Reshuffled, the velocity has not yet spent the last batches at the end of an epoch: a larger rate would not tell."""
    noise, Z, r = folded(rows_of(96, [1.0, -1.0]))
    batches = Batches(lr=0.001, batch_size=4, momentum=0.9, nesterov=nesterov)
    simulated, error = simulate(Z, r, np.ones(3), batches, 40)
    curve = theory.expected_curve(noise, np.ones(3), batches, 40)
    assert (np.abs(curve / simulated - 1) < 0.1 + 3 * error / simulated).all()
    floor = theory.noise_floor(noise, batches)
    assert 0.84 < floor / simulated[25:].mean() < 1.02
    assert floor > 1.4 * theory.noise_floor(noise, Batches(lr=0.01, batch_size=4))


def test_momentum_with_replacement_is_a_larger_rate_to_first_order():
    noise, Z, r = folded(rows_of(96, [1.0, -1.0]))
    batches = Batches(lr=0.001, batch_size=2, sampling=WITH, momentum=0.5)
    simulated, error = simulate(Z, r, np.ones(3), batches, 60)
    curve = theory.expected_curve(noise, np.ones(3), batches, 60)
    assert (np.abs(curve / simulated - 1) < 0.03 + 3 * error / simulated).all()


@pytest.mark.parametrize("sampling", ["reshuffled", WITH])
def test_epochs_and_rates_for_a_target_are_read_off_the_curves(sampling):
    noise = folded(rows_of(96, [1.0, -1.0]))[0]
    c, batches = np.array([1.0, -1.0, 2.0]), Batches(lr=0.003, batch_size=10, sampling=sampling)
    floor = theory.noise_floor(noise, batches)
    target = 1.5 * floor
    needed = theory.expected_epochs(noise, c, batches, target)
    curve = theory.expected_curve(noise, c, batches, needed)
    assert curve[needed] <= target < curve[needed - 1]
    assert theory.expected_epochs(noise, c, batches, 0.99 * floor) is None
    assert theory.expected_epochs(noise, c, batches, 1e9) == 0
    assert_close(theory.lr_for_floor(noise, batches, floor), 0.003, rtol=1e-9)
    assert theory.noise_floor(noise, replace(batches, lr=1.1 * theory.lr_for_floor(noise, batches, target))) > target


def test_a_rate_above_the_limit_is_predicted_to_diverge():
    noise = folded(rows_of(96, [1.0, -1.0]))[0]
    for sampling, lr in ((WITH, 1.02 * theory.batch_lr_limit(noise, 4)), ("reshuffled", 1.01 * 2 / noise.values[-1])):
        batches = Batches(lr=lr, batch_size=4, sampling=sampling)
        assert theory.noise_floor(noise, batches) == np.inf
        assert theory.expected_excess(noise, np.ones(3), batches)(100_000) == np.inf
        assert theory.expected_epochs(noise, np.ones(3), batches, 1e-3) is None


def test_epochs_of_a_million_batches_cost_no_more():
    """At tiny rates each mode falls by exp(-2 lr lam m) an epoch; m = 1e6 steps are not walked."""
    noise = replace(folded(rows_of(96, [1.0, -1.0]))[0], n=10**6)
    c, lr = np.array([1.0, -1.0, 2.0]), 1e-9
    for sampling in ("reshuffled", WITH):
        curve = theory.expected_curve(noise, c, Batches(lr=lr, batch_size=1, sampling=sampling), 3)
        falls = [0.5 * noise.values @ (c * np.exp(-lr * noise.values * 1e6 * k)) ** 2 for k in range(4)]
        assert_close(curve, falls, rtol=1e-7)


def test_the_floor_of_cars_is_that_of_simulation():
    """Real rows, whose residuals grow and bend with displacement: 398 rows do not divide into batches of 32."""
    cars = sq.datasets.cars()
    noise, Z, r = folded({"displacement": cars["displacement"].to_numpy(), "y": cars["mpg"].to_numpy()})
    batches, c = Batches(lr=0.05, batch_size=32), np.array([1.0, -1.0])
    simulated, error = simulate(Z, r, c, replace(batches, sampling=WITH), 15)
    curve = theory.expected_curve(noise, c, replace(batches, sampling=WITH), 15)
    assert (np.abs(curve - simulated) < 4 * error + 1e-12).all()
    simulated, _ = simulate(Z, r, c, batches, 15)
    assert 0.85 < theory.noise_floor(noise, batches) / simulated[7:].mean() < 1.0


def test_averaging_by_simulation():
    """8 parameters, 25 epochs: n (L - L*) / sigma^2 is p / epochs = .32 (.333 simulated), at whatever rate."""
    noise, Z, r = folded(rows_of(200, np.ones(7), mixed=False))
    for lr in (0.02, 0.06):
        batches = Batches(lr=lr, batch_size=8, sampling=WITH)
        theirs = theory.averaged_excess(noise, np.zeros(8), batches, 25)
        assert_close(200 * theirs / noise.sigma2, 0.32, rtol=0.1)
        simulated, error = simulate(Z, r, np.zeros(8), batches, 25, runs=1000, mean=True)
        assert abs(theirs - simulated[-1]) < 0.01 * theirs + 3 * error[-1]


def test_averaging_forgets_the_start_as_one_over_the_square_of_the_epochs():
    noise, Z, r = folded(rows_of(200, np.ones(7), mixed=False))
    start, batches = np.full(8, 2.0), Batches(lr=0.02, batch_size=8, sampling=WITH)
    simulated, _ = simulate(Z, r, start, batches, 25, runs=300, mean=True)
    assert_close(theory.averaged_excess(noise, start, batches, 25), simulated[-1], rtol=0.05)
    fall = theory.averaged_excess(noise, 1e6 * start, batches, 1000) / theory.averaged_excess(noise, 1e6 * start, batches, 10_000)
    assert_close(fall, 100.0, rtol=0.01)


def test_averaging_takes_epochs_by_the_square_of_the_tolerance():
    assert theory.epochs_by_averaging(0.1) == 100
    assert theory.epochs_by_averaging(0.25, parameters=8) == 128
    noise, Z, r = folded(rows_of(200, np.ones(7), mixed=False))
    epochs = theory.epochs_by_averaging(0.5, parameters=8)
    simulated, _ = simulate(Z, r, np.zeros(8), Batches(lr=0.02, batch_size=8, sampling=WITH), epochs, runs=400, mean=True)
    assert_close(200 * simulated[-1] / noise.sigma2, 0.5**2, rtol=0.1)


def test_reshuffled_iterates_average_better():
    noise, Z, r = folded(rows_of(96, [1.0, -1.0]))
    batches = Batches(lr=0.05, batch_size=4)
    simulated, _ = simulate(Z, r, np.zeros(3), batches, 20, runs=400, mean=True)
    assert simulated[-1] < theory.averaged_excess(noise, np.zeros(3), batches, 20) / 5


def transition(H, descent):
    """Give the matrix of one step of torch's SGD on (error, velocity)."""
    eye, beta, lr = np.eye(len(H)), descent.momentum, descent.lr
    ahead, push = (beta, 1.0) if descent.nesterov else (1.0, 0.0)
    H = H + descent.weight_decay * eye
    return np.block([[eye - lr * (ahead + push) * H, -lr * ahead * beta * eye], [H, beta * eye]])


@pytest.mark.parametrize(("n", "size"), [(60, 1), (60, 4), (60, 30), (61, 60), (50, 16)])
@pytest.mark.parametrize(
    "kind", [{}, {"momentum": 0.5}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.5}]
)
def test_the_limit_with_momentum_is_where_the_second_moments_stop_shrinking(n, size, kind):
    """E(A x A) of one step A in full, and those of an epoch with its short last batch, have the spectral radius one there."""
    noise, Z, _ = folded(rows_of(n, [1.0], square=0.5))
    steps, last = -(-n // size), n - (-(-n // size) - 1) * size
    descent = theory.Descent(lr=theory.batch_lr_limit(noise, size, theory.Descent(lr=1.0, **kind)), **kind)

    def second(rows):
        mean = transition(np.diag(noise.values), descent)
        each = sum(np.kron(D, D) for D in (transition(2 * np.outer(z, z), descent) - mean for z in Z)) / n
        return np.kron(mean, mean) + each / rows

    epoch = second(last) @ np.linalg.matrix_power(second(size), steps - 1)
    assert_close(np.abs(np.linalg.eigvals(epoch)).max(), 1.0, rtol=1e-7)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(("n", "size"), [(97, 16), (60, 1), (21, 20)])
def test_curves_with_replacement_and_momentum_are_those_of_simulation(n, size, nesterov):
    """Exact at any rate below the limit, far above those at which lr / (1 - beta) would do."""
    noise, Z, r = folded(rows_of(n, [1.0, -1.0], square=0.5))
    kind, c = {"momentum": 0.9, "nesterov": nesterov}, np.array([1.0, -1.0, 0.5])
    lr = 0.3 * theory.batch_lr_limit(noise, size, theory.Descent(lr=1.0, **kind))
    batches = Batches(lr=lr, batch_size=size, sampling=WITH, **kind)
    simulated, error = simulate(Z, r, c, batches, 10)
    assert (np.abs(theory.expected_curve(noise, c, batches, 10) - simulated) < 5 * error + 1e-12).all()
    assert_close(theory.expected_excess(noise, c, batches)(10**6), theory.noise_floor(noise, batches), rtol=1e-8)


@pytest.mark.parametrize(("momentum", "size", "times"), [(0.9, 480, 10), (0.9, 96, 6), (0.99, 480, 20)])
def test_batches_with_momentum_bear_many_times_what_a_small_rate_would_say(momentum, size, times):
    """Half of the limit, which is so many times limit * (1 - beta), is borne by reshuffled batches of Gaussian columns."""
    noise, Z, r = folded(rows_of(960, [1.0, -2.0], mixed=False))
    limit = theory.batch_lr_limit(noise, size, theory.Descent(lr=1.0, momentum=momentum))
    assert limit > 0.5 * times * theory.batch_lr_limit(noise, size) * (1 - momentum)
    batches = Batches(lr=0.5 * limit, batch_size=size, momentum=momentum)
    simulated, _ = simulate(Z, r, np.array([30.0, -30.0, 30.0]), batches, 60 if momentum < 0.95 else 300, runs=10)
    assert simulated[-1] < 0.1 * simulated[0]
