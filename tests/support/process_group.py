"""Processes that train together: each runs the cases in a folder, and writes down their outcomes.

They are forked from one process that has imported all that training needs, which takes longer than most of what they do.
"""

import faulthandler
import json
import multiprocessing
import os
import signal
import socket
import time
import warnings
from pathlib import Path

import torch
from torch import distributed

import squarely as sq
from squarely.data.files import parquet
from squarely.descent import process_group as processes
from squarely.descent.trainer import training_data
from squarely.errors import ConvergenceWarning, SquarelyError

LIMIT = 120  # seconds after which a process that hangs is killed
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.support.forkserver"])

train = sq.train  # which imports what it needs


def environment(rank=0, size=1, port=0):
    """Set what torchrun sets, and one thread each: two processors are not many."""
    return {
        **os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
    }  # fmt: skip


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def fork(folder, size):
    """Start processes that run the cases of a folder together."""
    port = free_port()
    forked = [FORKED.Process(target=work, args=(folder, rank, size, port)) for rank in range(size)]
    for process in forked:
        process.start()
    return forked


def wait(folder, forked):
    """Wait for forked processes, and give (exit code, stderr) of each. One that hangs fails the test and shows where it was."""
    end = time.monotonic() + LIMIT
    for process in forked:
        process.join(max(0.0, end - time.monotonic()))
    hung = [rank for rank, process in enumerate(forked) if process.is_alive()]
    for process in forked:
        process.kill()
        process.join()
    outputs = [(folder / f"stderr-{len(forked)}-{rank}").read_text() for rank in range(len(forked))]
    assert not hung, f"processes {hung} hang:\n" + "\n".join(outputs)
    return [(process.exitcode, each) for process, each in zip(forked, outputs, strict=True)]


def make_options(saved, own_rank):
    """Make objects of what JSON cannot hold."""
    options = dict(saved)
    if "rank" in options:  # an option that processes do not share
        options |= options.pop("rank")[own_rank % 2]
    if "stopped_by" in options:
        rank, epoch = options.pop("stopped_by")
        options["callbacks"] = lambda log: rank == own_rank and log.epoch == epoch
    if options.pop("own", False):
        torch.manual_seed(own_rank)  # which a user may well do
        options["model"] = torch.nn.Linear(options.pop("features"), 1)
    if "signal" in options:
        name, rank, message = options.pop("signal")
        if rank == own_rank:
            signal_at(name, message)
    return options


def signal_at(name, message):
    """Let this process send itself a signal when it is about to send so many messages."""
    sent, plain = 0, processes.ProcessGroup.all_reduce

    def summed(self, tensors):
        nonlocal sent
        sent += 1
        if sent == message:
            os.kill(os.getpid(), getattr(signal, name))
        return plain(self, tensors)

    processes.ProcessGroup.all_reduce = summed


def watch_rows(counts):
    """Write down how many rows are held here, and how many are decoded of parts of Parquet files."""
    shared, decoded = training_data.shard_batches, parquet._decode_columns

    def holding(own, team):
        counts["here"].append(own.n)
        return shared(own, team)

    def decoding(opened, names, groups=None):
        for batch in decoded(opened, names, groups):
            counts["parts" if groups is not None else "pilot"] += batch.num_rows
            yield batch

    training_data.shard_batches, parquet._decode_columns = holding, decoding


def outcome(case, counts, rank):
    counts |= {"here": [], "parts": 0, "pilot": 0}
    try:
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # the status says the same
            run = train(case["formula"], case["data"], **make_options(case["options"], rank))
    except (SquarelyError, KeyboardInterrupt) as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {
        "params": run.coefficients.tolist(),
        "logged": run.result.history.columns,
        "status": run.status,
        "reason": run.result.stop_reason.reason,
        "rows": run.rows.as_dict(),
        "predicted": run.prediction is not None,
        "lr": run.options.rate,
        "remarks": list(run.remarks),
        **counts,
    }


def work(folder, rank, size, port):
    """Run the cases of a folder, as one of several processes."""
    os.environ |= environment(rank, size, port)
    with (folder / f"stderr-{size}-{rank}").open("w") as stderr:
        os.dup2(stderr.fileno(), 2)
    faulthandler.dump_traceback_later(LIMIT - 20)  # to stderr, where each thread is if the process hangs
    if size > 1:
        distributed.init_process_group("gloo")
    counts = {}
    watch_rows(counts)
    cases = json.loads((folder / "cases.json").read_text())
    outcomes = {name: outcome(case, counts, rank) for name, case in cases.items()}
    (folder / f"outcomes-{size}-{rank}.json").write_text(json.dumps(outcomes))
    if size > 1:
        distributed.destroy_process_group()
        left = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]  # none where there is no such folder
        assert not any("gloo" in name for name in left), left
