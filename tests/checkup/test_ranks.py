"""Two processes that train together: their environment, their group, and the end of both when one fails."""

import os
import signal
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.support.checks import need

torch = need("torch")
distributed = torch.distributed

from squarely.checkup.examination import examine
from squarely.checkup.fixtures.objects import make_objects
from squarely.checkup.fixtures.targets import load_target
from squarely.checkup.problem import make_problem
from squarely.checkup.runner import process_group
from squarely.checkup.runner.child_process import NO_RANKS, import_lazy_parts, run_in_child
from squarely.checkup.runner.process_group import run_ranks
from squarely.errors import InputError

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "fork") and distributed.is_available() and distributed.is_gloo_available()), reason="no fork or no gloo here"
)
import_lazy_parts()
ENOUGH = 60.0  # seconds that no test needs


@pytest.fixture(autouse=True)
def no_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = dict(os.environ)
    yield
    assert [*tmp_path.iterdir()] == []
    assert {**os.environ, "PYTEST_CURRENT_TEST": ""} == {**before, "PYTEST_CURRENT_TEST": ""}
    assert not distributed.is_initialized()


def average_gradients(model, loader, optimizer, criterion, *, rank, world_size):
    """Take one step, with the gradient of all ranks."""
    x, y = next(iter(loader))
    criterion(model(x), y).backward()
    for parameter in model.parameters():
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= world_size
    optimizer.step()
    return {"weights": model.weight, "rows": x[:, 0], "rank": rank, "world_size": world_size}


def with_ddp(model, loader, optimizer, criterion):
    rank = torch.distributed.get_rank()
    ddp = torch.nn.parallel.DistributedDataParallel(model)
    x, y = next(iter(loader))
    criterion(ddp(x), y).backward()
    optimizer.step()
    return {"weights": model.weight, "rows": x[:, 0], "rank": rank, "world_size": torch.distributed.get_world_size()}


def with_its_own_group(model, loader, optimizer, criterion):
    torch.distributed.init_process_group("gloo")
    found = with_ddp(model, loader, optimizer, criterion)
    torch.distributed.destroy_process_group()
    return found


@pytest.mark.parametrize("function", [average_gradients, with_ddp, with_its_own_group])
def test_two_ranks_average_their_gradients(function):
    target, problem = load_target(function), make_problem()
    assert target.wants_processes

    def run():
        call = target.call(make_objects(problem))
        if call.error is not None:
            raise call.error
        return call.returned

    found = run_ranks(run, timeout=ENOUGH, start_group=not target.starts_group)
    assert [each.message for each in found] == ["", ""]
    values = [each.value for each in found]
    assert [(each["rank"], each["world_size"]) for each in values] == [(0, 2), (1, 2)]
    model = make_objects(problem)["model"]
    w, b = model.weight.detach().numpy()[0].astype(float), model.bias.item()
    rows = [np.flatnonzero(np.isin(problem.X[:, 0], each["rows"])) for each in values]
    assert not {*rows[0]} & {*rows[1]}
    assert [len(each) for each in rows] == [17, 17]
    gradient = np.mean([2 / 17 * problem.X[each].T @ (problem.X[each] @ w + b - problem.y[each]) for each in rows], axis=0)
    for each in values:
        np.testing.assert_allclose(each["weights"][0], w - problem.lr * gradient, rtol=1e-5, atol=1e-7)


def test_the_environment_is_that_of_torchrun(monkeypatch):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    found = run_ranks(lambda: {name: os.environ[name] for name in names}, world_size=3, timeout=ENOUGH)
    assert [[*each.value.values()] for each in found] == [[str(rank), str(rank), "3", "3", "127.0.0.1"] for rank in range(3)]
    monkeypatch.setenv("RANK", "7")  # of the user's own run, which the loop must not join
    alone = run_in_child(lambda: {"rank": os.environ.get("RANK"), "fixture": make_objects(make_problem())["rank"]}, timeout=ENOUGH)
    assert alone.value == {"rank": None, "fixture": 0}
    monkeypatch.delenv("RANK")


def test_when_one_fails_the_other_ends(tmp_path):
    def run():
        if os.environ["RANK"] == "1":
            raise ValueError("mine")
        while True:
            signal.pause()

    zero, one = run_ranks(run, timeout=ENOUGH)
    assert (zero.ending, one.ending) == ("stopped", "raised")
    assert zero.message == "This process was ended because another one of the same run failed. See the message of that one."
    assert one.message.startswith("The loop raises ValueError: mine, at line ")


def test_a_rank_that_waits_for_ever():
    def run():
        if os.environ["RANK"] == "0":
            torch.distributed.all_reduce(torch.ones(1))
        while True:
            pass

    zero, one = run_ranks(run, timeout=1.0)
    assert "timeout" in (zero.ending, one.ending)
    assert {zero.ending, one.ending} <= {"timeout", "stopped"}
    assert one.line.file == __file__


def test_ctrl_c_here_ends_both():
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()

    def run():
        Path(mark, os.environ["RANK"]).write_text(str(os.getpid()))
        while True:
            pass

    with tempfile.TemporaryDirectory() as mark:
        with pytest.raises(KeyboardInterrupt):
            run_ranks(run, timeout=ENOUGH)
        pids = [int(each.read_text()) for each in Path(mark).iterdir()]
    timer.join()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_where_fork_does_not_exist(monkeypatch):
    monkeypatch.delattr(os, "fork")
    found = run_ranks(dict, timeout=ENOUGH)
    assert [(each.value, each.remarks) for each in found] == [(None, (NO_RANKS,))] * 2


def test_the_ports_are_free_ones():
    ports = {process_group._environments(2)[0]["MASTER_PORT"] for _ in range(2)}
    assert all(1024 <= int(port) < 65536 for port in ports)


def test_an_open_group_is_refused():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(InputError, match=r"This process has a torch\.distributed group"):
            examine(average_gradients)
    finally:
        distributed.destroy_process_group()
