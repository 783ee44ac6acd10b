"""Run the user's code in several processes that train together, as torchrun starts them."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from torch import distributed

from squarely.checkup.runner.child_process import Function, run_together
from squarely.checkup.runner.result import ChildResult


def run_ranks(function: Function, *, world_size: int = 2, timeout: float, start_group: bool = True) -> list[ChildResult]:
    """Run a function once for each rank at the same time, and return the results in the order of ranks.

    RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are set. With `start_group` the processes are a gloo group already;
    without, the function calls `init_process_group` itself. When one process fails, the others are killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        ranks = [_in_group(function, store, rank, world_size, timeout) if start_group else function for rank in range(world_size)]
        return run_together(ranks, timeout=timeout, environments=_environments(world_size))


def _environments(world_size: int) -> list[Mapping[str, str]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
    }
    if loopback is not None:
        shared["GLOO_SOCKET_IFNAME"] = loopback  # the name of this machine may not have an address
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"} for rank in range(world_size)]


def _in_group(function: Callable[[], Mapping[str, Any]], store: str, rank: int, size: int, timeout: float) -> Function:
    def run() -> Mapping[str, Any]:
        distributed.init_process_group(
            "gloo", store=distributed.FileStore(store, size), rank=rank, world_size=size, timeout=timedelta(seconds=timeout)
        )
        return function()

    return run
