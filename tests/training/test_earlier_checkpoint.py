"""Checkpoints that an earlier version wrote: the run resumes, and continues to the bits of an uninterrupted one."""

import json
import shutil

import numpy as np
import pytest

import squarely as sq
from squarely.errors import OptionError
from tests.data.earlier.make_files import HERE, RUNS, start_run
from tests.support.checks import assert_close, need

torch = need("torch")
need("safetensors")

DATA = sq.datasets.cars()
EXPECTED = json.loads((HERE / "expected.json").read_text())["runs"]


def as_written(name, tmp_path):
    """Copy a checkpoint of the earlier version: a resumed run writes others beside it."""
    return shutil.copytree(HERE / name, tmp_path / name)


@pytest.mark.parametrize("name", RUNS)
def test_an_earlier_checkpoint_resumes_to_the_same_bits(name, tmp_path):
    epochs = RUNS[name][0]["epochs"] * (1 if name == "early_stop" else 2)
    whole = start_run(name, DATA, epochs=epochs, checkpoint=tmp_path / "whole")
    resumed = start_run(name, DATA, epochs=epochs, checkpoint=as_written(name, tmp_path), resume=True)
    assert "resumed from epoch" in " ".join(resumed.warnings)
    assert (resumed.status, list(resumed.history)) == (whole.status, list(whole.history))
    written = int(next((HERE / name).iterdir()).name.split("-")[1])
    if np.array_equal(resumed.result.losses[: written + 1], whole.result.losses[: written + 1]):
        assert resumed.result.end.tobytes() == whole.result.end.tobytes()
        assert resumed.result.losses.tobytes() == whole.result.losses.tobytes()
    else:  # another processor or PyTorch rounds the first epochs in another way
        assert_close(resumed.result.end, whole.result.end, rtol=1e-4)
    assert max(path.name for path in (tmp_path / name).glob("epoch-*")) == f"epoch-{len(whole.history) - 1:06d}-batch-000000"


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_the_numbers_of_the_earlier_version(name):
    run = start_run(name, DATA, checkpoint_every=None)
    assert_close(run.params, EXPECTED[name], rtol=1e-12 if name == "moments" else 1e-5)


def test_another_model_is_still_refused(tmp_path):
    folder = as_written("sgd", tmp_path)
    with pytest.raises(OptionError, match=r"'LinearRegression' and is 'torch.nn.modules.linear.Linear'"):
        start_run("sgd", DATA, epochs=16, checkpoint=folder, resume=True, model=torch.nn.Linear(2, 1))
