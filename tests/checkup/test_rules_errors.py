"""Exceptions of torch 2.13 become findings with their message and the user's line; others are left alone."""

import numpy as np
import pytest

from tests.support.checks import need

torch = need("torch")
from torch import nn
from torch.nn import functional

from squarely.checkup.rules.errors import translate_error

X, Y = torch.ones(10, 3), torch.ones(10, 1)
DTYPE, DETACHED = "wrong-device-or-dtype", "graph-detached"


def model():
    return nn.Linear(3, 1)


def loss():
    return functional.mse_loss(model()(X), Y)


def backward_twice():
    value = loss()
    value.backward()
    value.backward()


def step_of_a_scaler():
    linear = model()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.tensor(1.0))
    scaler.step(torch.optim.SGD(linear.parameters(), lr=0.1))


def assign_gradient_of_another_type():
    linear = model()
    linear.weight.grad = torch.zeros(1, 3, dtype=torch.float64)


def assign_array_to_data():
    linear = model()
    linear.weight.data = np.zeros(3)


def multiply_missing_gradient():
    weight = torch.zeros(3, requires_grad=True)
    weight.data -= 0.1 * weight.grad


def zero_missing_gradient():
    weight = torch.zeros(3, requires_grad=True)
    weight.grad.zero_()


CASES = {
    "detached loss": (lambda: loss().detach().backward(), DETACHED),
    "loss is a number": (lambda: loss().item().backward(), DETACHED),
    "parameter outside the graph": (lambda: torch.autograd.grad(loss(), [torch.zeros(3, requires_grad=True)]), DETACHED),
    "no gradient to multiply": (multiply_missing_gradient, DETACHED),
    "no gradient to zero": (zero_missing_gradient, DETACHED),
    "loss of each row": (lambda: (model()(X) - Y).square().backward(), "wrong-loss"),
    "backward twice": (backward_twice, "backward-on-accumulated-loss"),
    "float64 inputs": (lambda: model()(X.double()), DTYPE),
    "integer inputs": (lambda: model()(X.long()), DTYPE),
    "half inputs": (lambda: model()(X.half()), DTYPE),
    "device without a build": (lambda: X.to("xpu"), DTYPE),
    "name of a device": (lambda: X.to("gpu"), DTYPE),
    "mixed devices": (lambda: model()(X.to("meta")), DTYPE),
    "copy of meta": (lambda: X.to("meta").to("cpu"), DTYPE),
    "array for a model": (lambda: model()(X.numpy()), DTYPE),
    "list for a model": (lambda: model()([[1.0, 2.0, 3.0]]), DTYPE),
    "array for data": (assign_array_to_data, DTYPE),
    "integer loss": (lambda: functional.mse_loss(X.long(), X.long()), DTYPE),
    "mean of integers": (lambda: X.long().mean(), DTYPE),
    "array of text": (lambda: torch.from_numpy(np.array(["a", "b"])), DTYPE),
    "array of objects": (lambda: torch.tensor(np.array([1, None])), DTYPE),
    "list of text": (lambda: torch.tensor(["a", "b"]), DTYPE),
    "integer parameter": (lambda: torch.ones(3, dtype=torch.long, requires_grad=True), DTYPE),
    "integer in place": (lambda: torch.ones(3, dtype=torch.long).sub_(torch.ones(3)), DTYPE),
    "class labels": (lambda: functional.cross_entropy(X, torch.ones(10)), DTYPE),
    "product of types": (lambda: X.double() @ torch.ones(3, 1), DTYPE),
    "dot of types": (lambda: torch.dot(X[0], X[0].double()), DTYPE),
    "difference of bool": (lambda: X.bool() - X.bool(), DTYPE),
    "embedding of floats": (lambda: nn.Embedding(3, 3)(X), DTYPE),
    "gradient of another type": (assign_gradient_of_another_type, DTYPE),
    "empty optimizer": (lambda: torch.optim.SGD([], lr=0.1), "parameter-not-trained"),
    "optimizer of a result": (lambda: torch.optim.SGD([torch.ones(3, requires_grad=True) * 2], lr=0.1), "parameter-not-trained"),
    "scaler without gradients": (step_of_a_scaler, "weights-never-move"),
    "batch of one row": (lambda: nn.BatchNorm1d(3)(X[:1]), "no-eval-mode"),
}


@pytest.mark.parametrize("name", CASES)
def test_message_of_torch_is_a_finding(name):
    call, key = CASES[name]
    with pytest.raises((RuntimeError, ValueError, AssertionError, TypeError, AttributeError)) as caught:
        call()
    finding = translate_error(caught.value)
    assert finding is not None, str(caught.value)
    assert finding.key == key
    assert " ".join(str(caught.value).split())[:100] in finding.evidence
    assert finding.source is not None
    assert finding.source.file == __file__


@pytest.mark.parametrize(
    "error",
    [
        ValueError("The date has no month."),
        AttributeError("'NoneType' object has no attribute 'data'"),
        KeyError("same device"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (10x4 and 3x1)"),
    ],
)
def test_other_exception_is_no_finding(error):
    assert translate_error(error) is None
