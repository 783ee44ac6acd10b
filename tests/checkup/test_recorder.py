"""The recorder sees what torch does, and leaves torch as it was."""

import importlib

import pytest

from tests.support.checks import need

torch = need("torch")

from squarely.checkup.problem import make_problem
from squarely.checkup.recorder.backward_passes import RunStopped
from squarely.checkup.recorder.recorder import Recorder
from squarely.checkup.recorder.trace import Backward, Forward, LoaderStart, SchedulerStep, Step, TargetComparison
from squarely.checkup.rules.run import Run


def attributes():
    """Return every attribute, by identity, of what a recorder could replace."""
    places = [torch, torch.Tensor, torch.nn.Module, torch.nn.Linear, torch.nn.functional, torch.autograd, torch.nn.utils]
    places += [torch.optim, torch.optim.Optimizer, torch.optim.SGD, torch.optim.lr_scheduler, torch.utils.data.DataLoader]
    places += [kind for kind in vars(torch.optim.lr_scheduler).values() if isinstance(kind, type)]
    found = {(str(place), name): id(value) for place in places for name, value in vars(place).items()}
    module, optimizer = torch.nn.modules.module, importlib.import_module("torch.optim.optimizer")
    found["forward_pre"] = len(module._global_forward_pre_hooks)
    found["forward"] = len(module._global_forward_hooks)
    found["step_pre"] = len(optimizer._global_optimizer_pre_hooks)
    found["step_post"] = len(optimizer._global_optimizer_post_hooks)
    found["modes"] = torch._C._len_torch_function_stack()
    return found


def tensors():
    problem = make_problem()
    return torch.tensor(problem.X, dtype=torch.float32), torch.tensor(problem.y, dtype=torch.float32)[:, None]


def train(epochs=2, fail=None):
    X, y = tensors()
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=17, shuffle=True)
    for _ in range(epochs):
        for x, t in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), t).backward()
            optimizer.step()
            if fail is not None:
                raise fail
        scheduler.step()
    return model


@pytest.mark.parametrize("error", [None, ValueError("no"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_torch_is_as_before(error):
    train(1)  # torch imports parts of itself at the first step
    before = attributes()
    if error is None:
        with Recorder():
            assert attributes() != before
            train()
    else:
        with pytest.raises(type(error)), Recorder():
            train(fail=error)
    assert attributes() == before


def test_the_loop_gives_the_same_bits():
    torch.manual_seed(3)
    plain = train(3).weight
    torch.manual_seed(3)
    with Recorder() as recorder:
        recorded = train(3).weight
    assert torch.equal(plain, recorded)
    assert recorder.trace.failures == []


def test_events_are_those_of_the_loop():
    with Recorder() as recorder:
        train(2)
    kinds = [type(event) for event in recorder.trace.events]
    counts = {kind.__name__: kinds.count(kind) for kind in (LoaderStart, Forward, TargetComparison, Backward, Step, SchedulerStep)}
    assert counts == {"LoaderStart": 2, "Forward": 14, "TargetComparison": 14, "Backward": 14, "Step": 14, "SchedulerStep": 2}
    assert [event.index for event in recorder.trace.events] == list(range(len(kinds)))
    step = next(event for event in recorder.trace.events if isinstance(event, Step))
    assert "optimizer.step()" in step.line.text
    assert step.lrs == (0.1,)


def test_gradients_are_those_of_autograd():
    X, y = tensors()
    w = torch.zeros(3, 1, requires_grad=True)
    with Recorder() as recorder:
        ((X @ w - y) ** 2).mean().backward()
    backward = next(event for event in recorder.trace.events if isinstance(event, Backward))
    expected = 2 / len(X) * (X.T.double() @ (X.double() @ w.detach().double() - y.double())).reshape(-1).numpy()
    for found in (backward.contribution, backward.mse_gradient, backward.chain):
        assert abs(found[0] - expected).max() < 1e-6


def test_a_run_stops_after_enough():
    with pytest.raises(RunStopped), Recorder(stop_after=3) as recorder:
        train()
    assert recorder.trace.backwards == 3
    assert recorder.trace.truncated


def test_rows_are_found_after_the_loop_has_standardized_them():
    problem = make_problem(standardized=False)
    X = torch.tensor(problem.X, dtype=torch.float32)
    y = torch.tensor(problem.y, dtype=torch.float32)[:, None]
    X = (X - X.mean(0)) / X.std(0)
    model = torch.nn.Linear(3, 1)
    order = torch.randperm(len(X))
    with Recorder() as recorder:
        for _ in range(2):
            for rows in order.split(17):
                torch.nn.functional.mse_loss(model(X[rows]), y[rows] * 3 + 1).backward()
    run = Run(trace=recorder.trace, problem=problem)
    found = [row for batch in run.batches for row in batch.rows.tolist()]
    targets = [row for batch in run.batches for row in batch.target_rows.tolist()]
    assert found == targets == order.tolist() * 2
