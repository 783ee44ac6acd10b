"""Theory against simulation and against published numbers; three correlated columns, so that no one-column formula would do."""

from dataclasses import replace

import numpy as np
import pytest

from squarely import theory
from tests.support.checks import assert_close

METHODS = [theory.Descent(lr=0.03), theory.Descent(lr=0.03, momentum=0.9), theory.Descent(lr=0.03, momentum=0.9, nesterov=True)]
DECAYING = [replace(method, weight_decay=0.2) for method in METHODS]


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 3)) @ np.array([[1, 0.9, 0], [0, 0.3, 0.2], [0, 0, 2]])
    y = X @ [1, 2, 3] + rng.normal(size=50)
    return X, y, 2 / 50 * X.T @ X, np.linalg.lstsq(X, y, rcond=None)[0]


def simulate(X, y, w, descent, epochs, *, rates=None):
    """Run torch's update rule in NumPy, written out from torch's documentation: the losses and the final w."""
    v, losses = np.zeros_like(w), []
    for lr in [descent.lr] * epochs if rates is None else rates:
        losses.append(np.mean((X @ w - y) ** 2))
        g = 2 / len(y) * X.T @ (X @ w - y) + descent.weight_decay * w
        v = descent.momentum * v + g
        w = w - lr * (g + descent.momentum * v if descent.nesterov else v)
    return [*losses, np.mean((X @ w - y) ** 2)], w


@pytest.mark.parametrize("descent", METHODS)
def test_curves_and_errors_equal_a_simulation(problem, descent):
    X, y, H, best = problem
    start = np.array([0.5, -1.0, 2.0])
    lam = theory.decompose_hessian(H)
    c = lam.vectors.T @ (start - best)
    losses, w = simulate(X, y, start, descent, 200)
    floor = np.mean((X @ best - y) ** 2)
    assert_close(floor + theory.excess_curve(lam, c, descent, 200), losses, rtol=1e-11)
    assert_close(best + lam.vectors @ theory.modes_after(lam, c, descent, 200), w, rtol=1e-11)


@pytest.mark.parametrize("descent", [*METHODS, *DECAYING])
def test_schedules_and_decay_equal_a_simulation(problem, descent):
    """Weight decay rests at the ridge solution; the plain loss follows from the distance to it and to the optimum."""
    X, y, H, best = problem
    start, h, lam = np.array([0.5, -1.0, 2.0]), 2 / 50 * X.T @ y, theory.decompose_hessian(H)
    rest = theory.fixed_point(lam, h, descent.weight_decay)
    assert_close(rest, np.linalg.solve(H + descent.weight_decay * np.eye(3), h), rtol=1e-11)
    c, away = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - best)
    rates = 0.03 * 0.99 ** np.arange(150)
    losses, w = simulate(X, y, start, descent, 0, rates=rates)
    floor = np.mean((X @ best - y) ** 2)
    assert_close(floor + theory.scheduled_curve(lam, c, descent, rates, offset=away), losses, rtol=1e-11)
    assert_close(rest + lam.vectors @ [*theory.modes_along(lam, c, descent, rates)][-1], w, rtol=1e-10)
    losses, w = simulate(X, y, start, descent, 100)
    assert_close(floor + theory.excess_curve(lam, c, descent, 100, offset=away), losses, rtol=1e-11)
    assert_close(rest + lam.vectors @ theory.modes_after(lam, c, descent, 100), w, rtol=1e-10)


@pytest.mark.parametrize("descent", [*METHODS, *DECAYING])
def test_torch_itself_runs_as_predicted(problem, descent):
    import torch

    X, y, H, best = problem
    lam, start = theory.decompose_hessian(H), np.array([0.5, -1.0, 2.0])
    w = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD(
        [w], lr=0.03, momentum=descent.momentum, nesterov=descent.nesterov, weight_decay=descent.weight_decay
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
    losses, rates = [], []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(torch.tensor(X) @ w, torch.tensor(y))
        loss.backward()
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    rest = theory.fixed_point(lam, 2 / 50 * X.T @ y, descent.weight_decay)
    c, away = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - best)
    predicted = np.mean((X @ best - y) ** 2) + theory.scheduled_curve(lam, c, descent, rates, offset=away)
    assert_close(predicted[:-1], losses, rtol=1e-10)
    assert_close(rest + lam.vectors @ [*theory.modes_along(lam, c, descent, rates)][-1], w.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("descent", [*METHODS, *DECAYING])
def test_the_limit_is_where_simulation_turns(problem, descent):
    X, y, H, _ = problem
    limit = theory.lr_limit(theory.decompose_hessian(H), descent)
    for factor, grows in ((0.98, False), (1.02, True)):
        tried = replace(descent, lr=factor * limit)
        losses, _ = simulate(X, y, np.ones(3), tried, 500)
        assert (losses[-1] > 1e3 * losses[0]) == grows
        assert (theory.rate(theory.decompose_hessian(H), tried) > 1) == grows


def test_the_best_rate_has_the_known_rate():
    lam = theory.decompose_hessian(np.diag([1.0, 4.0, 9.0]))
    assert lam.kappa == 9.0
    best = theory.lr_best(lam, theory.Descent(lr=1.0))
    assert_close(theory.rate(lam, theory.Descent(lr=best)), (9 - 1) / (9 + 1), rtol=1e-14)
    for factor in (0.99, 1.01):
        assert theory.rate(lam, theory.Descent(lr=factor * best)) > 0.8


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.3, 0.9, 0.99])
def test_the_best_rate_with_momentum_beats_a_grid(problem, momentum, nesterov):
    lam = theory.decompose_hessian(problem[2])
    kind = theory.Descent(lr=1.0, momentum=momentum, nesterov=nesterov)
    best = theory.rate(lam, replace(kind, lr=theory.lr_best(lam, kind)))
    grid = np.geomspace(1e-4, 1, 400) * theory.lr_limit(lam, kind)
    assert best <= min(theory.rate(lam, replace(kind, lr=lr)) for lr in grid) * (1 + 1e-6)


