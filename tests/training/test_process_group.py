"""Processes that train together: the parameters of one process, a share of the rows each, and an end to all when one ends."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.data.scan.fold import iter_batches
from squarely.errors import OptionError
from tests.support.checks import CARS, assert_close
from tests.support.process_group import LIMIT, environment, fork, free_port, wait

N = 2_000


def started(words, size):
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *words], env=environment(rank, size, port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in range(size)
    ]


def ended(processes):
    """Wait for all, and give (exit code, stdout, stderr) of each."""
    try:
        outputs = [process.communicate(timeout=LIMIT) for process in processes]
    finally:
        for process in processes:
            with process:  # its pipes are closed and its end is waited for
                process.kill()
    return [(process.returncode, *each) for process, each in zip(processes, outputs, strict=True)]


def worked_off(folder, cases, *sizes):
    """Let teams of these sizes work off cases: give, for each size, the outcomes of each of its processes."""
    folder.mkdir(exist_ok=True)
    (folder / "cases.json").write_text(json.dumps(cases))
    done = [wait(folder, team) for team in [fork(folder, size) for size in sizes]]
    for size, ends in zip(sizes, done, strict=True):
        assert ends == [(0, "")] * size
    return {s: [json.loads((folder / f"outcomes-{s}-{rank}.json").read_text()) for rank in range(s)] for s in sizes}


# What one process would have done

START = (0.3, -0.2)  # slope and intercept

ALIKE = {
    "full batch": {"epochs": 20, "lr": 0.1},
    "float32": {"epochs": 20, "lr": 0.1, "dtype": "float32"},
    "momentum, closed": {"epochs": 3, "batch_size": 37, "momentum": 0.9, "gradient": "closed", "nesterov": True},
    "a last batch of two": {"epochs": 2, "batch_size": 39, "optimizer": "adamw", "clip_grad_norm": 0.5},
    "Adam, validated": {
        "epochs": 4, "batch_size": 50, "optimizer": "adam", "validation": 0.25, "metrics": ["rmse", "mae", "r2"],
        "scheduler": "StepLR", "scheduler_options": {"step_size": 1}, "average": 1,
    },
    "replacement, auto": {"epochs": 3, "lr": "auto", "batch_size": 64, "replacement": True},
    "in order, huber": {"epochs": 3, "batch_size": 10, "shuffle": False, "loss": "huber"},
    "lbfgs": {"epochs": 4, "lr": 0.5, "optimizer": "lbfgs"},
    "stopped by loss": {"epochs": 60, "lr": 1.9, "batch_size": 20, "stop": "loss", "patience": 2},
    "stopped by distance": {"epochs": 500, "lr": 0.3, "stop": "0.5 se"},
    "streamed": {"epochs": 3, "lr": 0.1, "stream": True, "loss": "l1", "metrics": ["mae"]},
    "moments": {"epochs": 30, "lr": 0.1, "engine": "moments", "optimizer": "adam"},
    "closed form": {"epochs": 30, "lr": 0.1, "engine": "closed_form"},
}  # fmt: skip


def files(folder):
    """Write rows whose categories, and whose gaps, lie in some shares alone; and Parquet of many row groups."""
    rng = np.random.default_rng(3)
    x, kinds = rng.standard_normal(90), np.repeat(["a", "b", "c"], 30)
    y = 1.0 + 2.0 * x + 3.0 * (kinds == "b") - 1.0 * (kinds == "c") + 0.1 * rng.standard_normal(90)
    gaps = [None if i < 50 else float(v) for i, v in enumerate(x)]
    pq.write_table(pa.table({"x": x, "g": kinds, "y": y, "gap": gaps}), folder / "mixed.parquet", row_group_size=7)
    table = {f"x{j}": rng.standard_normal(N) for j in range(3)}
    table["y"] = table["x0"] - table["x1"] + rng.standard_normal(N)
    pq.write_table(pa.table(table), folder / "many.parquet", row_group_size=N // 40)
    cars = [batch.numbers for batch in iter_batches(open_source(CARS), ["mpg", "horsepower", "weight"])]
    pq.write_table(pa.table({name: column.values for name, column in cars[0].items()}), folder / "cars.parquet")
    with (folder / "wrong.csv").open("w") as lines:
        lines.writelines(["x,y\n", *(f"{i},{i % 7}\n" for i in range(30_000)), "1,seven\n"])
    return {path.stem: str(path) for path in folder.iterdir()}


def cases(path):
    """Give every case by name: formula, data, options."""
    made = {name: ("mpg ~ horsepower + weight", path["cars"], {"dtype": "float64", **options}) for name, options in ALIKE.items()}
    exact = {"dtype": "float64", "epochs": 3, "lr": 0.05}
    made |= {
        "levels in shares": ("y ~ x * C(g)", path["mixed"], {**exact, "batch_size": 16}),
        "gaps in shares": ("y ~ gap", path["mixed"], {**exact, "batch_size": 16}),
        "condition": ("y ~ x", path["mixed"], {**exact, "where": "g == 'c'", "batch_size": 7}),
        "gaps, streamed": ("y ~ gap", path["mixed"], {**exact, "stream": True}),
        "lines": ("mpg ~ displacement", CARS, {"epochs": 3, "dtype": "float64"}),
        "share": ("y ~ x0 + x1 + x2", path["many"], exact),
        "streamed batches": (
            "y ~ x0",
            path["many"],
            {**exact, "start": [START[1], START[0]], "stream": True, "batch_size": 101, "shuffle": False},
        ),
        "streamed shuffle": ("y ~ x0", path["many"], {**exact, "stream": True, "batch_size": 101, "lr": 1e-13}),
        "one stops": ("y ~ x0", path["many"], {"epochs": 9, "stopped_by": [1, 4]}),
        "own model": ("y ~ x0 + x1", path["many"], {"epochs": 9, "own": True, "features": 2}),
        "other options": ("y ~ x0", path["many"], {"rank": [{"lr": 0.1}, {"lr": 0.2}], "epochs": 2}),
        "wrong in one share": ("y ~ x", path["wrong"], {"epochs": 2}),
        "small batches": ("y ~ x0", path["many"], {"epochs": 2, "stream": True, "batch_size": 1}),
        "after errors": ("y ~ x0", path["many"], exact),
    }
    return {name: {"formula": formula, "data": data, "options": options} for name, (formula, data, options) in made.items()}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Work all cases off with 1, 2 and 3 processes; what is wrong on purpose only where there are several."""
    folder = tmp_path_factory.mktemp("teams")
    every = cases(files(folder))
    several = worked_off(folder / "several", every, 2, 3)
    alone = worked_off(folder / "alone", {name: case for name, case in every.items() if name in SAME}, 1)
    return {**several, **alone}


