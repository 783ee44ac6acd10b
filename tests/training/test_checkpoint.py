"""Checkpoints: a run that stops anywhere goes on to the same bits; what does not belong together is refused; nothing is lost."""

import ast
import errno
import hashlib
import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
from collections import Counter, deque
from pathlib import Path

import numpy as np
import pytest

import squarely as sq
from squarely.errors import DataError, InputError, OptionError
from tests.support.checks import CARS, need
from tests.support.damage import damage

torch = need("torch")
need("safetensors")

from squarely.descent.checkpoint.format import UnreadableCheckpointError, read_checkpoint  # noqa: E402
from squarely.descent.checkpoint.serialize import describe_value, from_plain, to_plain  # noqa: E402
from squarely.descent.options.optimizers import OPTIMIZERS, SCHEDULERS  # noqa: E402
from tests.support.runs import DATA, FORMULA, bits, no_waiting_for_the_disk, train  # noqa: E402, F401

MINI = {"batch_size": 150, "lr": 0.01, "optimizer": "adam"}


class CutError(Exception):
    """What stops a run in these tests."""


@pytest.fixture
def cut(monkeypatch):
    """Have runs stop right after they have been kept so many times."""
    from squarely.descent.checkpoint import checkpointer

    write = checkpointer.write_checkpoint

    def after(times):
        left = iter(range(times - 1, -1, -1))

        def stopping(folder, checkpoint):
            path = write(folder, checkpoint)
            if next(left) == 0:
                raise CutError
            return path

        monkeypatch.setattr(checkpointer, "write_checkpoint", stopping)

    yield after
    monkeypatch.setattr(checkpointer, "write_checkpoint", write)


def went_on(cut, folder, times, **options):
    """Stop a run after it has been kept `times` times, and let another go on from there."""
    cut(times)
    with pytest.raises(CutError):
        train(checkpoint=folder, **options)
    cut(10**9)
    return train(checkpoint=folder, resume=True, **options)


# ---- the same bits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimiser_goes_on_to_the_same_bits(name, dtype, cut, tmp_path):
    batches = {} if name == "lbfgs" else {"batch_size": 150}
    options = {"optimizer": name, "dtype": dtype, "lr": 0.01, "epochs": 8, **batches}
    resumed = went_on(cut, tmp_path / "a", 5 if name == "lbfgs" else 10, checkpoint_every="1 steps", **options)
    assert bits(resumed) == bits(train(**options))
    assert len(resumed.history) == 9


SCHEDULES = {
    "StepLR": {"step_size": 3},
    "MultiStepLR": {"milestones": [2, 3, 7]},
    "LambdaLR": {"lr_lambda": lambda step: 0.9**step},
    "MultiplicativeLR": {"lr_lambda": lambda step: 0.9},
    "CosineAnnealingLR": {"T_max": 6},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 0.001, "max_lr": 0.1, "step_size_up": 4},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 80},
    "ExponentialLR": {"gamma": 0.9},
    "ReduceLROnPlateau": {"patience": 0, "threshold": 0.5},
    "SWALR": {"swa_lr": 0.05},
}


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_every_scheduler_goes_on_to_the_same_bits(name, cut, tmp_path):
    options = {"momentum": 0.5, "batch_size": 150, "scheduler": name, "scheduler_options": SCHEDULES.get(name, {})}
    resumed = went_on(cut, tmp_path / "a", 11, checkpoint_every="1 steps", **options)
    assert bits(resumed) == bits(train(**options))
    assert resumed.history["lr"].nunique() > 1


@pytest.mark.parametrize(
    "options",
    [
        {"average": 3, "batch_size": 100},
        {"stop": "loss", "patience": 2, "min_delta": 0.002, "epochs": 60, "lr": 0.02},
        {"stop": "validation", "patience": 2, "validation": CARS, "batch_size": 64, "lr": 0.2, "epochs": 100},
        {"stop": "2 se", "lr": 0.1, "epochs": 500},
        {"loss": "huber", "clip_grad_norm": 0.1, "batch_size": 64, "replacement": True},
        {"metrics": ["r2", "mae"], "shuffle": False, "batch_size": 97, "gradient": "closed"},
        {"engine": "moments", "optimizer": "lbfgs"},
        {"engine": "moments", "optimizer": "adam", "dtype": "float64"},
        {"stream": True, "batch_size": 64},
        {"validation": 0.2, "stop": "validation", "batch_size": 64},
        {"standardize": False, "lr": 1e-9, "weight_decay": 0.1},
        {"start": [0.0, 0.5, -0.5, 0.25, 1.0], "lr": "auto"},
        {"batch_size": 10_000},
    ],
)
@pytest.mark.parametrize("times", [2, 5])
def test_every_way_of_training_goes_on_to_the_same_bits(options, times, cut, tmp_path):
    whole = train(checkpoint=tmp_path / "whole", **options)
    resumed = went_on(cut, tmp_path / "a", times, checkpoint_every="2 steps", **options)
    assert bits(resumed) == bits(whole)
    assert (resumed.result.last_iterate is None) == (whole.result.last_iterate is None)
    assert bits(train(checkpoint=tmp_path / "a", resume=True, **options))[:3] == bits(whole)[:3]  # a run that had ended