def test_heavy_ball_reaches_polyaks_rate():
    """beta = ((sqrt kappa - 1)/(sqrt kappa + 1))^2 shrinks the error by sqrt(beta) (Polyak 1964)."""
    lam = theory.decompose_hessian(np.diag([1.0, 100.0]))
    beta = (9 / 11) ** 2
    descent = theory.Descent(lr=(2 / (10 + 1)) ** 2, momentum=beta)
    assert_close(theory.rate(lam, descent), 9 / 11, rtol=1e-6)  # a double root: the eigenvalue has half the digits


def test_the_best_pair_of_rate_and_momentum_beats_a_grid(problem):
    lam = theory.decompose_hessian(problem[2])
    best = theory.heavy_ball(lam)
    root = lam.kappa**0.5
    assert_close(theory.rate(lam, best), (root - 1) / (root + 1), rtol=1e-6)
    for momentum in np.linspace(0.01, 0.99, 15):
        for lr in np.geomspace(0.01, 1, 15) * (2 + 2 * momentum) / lam.largest_eigenvalue:
            assert theory.rate(lam, theory.Descent(lr=lr, momentum=momentum)) >= theory.rate(lam, best) * (1 - 1e-6)


def test_the_double_root_of_the_heavy_ball_takes_longer_than_the_rule():
    """kappa = 100 to 1e-6 takes 58 epochs and not 35; plain descent takes the 345 of its rule."""
    lam, c = theory.decompose_hessian(np.diag([1.0, 100.0])), np.ones(2)
    target = 1e-6 * theory.excess(lam, c)
    best = theory.heavy_ball(lam)
    assert theory.epochs_until(lam, c, best, target) == 58
    losses, _ = simulate(np.diag([1.0, 10.0]), np.zeros(2), c, best, 58)  # (2/n) X'X is the spectrum above
    assert losses[58] <= 1e-6 * losses[0] < losses[57]
    assert round(theory.epochs_by_rule(100.0, 1e-6, momentum=True)) == 35
    plain = theory.epochs_until(lam, c, theory.Descent(lr=theory.lr_best(lam, theory.Descent(lr=1.0))), target)
    assert_close(plain, theory.epochs_by_rule(100.0, 1e-6), rtol=0.01)


def test_decay_that_rests_above_the_target_never_reaches_it(problem):
    X, y, H, best = problem
    lam, start = theory.decompose_hessian(H), np.array([0.5, -1.0, 2.0])
    for descent in DECAYING:
        rest = theory.fixed_point(lam, 2 / 50 * X.T @ y, descent.weight_decay)
        c, away = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - best)
        lasting = theory.excess(lam, away)
        assert_close(lasting, np.mean((X @ rest - y) ** 2) - np.mean((X @ best - y) ** 2), rtol=1e-9)
        assert theory.epochs_until(lam, c, descent, 0.99 * lasting, offset=away) is None
        needed = theory.epochs_until(lam, c, descent, 1.01 * lasting, offset=away)
        assert simulate(X, y, start, descent, needed)[0][-1] <= np.mean((X @ best - y) ** 2) + 1.01 * lasting * (1 + 1e-9)


def test_along_flat_directions_decay_goes_to_zero():
    lam = theory.decompose_hessian(np.array([[1.0, 1.0], [1.0, 1.0]]))
    assert_close(theory.fixed_point(lam, np.array([2.0, 2.0])), [1.0, 1.0], rtol=1e-12)  # the solution nearest to zero
    assert_close(theory.fixed_point(lam, np.array([2.0, 2.0]), weight_decay=2.0), [0.5, 0.5], rtol=1e-12)
    c = lam.vectors.T @ np.array([3.0, -1.0])
    after = theory.modes_after(lam, c, theory.Descent(lr=0.1, weight_decay=2.0), 1000)
    assert_close(after, np.zeros(2), rtol=0, atol=1e-30)


