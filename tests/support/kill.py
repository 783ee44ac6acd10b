"""A process that has imported PyTorch once, forks children that train, and kills them at random moments until they are done.

It prints, for each case of training, how often its run was killed, at how many places, and whether it ended with the same bits
as a run that nobody touched. Called by training/test_kill.py.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

import squarely as sq

FORMULA, EPOCHS = "mpg ~ displacement + weight + acceleration", 60
CARS = {
    name: column.to_numpy(float) for name, column in sq.datasets.cars()[["mpg", "displacement", "weight", "acceleration"]].items()
}
TRAINED = {name: values[:300] for name, values in CARS.items()}
VALIDATION = {name: values[300:] for name, values in CARS.items()}


def falling(step):
    return 1.0 / (1.0 + 0.01 * step)


def slowly(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, falling)


CASES = {
    "sgd, full": {"lr": 0.05, "scheduler": "StepLR", "scheduler_options": {"step_size": 7}},
    "sgd, batches": {"lr": 0.01, "batch_size": 32, "scheduler": slowly, "scheduler_per": "batch", "metrics": ["r2", "mae"]},
    "momentum, full": {"lr": 0.01, "momentum": 0.9, "scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": 60},
                       "average": True},
    "momentum, batches": {"lr": 0.001, "momentum": 0.9, "nesterov": True, "batch_size": 64, "scheduler": "ExponentialLR",
                          "scheduler_options": {"gamma": 0.99}, "stop": "validation", "patience": 50, "validation": VALIDATION},
    "adam, full": {"lr": 0.02, "optimizer": "adam", "scheduler": "ReduceLROnPlateau", "scheduler_options": {"patience": 2},
                   "stop": "validation", "patience": 50, "validation": VALIDATION},
    "adam, batches": {"lr": 0.01, "optimizer": "adam", "batch_size": 50, "replacement": True, "average": 20,
                      "scheduler": "OneCycleLR", "scheduler_options": {"max_lr": 0.05, "total_steps": 400}},
}  # fmt: skip


def bits(run):
    columns = {name: np.array(values).tobytes().hex() for name, values in run.result.history.columns.items()}
    return {"end": run.result.end.tobytes().hex(), "params": run.params.to_numpy().tobytes().hex(), "status": run.status, **columns}


def train(case, out, **keeping):
    torch.set_num_threads(1)
    run = sq.train(FORMULA, TRAINED, epochs=EPOCHS, **CASES[case], **keeping)
    out.write_text(json.dumps(bits(run)))


def forked(work, *args, **options):
    child = os.fork()
    if not child:
        code = 1
        try:
            work(*args, **options)
            code = 0
        finally:
            os._exit(code)
    return child


def newest(runs):
    return max((entry.name for entry in runs.glob("epoch-*")), default="")


def kill(child, runs, rng):
    """Kill a child: at any moment of its life, or, more often, soon after its next checkpoint, so that the run advances."""
    before, end = newest(runs), time.monotonic() + 60
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, 0.2))
    else:
        while (
            newest(runs) == before
            and time.monotonic() < end
            and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        ):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)


def kill_and_resume(case, folder, times, rng):
    """Kill a run and resume it until it was killed so often, then let it end; a run that ends earlier begins again."""
    out, kills, places, tries = folder / "resumed.json", 0, set(), 0
    while True:
        runs = folder / f"run-{tries}"
        every = rng.choice(["1 steps", "3 steps", "2 epochs", "0.005 s"])
        child = forked(train, case, out, checkpoint=runs, checkpoint_every=every, resume=True)
        if kills < times:
            kill(child, runs, rng)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            kills += 1
            places.add(newest(runs))
        elif os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit("a child has failed")
        elif kills >= times:
            return json.loads(out.read_text()), kills, len(places)
        else:
            tries += 1


def main(folder, times):
    os.fsync = lambda handle: None  # a process that is killed loses nothing that it has written, only a machine does
    sq.train(FORMULA, TRAINED, engine="moments", epochs=1)  # imports what is needed; no backward, whose threads no fork survives
    for number, case in enumerate(CASES):
        place = Path(folder) / str(number)
        place.mkdir()
        os.waitpid(forked(train, case, place / "whole.json"), 0)
        whole = json.loads((place / "whole.json").read_text())
        ended, kills, places = kill_and_resume(case, place, times, random.Random(number))  # noqa: S311  # when to kill
        differs = [name for name in {*whole, *ended} if whole.get(name) != ended.get(name)]
        print(json.dumps({"case": case, "kills": kills, "places": places, "differs": differs}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
