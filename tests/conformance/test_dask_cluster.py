"""Dask DataFrames on a cluster of processes: the answers of the frame in memory, also when workers die or lack packages."""

import os
import pydoc
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.data import listen
from squarely.data.engines.partitions import unpack_payload
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, assert_same_fit, flat, need
from tests.support.dask import WARNINGS, cars, cluster, dask_frame, scheduler, wide
from tests.support.parity import CONDITIONS, PARITY

pytestmark = [*WARNINGS]
FORMULA = "y ~ scale(x) * C(g) + poly(z, 2)"  # the last one is merged by QRs


@pytest.fixture(scope="module")
def client():
    with cluster(n_workers=2) as started:
        yield started


def table(rows):
    rng = np.random.default_rng(7)
    x, z = rng.normal(3, 1, rows), rng.uniform(size=rows)
    return pd.DataFrame({"x": x, "z": z, "g": rng.choice(["a", "b", "c"], rows), "y": x / 3 + z + rng.normal(size=rows)})


def bits(fit):
    return [*fit.params.tolist(), *fit.bse.tolist(), fit.ssr, fit.rsquared]


@pytest.mark.parametrize("name", PARITY)
def test_every_statistic_is_that_of_the_frame_in_memory(name, client):
    data, where = wide(), CONDITIONS.get(name)
    with scheduler(client):
        assert_same_fit(sq.ols(PARITY[name], dask_frame(data), where=where), sq.ols(PARITY[name], data, where=where))


@pytest.mark.parametrize("name", ["numeric", "interactions", "bs"])
def test_the_same_partitions_give_the_same_bits_whatever_the_scheduler(name, client):
    frame, fits = dask_frame(wide(), 5), []
    for which in ("synchronous", "threads", "processes", client):
        with scheduler(which):
            fits.append(flat(sq.ols(PARITY[name], frame, where=CONDITIONS[name]).as_dict()))
    assert all(repr(fit) == repr(fits[0]) for fit in fits[1:])


def test_many_levels(client):
    rng = np.random.default_rng(8)
    n = 20_000
    data = pd.DataFrame({"g": [f"level {i}" for i in rng.integers(0, 2_500, n)], "x": rng.normal(size=n)})
    data["y"] = data["x"] + rng.normal(size=n)
    with scheduler(client):
        there = sq.ols("y ~ g + x", dask_frame(data))
    memory = sq.ols("y ~ g + x", data)
    assert_close(there.params, memory.params, rtol=1e-10, atol=1e-10)
    assert_close(there.bse, memory.bse, rtol=1e-10)


def test_predictions_stay_with_the_rows(client, tmp_path):
    data = cars()
    data.index = np.arange(len(data)) * 10
    fit = sq.ols("mpg ~ weight * C(origin) + bs(displacement, df=5)", data)
    run = sq.train("mpg ~ weight", data, epochs=5)
    with scheduler(client):
        frame = dask_frame(data)
        series = fit.predict(frame)
        assert (series.name, series.dtype, series.divisions) == ("predicted", float, frame.divisions)
        pd.testing.assert_series_equal(series.compute(), fit.predict(data), rtol=1e-12)
        pd.testing.assert_series_equal(run.predict(frame).compute(), run.predict(data), rtol=1e-6)
        frame.to_parquet(tmp_path / "cars")
        unsorted = need("dask.dataframe").read_parquet(tmp_path / "cars", index=False)
        unsorted["p"] = fit.predict(unsorted)  # they are of one frame, although its divisions are not known
        assert_close(unsorted.compute()["p"], fit.predict(data), rtol=1e-12)
        new = dask_frame(data.assign(origin="mars"))
        assert fit.predict(new, unseen="nan").compute().isna().all()
        with pytest.raises(DataError, match="'mars'"):
            fit.predict(new).compute()
    with pytest.raises(DataError, match="no column 'weight'"):
        fit.predict(dask_frame(data.drop(columns="weight")))
    with pytest.raises(OptionError, match="unseen"):
        fit.predict(dask_frame(data), unseen="maybe")


def dying(frame, folder, after):
    """Kill the process that works on this, at the call of this number."""
    with (folder / "calls").open("a") as calls:
        calls.write(".")
    if (folder / "calls").stat().st_size >= after:
        try:
            (folder / "died").touch(exist_ok=False)  # by one process, if two are here at once
        except FileExistsError:
            return frame
        os.kill(os.getpid(), signal.SIGKILL)
    return frame