class Noisy(torch.optim.SGD):
    """Draws from torch's own generator in every step."""

    def step(self, closure=None):
        super().step(closure)
        for parameter in self.param_groups[0]["params"]:
            parameter.detach().add_(1e-3 * torch.randn(parameter.shape))


def noisy(parameters):
    return Noisy(parameters, lr=0.01, momentum=0.5)


def test_a_run_that_draws_random_numbers_goes_on_with_the_next_ones(cut, tmp_path):
    def seeded(work):
        torch.manual_seed(3)
        return work()

    whole = seeded(lambda: bits(train(optimizer=noisy)))
    cut(5)
    with pytest.raises(CutError):
        seeded(lambda: train(optimizer=noisy, checkpoint=tmp_path, checkpoint_every="1 epochs"))
    cut(10**9)
    torch.manual_seed(99)
    assert bits(train(optimizer=noisy, checkpoint=tmp_path, resume=True)) == whole


def in_turn(optimizer):
    first = torch.optim.lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=4)
    second = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[4])


def chained(optimizer):
    kinds = torch.optim.lr_scheduler
    return kinds.ChainedScheduler([kinds.LinearLR(optimizer), kinds.CosineAnnealingLR(optimizer, 9)])


@pytest.mark.parametrize("scheduler", [in_turn, chained])
@pytest.mark.parametrize("times", [3, 7])
def test_schedulers_of_schedulers_go_on_to_the_same_bits(scheduler, times, cut, tmp_path):
    options = {"momentum": 0.5, "scheduler": scheduler}
    assert bits(went_on(cut, tmp_path, times, checkpoint_every="1 epochs", **options)) == bits(train(**options))


def test_without_safetensors_only_checkpoints_are_missing(tmp_path):
    code = (
        "import sys, squarely as sq; sys.modules['safetensors'] = None\n"
        "data = {'x': [0.0, 1.0, 2.0], 'y': [1.0, 3.0, 4.0]}; print(sq.train('y ~ x', data, epochs=2).status)\n"
        "try: sq.train('y ~ x', data, checkpoint='a')\n"
        "except sq.errors.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    trained, words = done.stdout.splitlines()
    assert trained in ("converged", "finished", "epochs used up")
    assert words == (
        "Saving checkpoints needs safetensors, which is not installed. Install it with: pip install safetensors, or squarely with "
        'its extra: pip install "squarely[torch]"'
    )


def loaded(seed=None):
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.normal(size=(120, 3)), dtype=torch.float32)
    rows = torch.utils.data.TensorDataset(X, X.sum(1, keepdim=True) + 0.1)
    return torch.utils.data.DataLoader(rows, batch_size=50, shuffle=seed is not None)


def linear():
    torch.manual_seed(5)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))


def with_loader(seed=None, model=linear, **options):
    made = model()
    return sq.train(loader=loaded(seed), model=made, **{"lr": 0.05, "momentum": 0.5, "epochs": 10, **options})


def test_a_model_and_a_loader_of_the_users_go_on_to_the_same_bits(cut, tmp_path):
    whole = with_loader()
    cut(5)
    with pytest.raises(CutError):
        with_loader(checkpoint=tmp_path, checkpoint_every="2 steps")
    cut(10**9)
    assert any("batch-000002" in entry.name for entry in tmp_path.iterdir())
    with pytest.raises(OptionError, match=r"The model of the checkpoint was '.*Sequential' and is '.*Linear'"):
        with_loader(model=lambda: torch.nn.Linear(3, 1), resume=tmp_path)
    assert bits(with_loader(resume=tmp_path)) == bits(whole)


def test_a_loader_that_shuffles_is_kept_between_epochs(cut, tmp_path):
    whole = with_loader(seed=1)
    cut(4)
    with pytest.raises(CutError):
        with_loader(seed=1, checkpoint=tmp_path, checkpoint_every="1 steps")
    cut(10**9)
    assert all("batch-000000" in entry.name for entry in tmp_path.iterdir())
    run = with_loader(seed=1, resume=tmp_path)
    assert run.remarks[-1].startswith("The run resumed from epoch 3")  # and nothing is in doubt
    assert bits(run) == bits(whole)  # it draws from torch's own generator, which is kept


