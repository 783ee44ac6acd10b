"""The rate that lr="auto", the default, stands for: the best one in theory, or torch's own where there is none."""

import inspect

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import assert_close, need

torch = need("torch")
ROWS = sq.datasets.cars()
FORMULA = "mpg ~ displacement + weight"


def extreme_eigenvalues():
    """Return the largest and smallest eigenvalue of (2/n) X'X in standardized columns: 2 (1 + r) and 2 (1 - r)."""
    r = abs(np.corrcoef(ROWS["displacement"], ROWS["weight"])[0, 1])
    return 2 * (1 + r), 2 * (1 - r)


@pytest.mark.parametrize("options", [{}, {"lr": "auto"}])
def test_the_default_is_the_best_rate(options):
    run = sq.train(FORMULA, ROWS, epochs=500, **options)
    assert_close(run.options.lr, 2 / sum(extreme_eigenvalues()), rtol=1e-12)
    assert run.remarks[0].startswith("lr='auto' is 0.5, the best constant rate")
    assert sq.certify(sq.ols(FORMULA, ROWS), run).agree


@pytest.mark.parametrize(
    "name", ["Adam", "AdamW", "NAdam", "RMSprop", "Rprop", "Adagrad", "Adadelta", "ASGD", "LBFGS", "Adafactor"]
)
def test_another_optimizer_has_the_rate_of_torch(name):
    run = sq.train(FORMULA, ROWS, epochs=2, optimizer=name)
    expected = inspect.signature(getattr(torch.optim, name)).parameters["lr"].default
    assert run.options.lr == expected == run.optimizer.defaults["lr"]
    assert f"lr='auto' is {expected:g}, torch's default" in run.remarks[0]


@pytest.mark.parametrize(
    "optimizer", [lambda parts: torch.optim.SGD(parts, lr=0.03), lambda parts: torch.optim.Adam(parts, lr=0.03)]
)
def test_an_optimizer_of_the_user_keeps_its_rate_without_a_remark(optimizer):
    run = sq.train(FORMULA, ROWS, epochs=2, optimizer=optimizer)
    assert run.options.lr == 0.03
    assert run.remarks == ()
    other = sq.train(FORMULA, ROWS, epochs=2, optimizer=optimizer, lr=0.01)
    assert other.remarks == ("The optimizer has lr=0.03 by itself: lr=0.01 is not used.",)


def test_a_model_that_theory_does_not_know_has_the_rate_of_torch():
    """Ten times the output makes the curvature a hundred times larger: the best rate of nn.Linear would diverge."""

    class Tenfold(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, inputs):
            return 10.0 * self.layer(inputs)

    torch.manual_seed(0)
    run = sq.train(FORMULA, ROWS, model=Tenfold(), epochs=300)
    assert run.options.lr == inspect.signature(torch.optim.SGD).parameters["lr"].default
    assert run.status != "diverged"
    assert run.result.losses[-1] < run.result.losses[0]


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "l1"},
        {"loss": "l1", "batch_size": 32, "epochs": 30, "momentum": 0.9},
        {"loss": "quantile", "quantile": 0.9},
        {"loss": "huber", "epochs": 300},
        {"batch_size": 32, "epochs": 30},
        {"momentum": 0.9, "nesterov": True},
        {"standardize": False, "epochs": 20},
        {"clip_grad_norm": 0.1},
        {"engine": "closed_form"},
        {"engine": "moments", "optimizer": "adam"},
    ],
)
def test_the_default_lowers_every_loss(options):
    run = sq.train(FORMULA, ROWS, **options)
    assert run.result.final_values["loss"] < 0.9 * run.result.losses[0]


def test_too_few_epochs_have_the_rate_that_ends_lowest():
    """Raw powers are nearly collinear: at the best rate in the long run, the steepest direction hardly shrinks in 100 epochs."""
    formula = "mpg ~ poly(weight, 3, raw=True)"
    run = sq.train(formula, ROWS, epochs=100, dtype="float64")
    assert "which ends lowest after 100 epochs in theory" in run.remarks[0]
    assert run.options.lr < run.theory.lr_best
    for rate in (run.theory.lr_best, 0.9 * run.options.lr, 0.01):
        assert run.result.losses[-1] < sq.train(formula, ROWS, epochs=100, dtype="float64", lr=rate).result.losses[-1]


@pytest.mark.parametrize(("options", "quantile"), [({"loss": "l1"}, 0.5), ({"loss": "quantile", "quantile": 0.9}, 0.9)])
def test_the_step_for_a_loss_with_kinks(options, quantile):
    """The guarantee of the subgradient method: the best loss of k steps is within R G / sqrt(k) of the least."""
    steps = 400
    run = sq.train(FORMULA, ROWS, epochs=steps, dtype="float64", **options)
    largest, _ = extreme_eigenvalues()
    slope = np.sqrt(largest / 2) * (1.0 if options["loss"] == "l1" else max(quantile, 1 - quantile))
    optimum = sq.train(FORMULA, ROWS, epochs=500, dtype="float64").result.end
    distance = np.linalg.norm(run.result.start - optimum)
    assert_close(run.options.lr, distance / (slope * np.sqrt(steps)), rtol=1e-6)
    assert f"the subgradient method for {steps} steps" in run.remarks[0]
    longer = sq.train(FORMULA, ROWS, epochs=20_000, dtype="float64", **options)
    assert run.result.losses.min() - longer.result.losses.min() <= distance * slope / np.sqrt(steps)


def test_a_sweep_takes_auto_among_its_rates():
    many = sq.sweep(FORMULA, ROWS, lr=["auto", 0.01], epochs=300)
    assert_close(many.best.options.lr, 2 / sum(extreme_eigenvalues()), rtol=1e-12)
    assert sq.sweep(FORMULA, ROWS, lr="auto", optimizer="adam", epochs=2).best.options.lr == 0.001
    assert [run.options.lr for run in sq.sweep(FORMULA, ROWS, epochs=2).runs] == [0.01, 0.001, 0.0001]
