"""What a checkup says beside its findings: each sentence has a loop for which it holds, and one for which it does not."""

import pytest

from tests.support.checks import need

torch = need("torch")

from squarely.checkup import examine
from squarely.checkup.ranks import compare_ranks


def on_its_own_units(X, y):
    return train((X - X.mean(0)) / X.std(0), y)


def train(X, y, lr=0.1, epochs=40):
    model = torch.nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(X), y).backward()
        optimizer.step()


def by_formula(X, y, sign=-1.0):
    w = torch.zeros(X.shape[1], 1)
    for _ in range(30):
        w = w + sign * 0.05 * 2 / len(X) * X.T @ (X @ w - y)


def uphill(X, y, lr=0.05):
    by_formula(X, y, 1.0)


@pytest.mark.parametrize(("loop", "holds"), [(train, True), (on_its_own_units, False)])
def test_raw_columns_are_a_remark_where_they_make_the_loop_diverge(loop, holds):
    checkup = examine(loop)
    assert checkup.ok
    assert any(remark.startswith("On raw columns") for remark in checkup.remarks) == holds


@pytest.mark.parametrize(("loop", "holds"), [(by_formula, False), (uphill, True)])
def test_updates_along_the_gradient_are_a_wrong_loss(loop, holds):
    checkup = examine(loop)
    assert any("computes the gradient by a formula" in remark for remark in checkup.remarks)
    assert ("wrong-loss" in [finding.key for finding in checkup.findings[:2]]) == holds


@pytest.mark.parametrize(
    ("used", "says"), [([1.0], "do not combine"), ([2.0], "uses the mean gradient"), ([4.0], "2 times the mean")]
)
def test_gradients_of_two_processes(used, says):
    ranks = [
        [
            {
                "gradients": {"0": used},
                "difference": {"0": [0.0]},
                "expected": {"0": [own]},
                "rows": 5,
                "lr": 0.1,
                "by_hand": False,
                "line": None,
            }
        ]
        for own in (1.0, 3.0)
    ]
    (found,) = compare_ranks(ranks)
    assert says in getattr(found, "text", getattr(found, "evidence", ""))