def test_the_users_own_random_state_is_left_alone(tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(checkpoint=tmp_path, epochs=3)
    torch.manual_seed(2)
    now = torch.get_rng_state()
    train(checkpoint=tmp_path, resume=True, epochs=6)
    assert torch.equal(torch.get_rng_state(), now)
    assert not torch.equal(before, now)


# ---- going on


def test_more_epochs_are_going_on_and_fewer_are_refused(tmp_path):
    train(checkpoint=tmp_path, epochs=7, **MINI)
    assert bits(train(checkpoint=tmp_path, resume=True, **MINI)) == bits(train(**MINI))
    with pytest.raises(OptionError, match="has done 12 epochs, and epochs=7 asks for fewer"):
        train(resume=tmp_path, epochs=7, **MINI)


def test_a_run_that_has_ended_returns_at_once(tmp_path, monkeypatch):
    whole = train(checkpoint=tmp_path, **MINI)
    monkeypatch.setattr("squarely.descent.trainer.single_run.run_loop", lambda *a, **k: pytest.fail("it was trained again"))
    again = train(checkpoint=tmp_path, resume=True, **MINI)
    assert bits(again) == bits(whole)
    assert again.remarks == (f"The run resumed from epoch 12, saved in {str(tmp_path / 'epoch-000012-batch-000000')!r}.",)
    assert again.remarks[0] in str(again.summary()).replace("\n", " ") or again.remarks == again.warnings[:1]


def test_a_run_goes_on_in_another_folder(tmp_path):
    train(checkpoint=tmp_path / "a", epochs=5)
    before = sorted(entry.name for entry in (tmp_path / "a").glob("epoch-*"))
    run = train(resume=tmp_path / "a", checkpoint=tmp_path / "b")
    assert bits(run) == bits(train())
    assert sorted(entry.name for entry in (tmp_path / "a").glob("epoch-*")) == before
    assert (tmp_path / "b" / "epoch-000012-batch-000000").is_dir()
    with pytest.raises(OptionError, match="holds checkpoints, the newest 'epoch-000012-batch-000000', which would be lost"):
        train(resume=tmp_path / "a", checkpoint=tmp_path / "b")


def test_a_folder_that_is_given_to_go_on_from_goes_on_being_kept(tmp_path):
    train(checkpoint=tmp_path, epochs=5)
    train(resume=tmp_path)
    assert sorted(entry.name for entry in tmp_path.glob("epoch-*"))[-1] == "epoch-000012-batch-000000"


def test_nothing_to_go_on_from_yet(tmp_path):
    run = train(checkpoint=tmp_path / "a", resume=True)
    assert run.remarks == (f"The folder {str(tmp_path / 'a')!r} held no checkpoint yet: the run starts at the beginning.",)
    (tmp_path / "b").mkdir()
    assert train(checkpoint=tmp_path / "b", resume=tmp_path / "b").status == "epochs used up"
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="holds no checkpoint to resume"):
        train(resume=tmp_path / "c")
    with pytest.raises(DataError, match="There is no folder"):
        train(resume=tmp_path / "d")


def test_the_last_two_are_kept_and_what_killed_writers_left_goes(cut, tmp_path):
    (tmp_path / ".squarely-0123.part").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    cut(4)
    with pytest.raises(CutError):
        train(checkpoint=tmp_path, checkpoint_every="2 epochs")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "epoch-000004-batch-000000",
        "epoch-000006-batch-000000",
        "notes.txt",
    ]


@pytest.mark.parametrize(
    ("every", "batch_size", "places"),
    [
        ("3 epochs", None, [(0, 0), (3, 0), (6, 0), (7, 0)]),
        ("3 epochs", 200, [(0, 0), (3, 0), (6, 0), (7, 0)]),
        ("3 steps", None, [(0, 0), (3, 0), (6, 0), (7, 0)]),
        ("5 steps", 200, [(0, 0), (2, 1), (4, 2), (7, 0)]),
        ("1 step", 200, [(0, 0), *[(epoch, batch) for epoch in range(7) for batch in (1, 2)], (7, 0)]),
        ("2 h", 200, [(0, 0), (7, 0)]),
        (None, 200, [(0, 0), (7, 0)]),
    ],
)
def test_how_often_a_run_is_kept(every, batch_size, places, tmp_path, monkeypatch):
    from squarely.descent.checkpoint import checkpointer

    found, write = [], checkpointer.write_checkpoint
    monkeypatch.setattr(checkpointer, "write_checkpoint", lambda folder, c: (found.append((c.epoch, c.batch)), write(folder, c)))
    train(checkpoint=tmp_path, checkpoint_every=every, batch_size=batch_size, epochs=7)
    assert found == places


