"""A run in closed form draws its start without PyTorch: it is that of nn.Linear, to the bit."""

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import need

torch = need("torch")
SEEDS = [0, 1, 7, 2**31, 2**32 - 1, 2**32 + 5, 2**63 + 1, 2**64 - 1, -1, -(2**63)]


def linear_start(features, seed, *, bias):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = torch.nn.Linear(features, 1, bias=bias)
    return np.concatenate([part.detach().numpy().ravel() for part in (layer.bias, layer.weight) if part is not None])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("features", [1, 2, 3, 17, 40])
def test_the_start_is_that_of_a_linear_layer(features, bias):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, features)), rng.normal(size=60)
    for seed in SEEDS:
        run = sq.train(X=X, y=y, intercept=bias, engine="closed_form", epochs=1, lr=0.01, seed=seed)
        np.testing.assert_array_equal(run.result.start, linear_start(features, seed, bias=bias).astype(np.float64))


def test_a_start_of_the_user_is_rounded_as_the_model_would():
    data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    for dtype in ("float32", "float64"):
        run = sq.train("y ~ x", data, engine="closed_form", epochs=1, lr=0.01, start=[0.1, 0.2], dtype=dtype)
        tensor = torch.tensor([0.1, 0.2], dtype=getattr(torch, dtype))
        assert run.result.start.tolist() == tensor.double().tolist()


def test_the_model_is_made_at_the_first_use():
    data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    run = sq.train("y ~ x", data, engine="closed_form", epochs=9, lr=0.1, dtype="float64")
    assert run.model is run.model
    assert run.model.linear.weight.dtype == torch.float64
    assert [run.model.linear.bias.item(), run.model.linear.weight.item()] == run.result.end.tolist()