def test_raw_cars_have_the_published_condition():
    """Unstandardized displacement: kappa 2.1e5 and limit 2.07e-5."""
    import squarely as sq

    x = sq.datasets.cars()["displacement"].to_numpy()
    X = np.column_stack([np.ones(len(x)), x])
    lam = theory.decompose_hessian(2 / len(x) * X.T @ X)
    assert f"{lam.kappa:.1e}" == "2.1e+05"
    assert f"{theory.lr_limit(lam, METHODS[0]):.2e}" == "2.07e-05"


@pytest.mark.parametrize("descent", METHODS)
def test_epochs_until_is_the_first_epoch_that_is_good_enough(problem, descent):
    lam = theory.decompose_hessian(problem[2])
    c = np.array([3.0, -1.0, 2.0])
    target = 1e-8
    needed = theory.epochs_until(lam, c, descent, target)
    curve = theory.excess_curve(lam, c, descent, needed)
    assert curve[needed] <= target < curve[needed - 1]


def test_epochs_until_knows_never_and_already():
    lam = theory.decompose_hessian(2 * np.eye(2))
    c = np.array([1.0, 1.0])
    assert theory.epochs_until(lam, c, theory.Descent(lr=1.5), 1e-3) is None
    assert theory.epochs_until(lam, c, theory.Descent(lr=0.1), 100.0) == 0


def test_gradient_bounds_the_distance(problem):
    X, y, H, best = problem
    lam = theory.decompose_hessian(H)
    for seed in range(20):
        w = best + np.random.default_rng(seed).normal(size=3) * 10.0 ** -(seed % 7)
        g = 2 / 50 * X.T @ (X @ w - y)
        distance, excess = theory.distance_bound(lam, g)
        assert np.linalg.norm(w - best) <= distance * (1 + 1e-9)
        assert 0.5 * (w - best) @ H @ (w - best) <= excess * (1 + 1e-9)


def test_collinear_columns_have_flat_directions():
    x = np.arange(10.0)
    X = np.column_stack([x, 2 * x, x**2])
    lam = theory.decompose_hessian(2 / 10 * X.T @ X)
    assert lam.flat_directions == 1
    assert lam.smallest_eigenvalue > 0


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_the_best_rate_on_a_narrow_spectrum_is_the_geometric_middle_of_its_plateau(momentum, decay):
    """A mode has the rate sqrt(beta) while (1 - sqrt beta)^2 <= lr lam <= (1 + sqrt beta)^2: the ends are found by scanning."""
    lam, kind = theory.decompose_hessian(np.diag([1.0, 2.0])), theory.Descent(lr=1.0, momentum=momentum, weight_decay=decay)
    rates = np.geomspace(1e-4, 4, 20_001)
    flat = [lr for lr in rates if theory.rate(lam, replace(kind, lr=lr)) < momentum**0.5 * (1 + 1e-6)]
    assert_close(theory.lr_best(lam, kind), np.sqrt(flat[0] * flat[-1]), rtol=1e-3)
    wide = theory.decompose_hessian(np.diag([1.0, 1e5]))  # there is no plateau: one rate is best
    best = theory.lr_best(wide, kind)
    for factor in (0.99, 1.01):
        assert theory.rate(wide, replace(kind, lr=factor * best)) > theory.rate(wide, replace(kind, lr=best))


def test_cycled_momenta_are_followed():
    """Torch itself under OneCycleLR, which changes the momentum at each step, and a momentum that is zero for a while."""
    import torch

    H, start = np.diag([1.0, 4.0]), np.array([1.0, -2.0])
    momenta, rates = [0.9, 0.8, 0.0, 0.0, 0.7, 0.95], [0.1, 0.2, 0.1, 0.3, 0.05, 0.2]
    for nesterov in (False, True):
        w = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, nesterov=nesterov)
        for lr, beta in zip(rates, momenta, strict=True):
            optimizer.param_groups[0].update(lr=lr, momentum=beta)
            w.grad = torch.tensor(H) @ w.detach()
            optimizer.step()
        kind = theory.Descent(lr=0.0, momentum=0.9, nesterov=nesterov)
        assert_close(
            [*theory.modes_along(theory.Spectrum(np.diag(H), np.eye(2)), start, kind, rates, momenta)][-1], w.detach(), rtol=1e-12
        )


@pytest.mark.parametrize("kind", METHODS)
def test_what_is_left_is_the_worst_mode(problem, kind):
    lam = theory.decompose_hessian(problem[2])
    for epochs in (1, 10, 57):
        worst = max(abs(theory.modes_after(lam, c, kind, epochs)).max() for c in np.eye(3))
        left = theory.remaining_fraction(lam, kind, epochs)
        assert left >= worst * (1 - 1e-12)
        assert kind.momentum or left <= worst * (1 + 1e-12)