SAME = [*ALIKE, "lines", "levels in shares", "gaps in shares", "condition", "gaps, streamed", "share", "after errors"]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", SAME)
def test_any_number_of_processes_does_what_one_does(done, name, size):
    (one,) = done[1]
    rtol = 2e-6 if name == "float32" else 1e-12
    for outcomes in done[size]:
        found, expected = outcomes[name], one[name]
        assert_close(found["params"], expected["params"], rtol=rtol)
        assert list(found["logged"]) == list(expected["logged"])
        for column, values in expected["logged"].items():
            assert_close(found["logged"][column], values, rtol=rtol)
        assert (found["status"], found["rows"]) == (expected["status"], expected["rows"])
        assert_close(found["lr"], expected["lr"], rtol=1e-12)


@pytest.mark.smoke
def test_two_processes_train_as_one(tmp_path):
    case = {"formula": "mpg ~ displacement", "data": CARS, "options": {"epochs": 5, "batch_size": 40, "dtype": "float64"}}
    done = worked_off(tmp_path, {"case": case}, 1, 2)
    for outcomes in done[2]:
        assert_close(outcomes["case"]["params"], done[1][0]["case"]["params"], rtol=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_all_processes_have_the_same_bits(done, size):
    first, *others = done[size]
    for name, expected in first.items():
        for outcomes in others:
            for part in ("params", "logged", "error", "message", "reason"):
                assert outcomes[name].get(part) == expected.get(part), name


@pytest.mark.parametrize("size", [2, 3])
def test_each_process_reads_and_holds_its_share(done, size):
    found = [outcomes["share"] for outcomes in done[size]]
    ends = [N * rank // size for rank in range(size + 1)]
    assert [each["here"] for each in found] == [[n] for n in np.diff(ends).tolist()]
    group = N // 40
    for each, n in zip(found, np.diff(ends).tolist(), strict=True):
        assert 2 * n <= each["parts"] <= 2 * (n + 2 * group)  # for the cross-products and the rows, in whole row groups
    assert [each["predicted"] for each in found] == [True] + [False] * (size - 1)  # only the first asks the exact road


@pytest.mark.parametrize("size", [2, 3])
def test_a_process_may_have_no_row(done, size):
    counts = [outcomes["gaps in shares"]["here"] for outcomes in done[size]]
    assert counts == {2: [[0], [40]], 3: [[0], [10], [30]]}[size]


def least_squares_by_batches(x, y, *, sizes, counts, epochs, lr):
    """Descend in NumPy: step t is of the rows t b to (t + 1) b of every share, where b is its share of the batch."""
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    starts = np.cumsum([0, *counts])
    w, b = START
    losses = []
    for _ in range(epochs):
        losses.append(np.mean((w * x + b - y) ** 2))
        for t in range(max(-(-c // s) for c, s in zip(counts, sizes, strict=True))):
            rows = np.concatenate(
                [np.arange(a + t * s, min(a + (t + 1) * s, a + c)) for a, c, s in zip(starts, counts, sizes, strict=False)]
            ).astype(int)
            r = w * x[rows] + b - y[rows]
            w, b = w - lr * 2 * np.mean(r * x[rows]), b - lr * 2 * np.mean(r)
    return losses


@pytest.mark.parametrize(("size", "sizes"), [(2, [51, 50]), (3, [34, 34, 33])])
def test_streams_share_each_batch_out(done, size, sizes, tmp_path_factory):
    data = pq.read_table(next(tmp_path_factory.getbasetemp().glob("teams*/many.parquet")))
    x, y = (data.column(name).to_numpy() for name in ("x0", "y"))
    counts = np.diff([N * rank // size for rank in range(size + 1)]).tolist()
    expected = least_squares_by_batches(x, y, sizes=sizes, counts=counts, epochs=3, lr=0.05)
    assert_close(done[size][0]["streamed batches"]["logged"]["loss"][:3], expected, rtol=1e-9)


@pytest.mark.parametrize("size", [2, 3])
def test_streams_bring_every_row_once_an_epoch(done, size):
    """Where no step moves anything, the mean over the batches of an epoch is the mean over all rows."""
    logged = done[size][0]["streamed shuffle"]["logged"]
    assert_close(logged["running_loss"], logged["loss"][:3], rtol=1e-10)


@pytest.mark.parametrize("size", [2, 3])
def test_the_wish_of_one_callback_stops_all(done, size):
    for outcomes in done[size]:
        assert outcomes["one stops"]["status"] == "converged"  # it was near by then
        assert "epoch 4" in outcomes["one stops"]["reason"]
        assert len(outcomes["one stops"]["logged"]["loss"]) == 5


@pytest.mark.parametrize("size", [2, 3])
def test_what_cannot_be_is_said_by_all(done, size):
    for outcomes in done[size]:
        assert outcomes["other options"]["error"] == "OptionError"
        assert "Process 1 of" in outcomes["other options"]["message"]
        assert "another lr than process 0: 0.2, not 0.1" in outcomes["other options"]["message"]
        assert outcomes["wrong in one share"]["error"] == "DataError"
        assert "'seven' in data row 30,001" in outcomes["wrong in one share"]["message"]
        assert outcomes["small batches"]["error"] == "OptionError"
        assert f"at least batch_size={size}" in outcomes["small batches"]["message"]


# A process that ends, and signals

KEPT = {
    "held": {"batch_size": 50, "optimizer": "adam", "scheduler": "StepLR", "scheduler_options": {"step_size": 3}},
    "streamed": {"batch_size": 101, "momentum": 0.9, "stream": True, "average": 2, "dtype": "float64"},
    "full batch": {"stop": "loss", "patience": 400},
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Give a case of each kind, and what two processes that nothing disturbs make of it."""
    folder = tmp_path_factory.mktemp("kept")
    data = files(folder)["many"]
    every = {
        name: {"formula": "y ~ x0 + x1", "data": data, "options": {"epochs": 12, "lr": 0.03, **options}}
        for name, options in KEPT.items()
    }
    return every, worked_off(folder / "undisturbed", every, 2)[2]


def disturbed(folder, case, *signal, resume=False):
    """Work a case off in two processes that keep checkpoints, one of which may get a signal at some message."""
    options = {**case["options"], "checkpoint": str(folder / "run"), "checkpoint_every": "7 steps", "resume": resume}
    if case["options"].get("batch_size") is None:
        options["checkpoint_every"] = "2 epochs"
    if signal:
        options["signal"] = list(signal)
    folder.mkdir(exist_ok=True)
    (folder / "cases.json").write_text(json.dumps({"case": {**case, "options": options}}))
    codes = [code for code, _ in wait(folder, fork(folder, 2))]
    written = [folder / f"outcomes-2-{rank}.json" for rank in range(2)]
    found = [json.loads(path.read_text())["case"] if path.exists() else None for path in written]
    for path in written:
        path.unlink(missing_ok=True)
    return codes, found


def gone_on(case, folder):
    """Go on alone from what two processes have kept."""
    return sq.train(case["formula"], case["data"], **case["options"], checkpoint=folder / "run", resume=True)


def test_a_killed_process_ends_the_others_and_the_checkpoint_serves(kept, tmp_path):
    every, undisturbed = kept
    for rank, message, resume in [(1, 217, False), (0, 101, True)]:
        codes, found = disturbed(tmp_path / "killed", every["held"], "SIGKILL", rank, message, resume=resume)
        assert codes[rank] == -9
        assert found[1 - rank]["error"] == "ProcessError"
        assert f"Process {1 - rank} of 2 has lost another one" in found[1 - rank]["message"]
        assert "resumes from the newest" in found[1 - rank]["message"]
    shutil.copytree(tmp_path / "killed", tmp_path / "alone")
    alone = gone_on(every["held"], tmp_path / "alone")
    assert_close(alone.coefficients, undisturbed[0]["held"]["params"], rtol=1e-6)
    assert "processes was 2 and is 1" in " ".join(alone.remarks)
    codes, found = disturbed(tmp_path / "killed", every["held"], resume=True)
    assert codes == [0, 0]
    for outcome, expected in zip(found, undisturbed, strict=True):
        assert outcome["params"] == expected["held"]["params"]
        assert outcome["logged"] == expected["held"]["logged"]
        assert "resumed from epoch" in outcome["remarks"][0]


@pytest.mark.parametrize("name", ["streamed", "full batch"])
def test_a_signal_to_one_process_halts_all_at_one_step_and_nothing_is_lost(kept, name, tmp_path):
    every, undisturbed = kept
    message = 9 if name == "full batch" else 151
    codes, found = disturbed(tmp_path, every[name], "SIGINT", 1, message)
    assert codes == [0, 0]
    assert [outcome["error"] for outcome in found] == ["KeyboardInterrupt"] * 2
    assert found[0]["message"] == found[1]["message"]
    assert "and saved. Resume with resume=" in found[0]["message"]
    if name == "streamed":
        with pytest.raises(OptionError, match="2 processes streamed together, and now there are 1"):
            gone_on(every[name], tmp_path)
    codes, found = disturbed(tmp_path, every[name], resume=True)
    for outcome, expected in zip(found, undisturbed, strict=True):
        assert outcome["params"] == expected[name]["params"]
        assert outcome["logged"] == expected[name]["logged"]


# The command line

TRAIN = ["-m", "squarely", "train", "mpg ~ displacement", CARS]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(*words):
    done = subprocess.run(
        [sys.executable, *TORCHRUN, *words], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=LIMIT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_torchrun_trains_as_one_and_prints_once():
    code, out, _ = torchrun(*TRAIN, "--epochs", "30", "--batch-size", "48", "--dtype", "float64", "--json")
    assert code == 0  # as near as the noise of batches lets it come
    numbers = json.loads(out)
    alone = sq.train("mpg ~ displacement", CARS, epochs=30, batch_size=48, dtype="float64")
    assert_close(list(numbers["params"].values()), alone.coefficients, rtol=1e-12)
    assert_close(numbers["history"]["predicted"], alone.history["predicted"], rtol=1e-10)
    code, out, err = torchrun("-m", "squarely", "train", "mpg ~ displacment", CARS)
    assert (code, out) == (1, "")
    assert err.count("squarely: error: There is no column 'displacment'") == 1


def test_the_accounts_of_the_rows_are_of_all_processes():
    code, out, _ = torchrun(*TRAIN, "--epochs", "2", "--validation", "0.2", "--json")
    assert code == 0
    numbers = json.loads(out)
    alone = sq.train("mpg ~ displacement", CARS, epochs=2, validation=0.2)
    assert numbers["rows"] == alone.rows.as_dict()
    assert numbers["validation_rows"] == alone.validation_rows.as_dict()
    assert numbers["rows"]["read"] + numbers["validation_rows"]["read"] == 398


def test_what_all_meet_is_said_by_the_first_and_every_exit_code_is_its_own():
    words = {
        "diverged": ([*TRAIN, "--lr", "2"], 1),
        "usage": ([*TRAIN, "--epochs", "many"], 2),
        "option": ([*TRAIN, "--lr", "-1"], 2),
        "another command": (["-m", "squarely", "ols", "mpg ~ displacement", CARS], 2),
        "one GPU": ([*TRAIN, "--device", "cuda:1"], 2),
    }
    begun = {name: started(command, 2) for name, (command, _) in words.items()}
    found = {name: ended(processes) for name, processes in begun.items()}
    for name, (_, expected) in words.items():
        assert [code for code, _, _ in found[name]] == [expected] * 2
        assert found[name][1][1:] == ("", "")
        assert found[name][0][2].count("rror") == (name != "diverged")  # whose page has the sentence
    assert found["diverged"][0][1].count("Training Results") == 1
    assert " ".join(found["diverged"][0][1].split()).count("The loss grew past all bounds") == 1
    assert "squarely ols runs in one process, and there are 2 of them" in found["another command"][0][2]
    assert "is one GPU, and each process needs its own" in found["one GPU"][0][2]


def test_the_command_line_says_that_another_process_has_ended(tmp_path):
    words = [*TRAIN, "--epochs", "1000000", "--batch-size", "10", "--save", str(tmp_path / "run"), "--checkpoint-every", "5 steps"]
    processes = started(words, 2)
    try:
        while not list(tmp_path.glob("run/epoch-*-batch-*5")) and processes[0].poll() is None:
            time.sleep(0.05)
        processes[1].kill()
    finally:
        (code, out, err), _ = ended(processes)
    assert (code, out) == (3, "")
    assert err.startswith("squarely: error: Process 0 of 2 has lost another one")