def test_seconds_are_counted_from_the_last_time(tmp_path, monkeypatch):
    from squarely.descent.checkpoint import checkpointer

    clock, found = iter(range(10**6)), []
    monkeypatch.setattr(checkpointer.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(checkpointer, "write_checkpoint", lambda folder, c: found.append(c.epoch))
    train(checkpoint=tmp_path, checkpoint_every="4 s", epochs=13)
    assert found == [0, 3, 7, 11, 13]  # it is looked at the clock once an epoch, and once more when a run is kept


def test_callbacks_are_asked_again_by_a_run_that_they_stopped(tmp_path):
    limit, epochs = [4], []

    def enough(epoch):
        epochs.append(epoch.epoch)
        return epoch.epoch >= limit[0]

    stopped = train(checkpoint=tmp_path, callbacks=enough)
    assert stopped.status == "stopped"
    again = train(checkpoint=tmp_path, callbacks=enough, resume=True)
    assert bits(again) == bits(stopped)
    limit[0] = 1000
    assert bits(train(checkpoint=tmp_path, callbacks=enough, resume=True)) == bits(train())
    assert epochs == [0, 1, 2, 3, 4, 4, *range(4, 13)]


@pytest.mark.diverges
def test_a_run_that_diverged_stays_so(tmp_path):
    whole = train(lr=5.0, checkpoint=tmp_path, epochs=100)
    again = train(lr=5.0, resume=tmp_path, epochs=200)
    assert (again.status, again.result.losses.tobytes()) == ("diverged", whole.result.losses.tobytes())


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": 0.02}, "lr was 0.01 and is 0.02"),
        ({"momentum": 0.9, "nesterov": True}, "momentum was 0.0 and is 0.9; nesterov was False and is True"),
        ({"optimizer": "adam"}, "optimizer was 'sgd' and is 'adam'"),
        ({"optimizer_options": {"maximize": True}}, r"optimizer_options was \{\} and is \{'maximize': True\}"),
        ({"batch_size": 32}, "batch_size was None and is 32"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"dtype": "float64"}, "dtype was 'float32' and is 'float64'"),
        ({"scheduler": "ConstantLR"}, "scheduler was None and is 'ConstantLR'"),
        ({"loss": "l1"}, "loss was 'mse' and is 'l1'"),
        ({"average": 2}, "average was None and is 2"),
        ({"metrics": "r2"}, r"metrics was \(\) and is \('r2'\)"),
        ({"engine": "moments"}, "engine was 'rows' and is 'moments'"),
        ({"start": [0.0] * 5}, r"start was None and is \(0.0, 0.0, 0.0, 0.0, 0.0\)"),
        ({"callbacks": noisy}, r"callbacks were \(\) and are \(the function '.*test_checkpoint.noisy'\)"),
        ({"optimizer": noisy}, "optimizer was 'sgd' and is the function '.*test_checkpoint.noisy'"),
        ({"where": "weight > 0"}, "has where=None, and this run has 'weight > 0'"),
        ({"validation": CARS}, "is of no validation rows, and these are 398"),
    ],
)
def test_another_option_is_refused(options, words, tmp_path):
    train(checkpoint=tmp_path, epochs=3)
    kept = sorted(tmp_path.rglob("*"))
    with pytest.raises((OptionError, DataError), match=words):
        train(resume=tmp_path, epochs=3, **options)
    assert sorted(tmp_path.rglob("*")) == kept


def halving(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


def test_functions_are_to_be_passed_again(tmp_path):
    made = [torch.optim.SGD, torch.optim.Adam]

    def chosen(parameters):
        return made[0](parameters, lr=0.01)

    train(checkpoint=tmp_path, epochs=3, optimizer=chosen, scheduler=halving)
    assert "<locals>.chosen" in next(tmp_path.glob("*3*/state.json")).read_text()
    with pytest.raises(OptionError, match=r"scheduler was the function '.*test_checkpoint\.halving' and is None"):
        train(resume=tmp_path, optimizer=chosen)
    made.reverse()
    with pytest.raises(
        OptionError, match=r"The optimizer of the checkpoint was 'torch.optim.sgd.SGD' and is 'torch.optim.adam.Adam'"
    ):
        train(resume=tmp_path, optimizer=chosen, scheduler=halving)
    made.reverse()
    assert train(resume=tmp_path, optimizer=chosen, scheduler=halving).status == "epochs used up"


def test_other_data_are_refused(tmp_path):
    cars = DATA
    kept = {"checkpoint": tmp_path, "epochs": 3, "batch_size": 50}
    sq.train(FORMULA, cars, **kept)
    changed, levels = cars.copy(), cars.copy()
    changed.loc[7, "weight"] += 1
    levels["origin"] = levels["origin"].replace({3: 4})
    order = np.r_[1:398, 0]
    order[100:300] = order[100:300][::-1]
    cases = [
        (FORMULA, cars.iloc[:-1], DataError, "is of 398 rows, and these are 397"),
        (FORMULA, changed, DataError, "is of other data: a mean was"),
        (FORMULA, levels, DataError, r"other levels of 'C\(origin\)': 3 are gone and 4 are new"),
        (FORMULA, cars.iloc[order], DataError, "these rows in another order"),
        (
            "mpg ~ displacement + weight",
            cars,
            OptionError,
            r"has formula='mpg ~ displacement \+ weight \+ C\(origin\)', and this run",
        ),
    ]
    for formula, data, kind, message in cases:
        with pytest.raises(kind, match=message):
            sq.train(formula, data, **{**kept, "epochs": 6}, resume=True)
    assert sq.train(FORMULA, cars, **{**kept, "epochs": 6}, resume=True).status == "epochs used up"


def test_the_same_values_in_other_columns_are_other_data(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    X -= X.mean(0)
    X /= X.std(0)
    y = rng.normal(size=50)
    train = {"checkpoint": tmp_path, "epochs": 3}
    sq.train("y ~ a + b", {"a": X[:, 0], "b": X[:, 1], "y": y}, **train)
    turned = X @ np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = (turned - turned.mean(0)) / turned.std(0)
    with pytest.raises(DataError, match="a sum of products was"):
        sq.train("y ~ a + b", {"a": turned[:, 0], "b": turned[:, 1], "y": y}, resume=True, **train)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": True}, "which is not set"),
        ({"checkpoint_every": "5 s"}, "but not where"),
        ({"checkpoint": 5}, "checkpoint=5 is not the path of a folder"),
        ({"checkpoint": ""}, "checkpoint='' is not the path"),
        ({"resume": 1.5}, "resume=1.5 is not the path"),
        ({"checkpoint": "a", "checkpoint_every": 10}, "checkpoint_every=10 has no unit"),
        *[
            ({"checkpoint": "a", "checkpoint_every": e}, "is not an interval")
            for e in ("", "s", "0 s", "-1 s", "1.5 epochs", "3 cars")
        ],
        *[
            ({"checkpoint": "a", "checkpoint_every": e}, "is not an interval")
            for e in (["1 s"], True, "nan s", "1e3 s", "9" * 99 + " s")
        ],
        ({"checkpoint": "a", "engine": "closed_form"}, "takes no steps"),
    ],
)
def test_options_that_make_no_sense(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=words):
        train(**options)


