"""Learning rates against theory, where the corpus of loops does not reach: other optimizers, layouts and causes of nan."""

import pytest

from tests.support.checks import need

torch = need("torch")
from torch import nn, optim
from torch.nn import functional
from torch.optim.lr_scheduler import ExponentialLR

from squarely.checkup.examination import examine_here


def linear():
    return nn.Linear(3, 1)


def deep():
    return nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 1))


def make_loop(make_optimizer, *, model=linear, batch_size=17, epochs=30, gamma=1.0, loss_of=functional.mse_loss):
    def train(X, y):
        net = model()
        optimizer = make_optimizer(net.parameters())
        scheduler = ExponentialLR(optimizer, gamma)
        for _ in range(epochs):
            for rows in torch.randperm(len(X)).split(batch_size):
                loss = loss_of(net(X[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            scheduler.step()
        return net

    return train


def find(train):
    return {finding.key: finding for finding in examine_here(train).findings}


LOOPS = {
    "Adam far too high": (make_loop(lambda p: optim.Adam(p, lr=10)), "lr-too-high"),
    "RMSprop far too high": (make_loop(lambda p: optim.RMSprop(p, lr=3)), "lr-too-high"),
    "momentum above 2 + 2 beta": (make_loop(lambda p: optim.SGD(p, lr=1.8, momentum=0.9), batch_size=107), "lr-too-high"),
    "below the limit of all rows, above that of five": (make_loop(lambda p: optim.SGD(p, lr=0.75), batch_size=5), "lr-too-high"),
    "two layers": (make_loop(lambda p: optim.SGD(p, lr=5), model=deep), "lr-too-high"),
    "Adam far too low": (make_loop(lambda p: optim.Adam(p, lr=1e-6)), "lr-too-low"),
    "two layers, too low": (make_loop(lambda p: optim.AdamW(p, lr=1e-6, weight_decay=0), model=deep), "lr-too-low"),
    "momentum, too low": (make_loop(lambda p: optim.SGD(p, lr=1e-6, momentum=0.9)), "lr-too-low"),
    "a rate that decays to nothing": (make_loop(lambda p: optim.SGD(p, lr=0.01), gamma=0.1), "lr-too-low"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_learning_rate_is_found(name):
    train, key = LOOPS[name]
    findings = find(train)
    assert findings[key].confidence in {"certain", "likely"}
    assert not {"lr-too-high", "lr-too-low"} & set(findings) - {key}


RIGHT = {
    "Adam": make_loop(lambda p: optim.Adam(p, lr=0.3)),
    "RMSprop": make_loop(lambda p: optim.RMSprop(p, lr=0.01), epochs=60),
    "momentum above the limit of plain descent": make_loop(lambda p: optim.SGD(p, lr=1.2, momentum=0.9), batch_size=107, epochs=60),
    "below the limit of batches": make_loop(lambda p: optim.SGD(p, lr=0.3)),
    "two layers": make_loop(lambda p: optim.SGD(p, lr=0.05), model=deep, epochs=60),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_learning_rate_is_not(name):
    assert not {"lr-too-high", "lr-too-low", "nan-loss"} & set(find(RIGHT[name]))


def test_growth_is_that_of_theory():
    """The standardized problem in full batches: an error grows by lr lam_1 - 1 an update."""
    finding = find(make_loop(lambda p: optim.SGD(p, lr=1.5), batch_size=107))["lr-too-high"]
    assert finding.numbers["limit"] == pytest.approx(0.83678, rel=1e-4)  # 2 over the largest eigenvalue of (2/n) X'X
    assert f"{1.5 * 2 / 0.83678 - 1:.3f}" in finding.evidence


CAUSES = {
    "logarithm": (lambda p, t: functional.mse_loss(torch.log(p), t), "its operations are MseLoss, Log"),
    "division by 0": (lambda p, t: ((p - t) / (0 * t)).square().mean(), "Div"),
    "targets": (lambda p, t: functional.mse_loss(p, torch.log(t)), "values of its targets are not finite"),
    "inputs": (None, "values of its inputs are not finite"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_cause_of_nan_is_named(name):
    loss_of, text = CAUSES[name]
    train = make_loop(lambda p: optim.SGD(p, lr=0.1), loss_of=loss_of or functional.mse_loss)

    def with_missing_values(X, y):
        return train(torch.column_stack([torch.where(X[:, 0] > 1, torch.nan, X[:, 0]), X[:, 1:]]), y)

    findings = find(train if loss_of else with_missing_values)
    assert findings["nan-loss"].confidence == "certain"
    assert text in findings["nan-loss"].evidence
    assert not {"lr-too-high", "labels-misaligned", "rows-dropped"} & set(findings)
