"""One process of several that train together: it works off the cases in a folder, and writes down what came of each.

Started by training/test_process_group.py with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in its environment.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import distributed

import squarely as sq
from squarely.data.files import parquet
from squarely.descent import training_data as seen
from squarely.descent.distributed import process_group as processes
from squarely.errors import SquarelyError

RANK = int(os.environ.get("RANK", "0"))
SIZE = int(os.environ.get("WORLD_SIZE", "1"))


def options_of(given):
    """Make objects of what JSON cannot hold."""
    options = dict(given)
    if "rank" in options:  # an option that processes do not share
        options |= options.pop("rank")[RANK % 2]
    if "stopped_by" in options:
        rank, epoch = options.pop("stopped_by")
        options["callbacks"] = lambda told: rank == RANK and told.epoch == epoch
    if options.pop("own", False):
        torch.manual_seed(RANK)  # which a user may well do
        options["model"] = torch.nn.Linear(options.pop("features"), 1)
    if "signal" in options:
        signal_at(*options.pop("signal"))
    return options


def signal_at(name, rank, message):
    """Let a process send itself a signal when it is about to send so many messages."""
    told, plain = 0, processes.ProcessGroup.all_reduce

    def summed(self, tensors):
        nonlocal told
        told += 1
        if rank == RANK and told == message:
            os.kill(os.getpid(), getattr(signal, name))
        return plain(self, tensors)

    processes.ProcessGroup.all_reduce = summed


def watched(met):
    """Write down how many rows are held here, and how many are decoded of parts of Parquet files."""
    shared, decoded = seen.shard_batches, parquet._decode_columns

    def holding(own, team):
        met["here"].append(own.n)
        return shared(own, team)

    def decoding(opened, names, groups=None):
        for batch in decoded(opened, names, groups):
            met["parts" if groups is not None else "pilot"] += batch.num_rows
            yield batch

    seen.shard_batches, parquet._decode_columns = holding, decoding


def outcome(case, met):
    met |= {"here": [], "parts": 0, "pilot": 0}
    try:
        run = sq.train(case["formula"], case["data"], **options_of(case["options"]))
    except (SquarelyError, KeyboardInterrupt) as error:
        return {"error": type(error).__name__, "said": str(error)}
    return {
        "params": run.coefficients.tolist(),
        "logged": run.result.history.columns,
        "status": run.status,
        "reason": run.result.stop_reason.reason,
        "rows": run.rows.as_dict(),
        "predicted": run.prediction is not None,
        "lr": run.options.rate,
        "remarks": list(run.remarks),
        **met,
    }


def main(folder):
    if SIZE > 1:
        distributed.init_process_group("gloo")
    met = {}
    watched(met)
    cases = json.loads((folder / "cases.json").read_text())
    outcomes = {name: outcome(case, met) for name, case in cases.items()}
    (folder / f"outcomes-{SIZE}-{RANK}.json").write_text(json.dumps(outcomes))
    if SIZE > 1:
        distributed.destroy_process_group()
        left = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]  # none where there is no such folder
        assert not any("gloo" in name for name in left), left


if __name__ == "__main__":
    main(Path(sys.argv[1]))