def test_folders_that_cannot_be_written_to_are_refused_before_a_row_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("squarely.api.training.run_training", lambda *a: pytest.fail("rows were read"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"is a file\. Give the path of a folder"):
        train(checkpoint=tmp_path / "file")
    with pytest.raises(DataError, match="is not writable"):
        train(checkpoint=tmp_path / "file" / "below")
    with pytest.raises(DataError, match="is not writable"):
        train(checkpoint="/dev/null/runs")
    assert (tmp_path / "file").read_text() == "mine"


# ---- what goes wrong on disk


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path):
    before, filled = resource.getrlimit(resource.RLIMIT_FSIZE), []

    def full(epoch):
        if epoch.epoch == 5 and not filled:
            filled.append(True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))

    try:
        with pytest.raises(
            DataError, match=r"was not written: File too large\. The one before, .*4-batch-000000', is complete"
        ) as caught:
            train(checkpoint=tmp_path, checkpoint_every="1 epochs", callbacks=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert sorted(entry.name for entry in tmp_path.glob("epoch-*")) == ["epoch-000003-batch-000000", "epoch-000004-batch-000000"]
    assert bits(train(checkpoint=tmp_path, callbacks=full, resume=True)) == bits(train())


def test_all_of_it_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, rename = [], Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.fstat(handle).st_ino))
    monkeypatch.setattr(Path, "rename", lambda path, to: (done.append(to.name), rename(path, to))[1])
    train(checkpoint=tmp_path, epochs=1)
    last = tmp_path / "epoch-000001-batch-000000"
    places = [last / "state.safetensors", last / "state.json", last, tmp_path]
    assert (
        done[-6:-1]
        == [  # then comes run.json
            *[place.stat().st_ino for place in places[:3]],
            last.name,
            places[3].stat().st_ino,
        ]
    )


@pytest.fixture
def two(tmp_path, cut):
    """A folder with two checkpoints, of epochs 3 and 4."""
    cut(5)
    with pytest.raises(CutError):
        train(checkpoint=tmp_path / "a", checkpoint_every="1 epochs", **MINI)
    cut(10**9)
    return tmp_path / "a"


DAMAGE = {
    "json cut": lambda path: truncate(path / "state.json", 0.5),
    "json gone": lambda path: (path / "state.json").unlink(),
    "json empty": lambda path: (path / "state.json").write_text(""),
    "other json": lambda path: (path / "state.json").write_text("[]"),
    "deep json": lambda path: (path / "state.json").write_text("[" * 100_000),
    "tensors cut": lambda path: truncate(path / "state.safetensors", 0.9),
    "tensors gone": lambda path: (path / "state.safetensors").unlink(),
    "tensors of zeros": lambda path: (path / "state.safetensors").write_bytes(bytes((path / "state.safetensors").stat().st_size)),
    "a folder in its place": lambda path: ((path / "state.json").unlink(), (path / "state.json").mkdir()),
    "all gone": lambda path: [entry.unlink() for entry in path.iterdir()],
    "renamed": lambda path: path.rename(path.with_name("epoch-000009-batch-000000")),
}