def test_a_worker_that_dies_in_the_middle(client, tmp_path):
    frame = dask_frame(wide(), 6)
    mortal = frame.map_partitions(dying, tmp_path, 9, meta=frame._meta)
    with scheduler(client):
        fit = sq.ols(PARITY["bs"], mortal)
    assert (tmp_path / "died").exists()
    assert (tmp_path / "calls").stat().st_size > 9
    with scheduler("synchronous"):
        assert repr(flat(fit.as_dict())) == repr(flat(sq.ols(PARITY["bs"], frame).as_dict()))


@pytest.mark.parametrize("finished", [False, True], ids=["results to come", "results lost"])
def test_a_cluster_without_workers_is_not_waited_for_in_vain(finished, monkeypatch):
    monkeypatch.setattr("squarely.data.engines.dask_scheduler._POLL_SECONDS", 0.2)
    monkeypatch.setattr("squarely.data.engines.dask_scheduler._WORKER_TIMEOUT", 1.0)
    with cluster(n_workers=1) as client, scheduler(client):

        def leave(scan):
            if scan.number == 2 and scan.count == 1:
                while finished and any(client.processing().values()):
                    time.sleep(0.05)
                client.cluster.scale(0)

        with listen(leave), pytest.raises(DataError, match="has had no worker for 1 seconds"):
            sq.ols("mpg ~ weight", dask_frame(cars(), 40))


def test_a_cluster_that_goes_in_the_middle():
    with cluster(n_workers=1) as client, scheduler(client):

        def close(scan):
            if scan.number == 2 and scan.count == 1:
                client.cluster.close()

        with listen(close), pytest.raises(DataError, match="scheduler is gone") as found:
            sq.ols("mpg ~ weight", dask_frame(cars(), 40))
        assert found.value.__cause__ is not None


@contextmanager
def other_python(client, folder, *, without):
    """Run a worker whose Python has the packages of this one but for some, which it cannot import."""
    place = Path(np.__file__).parents[1]
    folder.mkdir()
    for path in place.iterdir():
        if not path.name.startswith(("__editable__", *without)):
            (folder / path.name).symlink_to(path)
    command = [sys.executable, "-S", "-m", "distributed.cli.dask_worker", client.scheduler.address, "--no-nanny", "--no-dashboard"]
    worker = subprocess.Popen([*command, "--local-directory", folder], env=os.environ | {"PYTHONPATH": str(folder)}, cwd="/",
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        client.wait_for_workers(1, timeout=60)
        yield
    finally:
        worker.terminate()
        worker.wait()


def test_workers_that_have_no_squarely_are_given_it(tmp_path):
    ours, here = ("squarely", "narwhals", "threadpoolctl"), sys.modules["squarely.data"]
    with cluster(n_workers=0) as client, other_python(client, tmp_path / "a", without=ours), scheduler(client):
        assert set(client.run(pydoc.locate, "squarely.__version__").values()) == {None}
        assert_same_fit(sq.ols("mpg ~ weight * C(origin)", dask_frame(cars())), sq.ols("mpg ~ weight * C(origin)", cars()))
    assert sys.modules["squarely.data"] is here  # the scheduler is in this process


def test_workers_that_lack_what_cannot_be_sent(tmp_path):
    lacking = r"lacks scipy: .* on 'tcp://.*Install numpy, scipy, pandas, pyarrow there"
    with (
        cluster(n_workers=0) as client,
        other_python(client, tmp_path / "a", without=("squarely", "scipy")),
        scheduler(client),
        pytest.raises(DataError, match=lacking),
    ):
        sq.ols("mpg ~ weight", dask_frame(cars()))


@pytest.mark.parametrize("parts", [5, 64, 70, 200])
def test_workers_of_a_cluster_merge_to_the_same_bits(parts, client, monkeypatch):
    frame = need("dask.dataframe").from_pandas(table(2_000), npartitions=parts, sort=False)
    assert frame.npartitions == parts
    seen, plain = [], unpack_payload
    monkeypatch.setattr("squarely.data.engines.dask.unpack_payload", lambda payload: (seen.append(1), plain(payload))[1])
    with scheduler(client):
        there = sq.ols(FORMULA, frame)
    arrived = len(seen)
    with scheduler("threads"):
        here = sq.ols(FORMULA, frame)
    assert bits(there) == bits(here)
    assert arrived == len(seen) - arrived if parts < 64 else arrived < (len(seen) - arrived) / 4


def test_a_cluster_says_what_is_wrong_in_the_first_part_that_has_it(client):
    rows = table(700)

    def spoilt(frame, partition_info=None):
        return frame.astype({"x": str}).assign(x="here") if partition_info["number"] in (65, 66) else frame

    frame = need("dask.dataframe").from_pandas(rows, npartitions=70, sort=False).map_partitions(spoilt, meta=rows.iloc[:0])
    with scheduler(client), pytest.raises(DataError, match=r"partition 65 holds text, not a number: 'here'"):
        sq.ols("y ~ x", frame)
