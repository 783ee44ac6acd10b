"""Runs that are killed or interrupted: what is kept goes on to the same bits, and signals are left as they were."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

import squarely as sq
from tests.support.checks import CARS, need

torch = need("torch")
need("safetensors")

from tests.support.runs import DATA, FORMULA, bits, no_waiting_for_the_disk, train  # noqa: E402, F401


def test_killed_at_random_moments_and_resumed_a_run_ends_with_the_same_bits(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.kill", str(tmp_path), "9"], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert [case["differs"] for case in cases] == [[]] * 6
    assert sum(case["kills"] for case in cases) >= 50
    assert all(case["places"] >= 3 for case in cases)


@pytest.mark.smoke
def test_ctrl_c_keeps_the_run_and_says_how_to_go_on(tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    steps = []

    class Pressing(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            steps.append(None)
            if len(steps) == 10:
                signal.raise_signal(signal.SIGINT)

    options = {"batch_size": 100, "optimizer": lambda parameters: Pressing(parameters, lr=0.01)}
    with pytest.raises(KeyboardInterrupt, match=r"interrupted at epoch 2, batch 2, and saved\. Resume with resume='.*a'\.$"):
        train(checkpoint=tmp_path / "a", **options)
    assert signal.getsignal(signal.SIGINT) is handler
    assert bits(train(resume=tmp_path / "a", **options)) == bits(train(**options))
    assert len(steps) == 4 * 12 * 2


def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    def press(epoch):
        if epoch.epoch == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        train(checkpoint=tmp_path, callbacks=press)
    assert caught.value.args == ()


def test_ctrl_c_in_the_last_moment_is_not_forgotten(tmp_path):
    def press(epoch):
        if epoch.epoch == 12:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="interrupted at epoch 12, and saved"):
        train(checkpoint=tmp_path, callbacks=press)
    assert train(resume=tmp_path, callbacks=press).status == "epochs used up"


def test_signals_belong_to_the_main_thread_and_stay_as_they_were(tmp_path):
    handlers, runs = [], []

    def note(epoch):
        handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=lambda: runs.append(train(checkpoint=tmp_path / "a", callbacks=note)))
    thread.start()
    thread.join()
    assert runs[0].status == "epochs used up"
    assert set(handlers) == {signal.getsignal(signal.SIGINT)}
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        train(checkpoint=tmp_path / "b", callbacks=lambda epoch: handlers.append(signal.getsignal(signal.SIGTERM)))
        assert handlers[-1] == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    train(callbacks=note)
    assert handlers[-1] == signal.getsignal(signal.SIGINT)  # without checkpoints, nothing is touched


def test_a_handler_of_the_users_is_called(tmp_path):
    found, once = [], []

    def press(epoch):
        if epoch.epoch == 3 and not once:
            once.append(signal.raise_signal(signal.SIGTERM))

    before = signal.signal(signal.SIGTERM, lambda number, frame: found.append(number))
    try:
        with pytest.raises(KeyboardInterrupt, match="interrupted at epoch 3, and saved"):
            train(checkpoint=tmp_path, callbacks=press)
        assert found == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


COMMAND = """
import os, signal, sys, threading
import squarely.cli
from squarely.descent.checkpoint import checkpointer
write = checkpointer.write_checkpoint

def telling(folder, checkpoint):
    path = write(folder, checkpoint)
    if checkpoint.epoch >= 3 and checkpoint.epoch < 1000000:
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    return path

checkpointer.write_checkpoint = telling
squarely.cli.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_line(number, code, tmp_path):
    def run(*words, script=COMMAND):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", script, "train", FORMULA, CARS, "--lr", "0.01", "--epochs", "40", *words],
            capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False, env={**os.environ, "SIGNAL": str(int(number))},
        )  # fmt: skip

    done = run("--save", "runs", "--checkpoint-every", "3 epochs")
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line == f"squarely: interrupted at epoch 3, and saved. Resume with --resume {tmp_path / 'runs'}."
    plain = "import squarely.cli; squarely.cli.main()"
    refused = run("--save", "runs", script=plain)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    resumed = run("--resume", "runs", "--json", script=plain)
    assert resumed.returncode == 1
    numbers = json.loads(resumed.stdout)
    assert numbers["status"] == "epochs used up"
    whole = sq.train(FORMULA, CARS, lr=0.01, epochs=40)
    assert numbers["history"]["loss"] == whole.result.losses.tolist()
    assert numbers["params"] == whole.params.to_dict()
    assert "resumed from epoch 3" in numbers["notes"][0]