def truncate(path, share):
    os.truncate(path, int(path.stat().st_size * share))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, two):
    newest, before = sorted(two.glob("epoch-*"), reverse=True)
    DAMAGE[damage](newest)
    run = train(checkpoint=two, resume=True, checkpoint_every="1 epochs", **MINI)
    assert bits(run) == bits(train(**MINI))
    assert "cannot be read: " in run.remarks[0]
    assert run.remarks[1] == f"The run resumed from epoch 3, saved in {str(before)!r}, the one before."
    assert sorted(entry.name for entry in two.glob("epoch-*")) == ["epoch-000011-batch-000000", "epoch-000012-batch-000000"]


def test_none_that_can_be_read_is_an_error(two):
    for path in two.glob("epoch-*"):
        truncate(path / "state.safetensors", 0.5)
    with pytest.raises(DataError, match=r"4-batch-000000' cannot be read: .* There is no other in .*Start again in another folder"):
        train(resume=two, **MINI)
    assert len(list(two.glob("epoch-*"))) == 2  # nothing of the user's is removed


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_damage_at_any_byte_is_noticed(name, two):
    newest = max(two.glob("epoch-*"))
    whole, rng = (newest / name).read_bytes(), random.Random(0)  # noqa: S311  # which damage is done
    for place in np.linspace(0, len(whole) - 1, 500, dtype=int).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        (newest / name).write_bytes(damaged if rng.random() < 0.7 else whole[:place])
        with pytest.raises(UnreadableCheckpointError):
            read_checkpoint(newest)
    (newest / name).write_bytes(whole)
    read_checkpoint(newest)
    (newest / name).write_bytes(damaged)
    run = train(checkpoint=two, resume=True, **MINI)
    assert bits(run) == bits(train(**MINI))
    assert "cannot be read" in run.remarks[0]


def rewritten(path, change):
    """Change the JSON and give it a checksum that fits, as an attacker would."""
    document = json.loads((path / "state.json").read_text())
    change(document)
    text = json.dumps([document["squarely checkpoint"], document["run"]])
    document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "state.json").write_text(json.dumps(document))


def test_a_later_format_is_no_damage(two):
    rewritten(max(two.glob("epoch-*")), lambda document: document.update({"squarely checkpoint": 2}))
    with pytest.raises(DataError, match=r"has format 2, and this version reads 1\. Update squarely"):
        train(resume=two, **MINI)


def test_other_versions_are_reported(two):
    rewritten(max(two.glob("epoch-*")), lambda document: document["run"]["versions"].update({"torch": "1.0"}))
    assert "torch was 1.0 and is" in train(resume=two, **MINI).remarks[-1]


WRONG = [None, True, -1, 0, "x", [], {}, [[1]], 10**400, {"tensor": "model.0"}, {"x": 1}, {"dict": 3}, {"number": "inf"}, 1e308]


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("seed", range(3))
def test_files_that_were_changed_on_purpose_are_refused_or_harmless(seed, optimizer, tmp_path):
    options = {"optimizer": optimizer, "lr": 0.01, "scheduler": "MultiStepLR", "scheduler_options": {"milestones": [2, 4]}}
    train(checkpoint=tmp_path / "a", epochs=3, **options)
    shutil.rmtree(tmp_path / "a" / "epoch-000000-batch-000000")
    rng, refused = random.Random(seed), 0  # noqa: S311  # which damage is done

    def change(document):
        damage(document["run"], rng, WRONG)

    for i in range(50):
        folder = tmp_path / f"{i}"
        shutil.copytree(tmp_path / "a", folder)
        rewritten(next(folder.glob("epoch-*")), change)
        try:
            run = train(resume=folder, epochs=3, **options)  # it had ended: what is read is not used for a step
            str(run.summary()), run.history
        except InputError:
            refused += 1
    assert refused >= 30


def test_nothing_is_pickled():
    sources = list((Path(sq.__file__).parent / "descent").rglob("*.py"))
    assert len(sources) > 20
    for path in sources:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not {"pickle", "dill", "joblib", "shelve", "marshal"} & {name.split(".")[0] for name in names}
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("torch.load", "torch.save", "eval", "exec")


def test_state_that_only_pickle_could_write_is_refused(tmp_path):
    class Odd(torch.optim.SGD):
        def state_dict(self):
            return {**super().state_dict(), "file": sys.stdout}

    with pytest.raises(OptionError, match=r"without pickle: a .* is neither a number, a text, a tensor nor a container"):
        train(checkpoint=tmp_path, optimizer=lambda parameters: Odd(parameters, lr=0.1))


