"""Dask of the tests' own: schedulers, clusters of processes, and frames handed over to them."""

import os
from contextlib import contextmanager
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.support.checks import CARS, need
from tests.support.parity import wide_table

WARNINGS = (
    # Dask's own sockets and loops, which it leaves to the garbage collector when a cluster ends.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    # Of Dask's own use of pandas 3.1, where it reads and writes Parquet.
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:pandas.errors.Pandas4Warning"),
    # Two of our frames are handed to Dask as they are, and it says that a graph of some megabytes is large.
    pytest.mark.filterwarnings("ignore:Sending large graph:UserWarning"),
)


@contextmanager
def cluster(**options):
    """Start a cluster of processes; it leaves OMP_NUM_THREADS=1 in the environment, which is put back."""
    distributed = need("distributed")
    fixed = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "silence_logs": 60}
    with (
        patch.dict(os.environ),
        distributed.LocalCluster(**fixed | options) as workers,
        distributed.Client(workers, set_as_default=False) as started,
    ):
        yield started


def scheduler(which):
    return need("dask").config.set(scheduler=which)


def dask_frame(frame, parts=4):
    return need("dask.dataframe").from_pandas(frame, npartitions=parts, sort=False)


def cars():
    frame = pd.read_csv(CARS)
    return frame.assign(origin=frame["origin"].map({1: "usa", 2: "europe", 3: "japan"}))


def wide():
    """Give the table of every type as pandas has it; decimals stay decimals only as Arrow's own type."""
    table = pa.table(wide_table())
    frame = table.to_pandas()
    frame["money"] = pd.Series(table["money"], dtype=pd.ArrowDtype(table["money"].type))
    return frame
