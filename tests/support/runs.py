"""A run whose bits are compared: what tests of checkpoints, kills and signals share."""

import os

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import need

torch = need("torch")

FORMULA, DATA = "mpg ~ displacement + weight + C(origin)", sq.datasets.cars()


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What a process has written is there for the next one; only a machine that stops needs more, and one test looks at that."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def train(**options):
    """Train for 12 epochs, by default at a rate at which every epoch moves the coefficients."""
    rate = {} if "optimizer" in options else {"lr": 0.01}
    return sq.train(FORMULA, DATA, **{"epochs": 12, **rate, **options})


def bits(run):
    columns = {name: np.array(values).tobytes() for name, values in run.result.history.columns.items()}
    return run.result.end.tobytes(), run.status, columns, [tensor.tobytes() for tensor in tensors_of(run.optimizer.state_dict())]


def tensors_of(value):
    """Yield every tensor and number inside a state_dict."""
    if isinstance(value, dict):
        value = [item for key in value for item in (value[key],)]
    if isinstance(value, list | tuple):
        for item in value:
            yield from tensors_of(item)
    elif isinstance(value, torch.Tensor):
        yield np.array([str(value.dtype)])
        yield value.detach().numpy()
    elif isinstance(value, float):
        yield np.array(value)