VALUES = [
    None, True, 0, -7, 2**62, 0.1, -0.0, 5e-324, math.inf, -math.inf, "", "é\ud800", [], (), {}, deque(), [None, [1.5]],
    (1, (2.0, "x")), {0: {"step": 3.0}, "a": [()]}, {(1, 2): 3}, Counter({2: 1, 5: 3}), deque([1.0, None], maxlen=4),
    np.float64(0.1), np.int64(3), np.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_come_back(value):
    back = from_plain(json.loads(json.dumps(to_plain(value, {}, "x"), allow_nan=False)), {}, torch.device("cpu"))
    expected = value.item() if isinstance(value, np.generic) else value
    assert (type(back), repr(back)) == (type(expected), repr(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_come_back(dtype):
    tensors, value = (
        {},
        {"a": torch.arange(6).reshape(2, 3).t().to(dtype), "b": [torch.tensor(1).to(dtype), torch.zeros(0).to(dtype)]},
    )
    back = from_plain(to_plain(value, tensors, "x"), tensors, torch.device("cpu"))
    pairs = [(back["a"], value["a"]), *zip(back["b"], value["b"], strict=True)]
    assert all(a.dtype == b.dtype and torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in pairs if b.numel())
    assert len(tensors) == 3


def test_nan_comes_back_and_words_are_said():
    assert math.isnan(from_plain(to_plain(math.nan, {}, "x"), {}, torch.device("cpu")))
    assert describe_value({"number": "inf"}) == "inf"
    with pytest.raises(TypeError, match="a set is neither"):
        to_plain({1, 2}, {}, "x")


# ---- a loader, an optimiser and more epochs


def loader_of(generator=None, **options):
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(400, 2)))
    y = 1 + x @ torch.tensor([1.0, -2.0], dtype=torch.float64) + torch.from_numpy(rng.normal(size=400))
    options = {"shuffle": True, **options}
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=50, generator=generator, **options)


def on_a_loader(loader, *, epochs=9, optimizer=None, **options):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1).double()
    given = {"lr": 0.05} if optimizer is None else optimizer(model.parameters())
    return sq.train(model=model, loader=loader, epochs=epochs, **given, **options)


def folders(folder):
    return sorted(path.name for path in folder.glob("epoch-*"))


@pytest.mark.parametrize(("every", "epochs"), [("8 steps", 1), ("1 steps", 1), ("17 steps", 3), ("16 steps", 2), ("2 epochs", 2)])
def test_steps_are_steps_with_a_loader_that_shuffles_too(every, epochs, tmp_path):
    """An epoch of 8 batches that cannot be divided is kept at the first beginning of an epoch after so many steps."""
    seen = {}
    on_a_loader(
        loader_of(), checkpoint=tmp_path, checkpoint_every=every, callbacks=lambda e: seen.update({e.epoch: folders(tmp_path)})
    )
    for epoch in range(1, 10):  # a callback hears of an epoch before it is kept
        last = (epoch - 1) // epochs * epochs
        assert seen[epoch][-1] == f"epoch-{last:06d}-batch-000000"


@pytest.mark.parametrize("sampled", [False, True])
def test_the_generator_of_a_loader_is_kept(sampled, cut, tmp_path):
    def loader():
        generator = torch.Generator().manual_seed(5)
        sampler = {"sampler": torch.utils.data.RandomSampler(range(400), generator=generator), "shuffle": None}
        return loader_of(None if sampled else generator, **(sampler if sampled else {}))

    whole = on_a_loader(loader())
    cut(4)
    with pytest.raises(CutError):
        on_a_loader(loader(), checkpoint=tmp_path, checkpoint_every="1 epochs")
    cut(10**9)
    resumed = on_a_loader(loader(), checkpoint=tmp_path, resume=True)
    assert bits(resumed) == bits(whole)
    assert len(resumed.remarks) == 1  # which says where it went on from


def test_a_generator_that_is_not_kept_is_said(tmp_path):
    """A sampler of the user's own may draw from anywhere, and a checkpoint of before holds no generator of a loader."""

    class Shuffled(torch.utils.data.Sampler):
        def __iter__(self):
            return iter(np.random.default_rng(1).permutation(400).tolist())

        def __len__(self):
            return 400

    def loader():
        return loader_of(sampler=Shuffled(), shuffle=None)

    on_a_loader(loader(), epochs=2, checkpoint=tmp_path / "a")
    assert "Shuffled draws the order of the rows" in on_a_loader(loader(), resume=tmp_path / "a").remarks[-1]
    on_a_loader(loader_of(), epochs=2, checkpoint=tmp_path / "b")
    resumed = on_a_loader(loader_of(torch.Generator().manual_seed(5)), resume=tmp_path / "b")
    assert "does not hold the generator of the loader" in resumed.remarks[-1]
    on_a_loader(loader_of(), epochs=2, checkpoint=tmp_path / "c")
    assert len(on_a_loader(loader_of(), resume=tmp_path / "c").remarks) == 1


