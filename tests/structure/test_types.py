"""What a type checker reports to a user: a typo in a closed list is an error, and a right script passes under --strict."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import squarely
from squarely import types
from tests.support.checks import need

RIGHT = """
import numpy as np
import polars as pl

import squarely as sq

rows = {"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 4.0]}
fit = sq.ols("y ~ x", rows, missing="raise", collinear="drop", precision="extended", fold="batches")
values: np.ndarray = fit.predict(rows, unseen="nan")
series: pl.Series = fit.predict(pl.DataFrame(rows), rank_deficient="allow")
lazy: pl.Series = fit.predict(pl.LazyFrame(rows))
limits = fit.predict(rows, interval="prediction", level=0.9, unseen="nan")
bounds: np.ndarray = fit.get_prediction(rows, weights=2).conf_int(obs=True)
run = sq.train("y ~ x", pl.DataFrame(rows), lr="auto", optimizer="AdamW", loss="huber", metrics=["rmse"], dtype="float64")
fit = sq.ols("y ~ x", open("a.csv", "rb"))
other = sq.train("y ~ x", ["a.csv", "b.csv"], optimizer=lambda parameters: parameters, validation=0.2, engine="rows")
trained: np.ndarray = run.predict(rows)
many = sq.sweep("y ~ x", "a.parquet", lr=["auto", 0.1], epochs=10, optimizer="sgd", scheduler="StepLR")
certificate = sq.certify(fit, run, tau=0.1)
certificate = sq.certify("y ~ x", rows, tau=0.1, where="x > 1", lr=0.1, validation=0.2)
certificate = sq.certify(formula="y ~ x", data="a.csv", read={"delimiter": ";"}, epochs=10)
if certificate.verdict == "agree" and run.status == "converged":
    print(sq.preview("a.csv").columns[0].kind, sq.preview("y ~ x", "a.csv").passes)
"""
WRONG = {
    'sq.ols("y ~ x", rows, missing="dorp")': "dorp",
    'sq.ols("y ~ x", rows, collinear="keep")': "keep",
    'sq.ols("y ~ x", rows, precision="single")': "single",
    'sq.ols("y ~ x", 3)': 'incompatible type "int"',
    'sq.ols("y ~ x", np.zeros(3))': "ndarray",
    'sq.merge([fit], duplicates="kep")': "kep",
    'sq.train("y ~ x", rows, optimizer="adm")': "adm",
    'sq.train("y ~ x", rows, lr="fast")': "fast",
    'sq.train("y ~ x", rows, loss="mes")': "mes",
    'sq.train("y ~ x", rows, metrics=["rmsee"])': "rmsee",
    'sq.train("y ~ x", rows, engine="row")': "row",
    'sq.train("y ~ x", rows, gradient="close")': "close",
    'sq.train("y ~ x", rows, dtype="float16")': "float16",
    'sq.train("y ~ x", rows, scheduler="StepLr")': "StepLr",
    'sq.train("y ~ x", rows, scheduler_per="step")': "step",
    'sq.sweep("y ~ x", rows, optimizer="adm")': "adm",
    'sq.sweep("y ~ x", rows, epoch=10)': 'Unexpected keyword argument "epoch"',
    'sq.certify("y ~ x", rows, epoch=10)': "No overload variant",
    'fit.predict(rows, unseen="nam")': "No overload variant",
    'fit.predict(rows, interval="obs")': "No overload variant",
    'run.predict(rows, rank_deficient="no")': "No overload variant",
    'print(certificate.verdict == "agreee")': "Non-overlapping equality check",
    'print(run.status == "finishd")': "Non-overlapping equality check",
    "print(fit.predict(pl.DataFrame(rows)).tolist())": 'no attribute "tolist"',
}


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """Return the messages of mypy, by line, on a script with right lines and then wrong ones."""
    need("torch")
    need("mypy")
    need("polars")
    folder = tmp_path_factory.mktemp("user")
    (folder / "script.py").write_text(RIGHT + "\n".join(WRONG))
    site = folder / "site-packages"  # as after pip install: mypy reports errors of the script alone
    site.mkdir()
    (site / "squarely").symlink_to(Path(squarely.__file__).parent)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--follow-imports=silent",
        "--cache-dir",
        str(folder / "cache"),
        "script.py",
    ]
    environment = {"MYPYPATH": str(site), "PATH": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    lines: dict[int, str] = {}
    for number, text in re.findall(r"^script\.py:(\d+): (.*)$", done.stdout, re.MULTILINE):
        lines[int(number)] = f"{lines.get(int(number), '')} {text}"
    assert lines, done.stdout + done.stderr
    return lines


def test_a_right_script_passes(messages):
    assert {number: text for number, text in messages.items() if number < RIGHT.count("\n") + 1} == {}


def test_each_typo_is_an_error(messages):
    first = RIGHT.count("\n") + 1
    for number, (line, text) in enumerate(WRONG.items(), start=first):
        assert text in messages.get(number, "nothing"), line


def test_the_closed_lists_are_those_of_the_library():
    need("torch")
    from squarely.descent.options import optimizers, options

    assert {name.lower() for name in get_args(types.OptimizerName)} == set(optimizers.OPTIMIZERS)
    assert set(get_args(types.SchedulerName)) == set(optimizers.SCHEDULERS)
    assert set(get_args(types.Loss)) == set(options.LOSS_NAMES)
    assert set(get_args(types.Dtype)) == set(optimizers.DTYPES)
    names = set(options.TrainingOptions.names()) - {"lr", "momentum", "batch_size", "seed", "weight_decay", "gradient", "stream"}
    assert set(types.SweepOptions.__annotations__) == names
    inputs = {"formula", "data", "X", "y", "loader", "model", "intercept"}
    assert set(types.TrainOptions.__annotations__) == set(inspect.signature(squarely.train).parameters) - inputs
