"""The two roads do not see each other: training gives the same bits whatever the exact road answers."""

from dataclasses import replace

import numpy as np
import pytest

import squarely as sq
from squarely.api import training_steps
from tests.support.checks import CARS, need

FORMULA = "mpg ~ displacement + weight"


@pytest.fixture
def poisoned(monkeypatch):
    """Make the exact road return nonsense."""
    honest = training_steps.solve_least_squares

    def nonsense(*args, **options):
        solution = honest(*args, **options)
        return replace(
            solution, params=np.array([7.0, -1e9, 3e-5]), scaled_params=(np.array([7.0, -1e9, 3e-5]), np.zeros(3)), ssr=-1.0
        )

    monkeypatch.setattr(training_steps, "solve_least_squares", nonsense)


@pytest.fixture
def clean_run():
    need("torch")
    return sq.train(FORMULA, CARS, lr=0.1, epochs=200, dtype="float64")


def test_a_poisoned_exact_road_leaves_the_bits_of_training_unchanged(clean_run, poisoned):
    run = sq.train(FORMULA, CARS, lr=0.1, epochs=200, dtype="float64")
    assert run.result.losses.tobytes() == clean_run.result.losses.tobytes()
    assert run.result.end.tobytes() == clean_run.result.end.tobytes()
    assert not np.allclose(run.prediction.losses, clean_run.prediction.losses)  # the poison did reach the prediction


def test_training_first_changes_nothing_in_the_exact_road(clean_run):
    before = sq.ols(FORMULA, CARS)
    sq.train(FORMULA, CARS, epochs=3)
    after = sq.ols(FORMULA, CARS)
    assert before.solution.params.tobytes() == after.solution.params.tobytes()
    assert before.covariance.tobytes() == after.covariance.tobytes()


def test_training_leaves_the_users_random_state_alone():
    torch = need("torch")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    sq.train(FORMULA, CARS, epochs=2)
    assert torch.equal(torch.rand(3), expected)