def test_an_optimiser_over_the_model_goes_on_to_the_same_bits(cut, tmp_path):
    def made(parameters, lr=0.1):
        optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
        return {"optimizer": optimizer, "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)}

    whole = on_a_loader(loader_of(), optimizer=made)
    cut(5)
    with pytest.raises(CutError):
        on_a_loader(loader_of(), optimizer=made, checkpoint=tmp_path, checkpoint_every="1 epochs")
    cut(10**9)
    with pytest.raises(OptionError, match=r"lr of the optimizer was 0\.1 and is 0\.2"):
        on_a_loader(loader_of(), optimizer=lambda p: made(p, 0.2), checkpoint=tmp_path, resume=True)
    resumed = on_a_loader(loader_of(), optimizer=made, checkpoint=tmp_path, resume=True)
    assert bits(resumed) == bits(whole)
    assert resumed.as_dict()["lr"] == 0.1


@pytest.mark.parametrize("options", [{"stop": "loss", "patience": 50}, {"stop": "validation", "patience": 50, "validation": 0.3}])
def test_a_run_that_gave_its_best_parameters_back_goes_on_from_its_last(options, tmp_path):
    options = {"lr": 0.35, "batch_size": 20, "dtype": "float64", **options}
    for epochs in (6, 9, 12):  # the best of some of them is not the last
        run = train(checkpoint=tmp_path, resume=True, **{**options, "epochs": epochs})
        whole = train(**{**options, "epochs": epochs})
        assert bits(run) == bits(whole)
        assert run.result.stop_reason == whole.result.stop_reason
    assert run.result.stop_reason.restored_epoch is not None
    again = train(checkpoint=tmp_path, resume=True, **{**options, "epochs": 12})
    assert bits(again) == bits(whole)
    assert again.as_dict()["last_loss"] == whole.as_dict()["last_loss"]


def test_more_epochs_with_a_rate_that_is_found(tmp_path):
    """The best rate for 20 epochs of these batches is another one than for 10: the run goes on with the rate that it has."""
    first = train(lr="auto", batch_size=32, epochs=10, checkpoint=tmp_path)
    more = train(lr="auto", batch_size=32, epochs=20, checkpoint=tmp_path, resume=True)
    assert more.options.lr == first.options.lr != train(lr="auto", batch_size=32, epochs=20).options.lr
    assert any(f"lr='auto' is {first.options.lr:.6g}, the rate of the checkpoint" in remark for remark in more.remarks)
    assert bits(more) == bits(train(lr=first.options.lr, batch_size=32, epochs=20))


def test_more_epochs_with_an_average(tmp_path):
    options = {"lr": 0.05, "batch_size": 32, "average": True, "dtype": "float64"}
    train(epochs=10, checkpoint=tmp_path / "a", **options)
    more = train(epochs=20, resume=tmp_path / "a", **options)  # whose second half is still to come
    whole = train(epochs=20, **options)
    assert bits(more) == bits(whole)
    assert more.as_dict()["last_loss"] == whole.as_dict()["last_loss"]
    train(epochs=10, checkpoint=tmp_path / "b", **options)
    more = train(epochs=16, resume=tmp_path / "b", **options)  # which has begun before
    assert "Iterates are averaged from epoch 5 on and not from 8" in more.remarks[-1]
    assert bits(more) == bits(train(epochs=16, **{**options, "average": 5}))
    assert more.options.average == 5
    assert "from epoch 5 on and not from 9" in train(epochs=18, resume=tmp_path / "b", **options).remarks[-1]
    with pytest.raises(OptionError, match="average was 9 and is 7"):
        train(epochs=20, **{**options, "average": 7}, resume=tmp_path / "b")


def test_a_schedule_that_is_too_short_leaves_nothing_on_disk(tmp_path):
    options = {"batch_size": 150, "scheduler": "OneCycleLR", "checkpoint": tmp_path, "epochs": 5}
    with pytest.raises(OptionError, match="Give total_steps=15"):
        train(scheduler_options={"max_lr": 0.1, "total_steps": 14}, **options)
    assert not list(tmp_path.iterdir())
    assert train(scheduler_options={"max_lr": 0.1, "total_steps": 15}, **options).status == "epochs used up"
    more = {**options, "epochs": 6, "resume": True, "scheduler_options": {"max_lr": 0.1, "total_steps": 15}}
    with pytest.raises(OptionError, match="ends after 15 steps, and this run takes 18"):
        train(**more)


def test_no_weight_decay_is_a_weight_decay_of_zero(tmp_path):
    train(epochs=2, checkpoint=tmp_path / "a")
    assert train(epochs=3, weight_decay=0.0, resume=tmp_path / "a").status == "epochs used up"
    assert train(epochs=4, resume=tmp_path / "a").status == "epochs used up"
    train(epochs=2, checkpoint=tmp_path / "b", optimizer="adamw")
    with pytest.raises(OptionError, match=r"weight_decay was None and is 0\.0"):  # AdamW has one by itself
        train(epochs=3, weight_decay=0.0, optimizer="adamw", resume=tmp_path / "b")
    assert train(epochs=3, weight_decay=0.01, optimizer="adamw", resume=tmp_path / "b").status == "finished"  # another optimum
