"""The script of a run, run by itself: its losses are the run's, and no text of the user's becomes code."""

import functools
import json
import os
import re
import runpy
import subprocess
import sys
import warnings

import numpy as np
import pytest

import squarely as sq
from tests.support import scripts
from tests.support.checks import CARS, assert_close, need
from tests.support.scripts import run_script

torch = need("torch")
pd = need("pandas")

from squarely.descent.options.optimizers import OPTIMIZERS  # noqa: E402  # it needs torch

WORDS = ["a", 'qu"ote', "it's", "back\\slash", "line\nend", "", "NA", "both \" and '", "cr\r\nlf", "$n {n} %s", "ü\u2028"]
RUNNER = """
import json, os, runpy, sys
KEPT = "losses params diverged lost running_losses val_losses metrics val_metrics".split()
done = {}
for name in sys.argv[1:]:
    os.chdir(name)
    made = runpy.run_path("script.py")
    os.chdir("..")
    done[name] = {key: made[key] for key in KEPT if key in made}
assert "squarely" not in sys.modules
json.dump(done, open("done.json", "w"))
"""


def table(n=60, seed=3):
    """Make columns of every kind, some with gaps."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n) + 3,
            "x": rng.normal(size=n) * 7 + 100,
            "a b": rng.uniform(0.5, 2, size=n),
            "k": rng.integers(1, 4, size=n),
            "flag": rng.integers(0, 2, size=n).astype(bool),
            "g": np.array(WORDS)[np.arange(n) % len(WORDS)].astype(object),
            "f": np.array([0.1, 2.5, -1e-7])[rng.integers(0, 3, size=n)],
            "big": 2**60 + rng.integers(0, 2, size=n),
            "single": rng.normal(size=n).astype("float32"),
            "half": rng.integers(0, 2, size=n).astype(float),
        }
    )
    frame.loc[3, "x"], frame.loc[5, "a b"], frame.loc[7, "g"], frame.loc[9, "half"] = np.nan, np.inf, None, np.nan
    return frame


GAPS = ["NA", "inf", "NULL", "", "nan"]
MESSY = "y;x;z;flag;code\n" + "".join(
    f"{float(np.sin(i))!r};{GAPS[i % 5] if i % 7 == 0 else i**1.5};{i % 5};"
    f"{['TRUE', 'false'][i % 3 == 0]};{['1', '2.50', 'NA', '-3e2'][i % 4]}\n"
    for i in range(60)
)
FULL = "mpg ~ displacement * C(origin) + weight"
SEVERAL = "mpg ~ displacement + weight + acceleration"
EXACT = {
    "tutorial": ("mpg ~ displacement", CARS, {}),
    "float32": (FULL, CARS, {}),
    "float64": (FULL, CARS, {"dtype": "float64"}),
    "momentum": (SEVERAL, CARS, {"momentum": 0.9}),
    "nesterov": (SEVERAL, CARS, {"momentum": 0.9, "nesterov": True, "dtype": "float64"}),
    "adam": (SEVERAL, CARS, {"optimizer": "adam", "seed": 11}),
    "no constant": (SEVERAL + " - 1", CARS, {"dtype": "float64", "momentum": 0.5}),
    "no constant, dummies": ("mpg ~ C(origin) + weight - 1", CARS, {}),
    "start": ("mpg ~ displacement", CARS, {"start": [0.25, -0.5]}),
    "start, no constant": ("mpg ~ displacement + weight - 1", CARS, {"start": [0.1, -1 / 3], "dtype": "float64"}),
    "diverged": ("mpg ~ displacement", CARS, {"lr": 1.5, "epochs": 100_000}),
    "where in a file": (SEVERAL, CARS, {"where": "weight > 3000 and (origin == 1 or model >= 75)"}),
    "column times column": ("mpg ~ weight * displacement", CARS, {"dtype": "float64"}),
    "negative seed": ("mpg ~ displacement", CARS, {"seed": -5}),
    "messy file": ("y ~ x + flag + C(code) + C(z, Sum)", MESSY, {}),
    "number and text": ("y ~ x + z + C(z)", MESSY, {"where": "code not in [2.5]"}),
    "odd name": ("y ~ x + `a b`", table(), {}),
    "text": ("y ~ x * g", table(), {"dtype": "float64"}),
    "text, sums": ("y ~ C(g, Sum) - 1", table(), {"dtype": "float64"}),
    "truth": ("y ~ flag:x + flag", table(), {}),
    "floats": ("y ~ C(f, Treatment(2.5)) * C(k, Sum)", table(), {}),
    "large integers": ("y ~ C(big) + x", table(), {}),
    "float32 column": ("y ~ single", table(), {"dtype": "float64"}),
    "two dummies": ("y ~ flag * C(k)", table(), {}),
    "where: a gap": ("y ~ k", table(), {"where": "x > 95"}),
    "where: not a gap": ("y ~ k", table(), {"where": "not (x > 95 and g == 'a')"}),
    "where: infinite": ("y ~ k", table(), {"where": "`a b` > 1 or not x < 100"}),
    "where: unequal": ("y ~ k", table(), {"where": "half != 1"}),
    "where: truth": ("y ~ x", table(), {"where": "flag and 1 < k <= 3"}),
    "where: not truth": ("y ~ x", table(), {"where": "not flag"}),
    "where: false": ("y ~ x", table(), {"where": "flag == False or k in [1, 2]"}),
    "where: lists": ("y ~ x", table(), {"where": "g not in ['a', 'NA', 'it\\'s'] and half not in [0]"}),
    "where: computed": ("y ~ x", table(), {"where": "log(`a b`) * 2 > (x - 100) / -3 or x > 200"}),
    "where: double negation": ("y ~ x", table(), {"where": "not (not g in ['a', ''] or half == 1)"}),
}
CLOSE = {
    "arithmetic": ("log(mpg) ~ I((weight - 3000)**2 / displacement) + sqrt(weight) + I(-weight**0.5)", CARS, {}),
    "poly": ("mpg ~ poly(weight, 3) + C(origin):poly(displacement, 2)", CARS, {}),
    "powers": ("mpg ~ poly(weight, 3, raw=True)", CARS, {"momentum": 0.5}),
    "splines": ("mpg ~ bs(weight, df=5) + ns(displacement, knots=[150, 300])", CARS, {}),
    "splines with constants": ("mpg ~ bs(weight, df=5, include_intercept=True) + C(origin):ns(model, df=2) - 1", CARS, {}),
    "offset": ("mpg ~ weight + offset(model / 3) + offset(acceleration)", CARS, {}),
    "moved": ("mpg ~ scale(weight) * center(log(displacement)) + scale(model, ddof=1)", CARS, {}),
    "undefined rows": ("y ~ log(x - 95) + bs(log(x - 90), df=1, degree=0) + g", table(), {}),
    "three columns": ("mpg ~ weight:displacement:model", CARS, {}),
    "computed weights": ("log(mpg) ~ poly(weight, 2)", CARS, {"weights": "I(1 / horsepower)"}),
    "weights without a value": ("y ~ k", table(), {"weights": "I(log(x - 95) ** 2)", "validation": 0.3}),
    "constants": ("mpg ~ I(weight * 2**-3 + 1/3) + exp(-model)", CARS, {}),
}


def enough(epoch):
    """Ask for the end of a run at epoch 12."""
    return epoch.epoch == 12


SOME = {"batch_size": 32, "epochs": 12}
OPTION_SETS = {
    "batches": {"batch_size": 7, "epochs": 8},
    "batches, float64": {"batch_size": 31, "epochs": 8, "dtype": "float64", "momentum": 0.9, "seed": -3},
    "replacement": {**SOME, "replacement": True},
    "replacement, all rows": {"batch_size": 398, "replacement": True, "epochs": 8},
    "in order": {"batch_size": 50, "shuffle": False, "optimizer": "adam", "epochs": 8},
    "more than all rows": {"batch_size": 400},
    "l1": {"loss": "l1"},
    "huber": {"loss": "huber", "delta": 0.3, **SOME},
    "quantile": {"loss": "quantile", "quantile": 0.9, "dtype": "float64"},
    "quantile in batches": {"loss": "quantile", "quantile": 0.1, **SOME},
    "weight decay": {"weight_decay": 0.1},
    "options": {
        "optimizer": "adamw",
        "weight_decay": 0.3,
        "optimizer_options": {"betas": (0.8, np.float64(0.99)), "amsgrad": True},
    },
    "dampening": {"momentum": 0.5, "optimizer_options": {"dampening": 0.25}, "dtype": "float64"},
    "lbfgs, strong wolfe": {"optimizer": "lbfgs", "lr": 1, "epochs": 6, "optimizer_options": {"line_search_fn": "strong_wolfe"}},
    "schedule": {"scheduler": "StepLR", "scheduler_options": {"step_size": 9, "gamma": 0.5}, "momentum": 0.9},
    "schedule, list": {"scheduler": "MultiStepLR", "scheduler_options": {"milestones": [3, 5]}, **SOME},
    "schedule by batch": {"scheduler": "ExponentialLR", "scheduler_options": {"gamma": 0.99}, "scheduler_per": "batch", **SOME},
    "one cycle": {"scheduler": "OneCycleLR", "scheduler_options": {"max_lr": 0.3, "total_steps": 160}, "momentum": 0.9, **SOME},
    "one cycle, full batch": {"scheduler": "OneCycleLR", "scheduler_options": {"max_lr": 0.3, "total_steps": 40}, "momentum": 0.9},
    "plateau": {"scheduler": "ReduceLROnPlateau", "scheduler_options": {"patience": 0, "threshold": 0.1}},
    "plateau, validation": {
        "scheduler": "ReduceLROnPlateau",
        "scheduler_options": {"patience": 0},
        "validation": 0.3,
        "lr": 0.2,
        **SOME,
    },
    "clipped": {"clip_grad_norm": 0.1},
    "clipped in batches": {"clip_grad_norm": 1.0, "loss": "l1", **SOME},
    "averaged": {"average": True, "lr": 0.3},
    "averaged in batches": {"average": 0, **SOME},
    "metrics": {"metrics": ["mse", "rmse", "mae", "r2"]},
    "metrics, validation": {"metrics": ["mae", "r2"], "validation": 0.2, **SOME},
    "as they are": {"standardize": False, "optimizer": "adam", "metrics": ["rmse"]},
    "as they are, no constant": {"standardize": False, "lr": 1e-8, "dtype": "float64", "formula": "mpg ~ weight + model - 1"},
    "stop: loss": {"stop": "loss", "patience": 2, "min_delta": 1e-3, "lr": 0.2, "epochs": 300},
    "stop: loss, not yet": {"stop": "loss", "patience": 2},
    "stop: validation": {"stop": "validation", "validation": 0.4, "patience": 2, "batch_size": 8, "epochs": 300},
    "stop: validation, not yet": {
        "stop": "validation",
        "validation": 0.4,
        "patience": 90,
        "batch_size": 8,
        "lr": 0.2,
        "epochs": 9,
    },
    "stop: callback before validation": {
        "stop": "validation",
        "validation": 0.4,
        "patience": 90,
        "batch_size": 8,
        "lr": 0.2,
        "epochs": 40,
        "callbacks": enough,
    },
    "stop: distance": {"stop": "0.5 se", "lr": 0.3, "epochs": 3000, "dtype": "float64"},
    "stop: callback": {"callbacks": enough, "average": 5},
    "stop: callback before distance": {"callbacks": [enough, print], "stop": "1e-9 se", **SOME, "epochs": 90},
    "stop: callback before loss": {"callbacks": enough, "stop": "loss", "patience": 1000},
    "no number": {"lr": 5.0, "batch_size": 4, "optimizer_options": {"dampening": 0.1}, "epochs": 9},
    "beyond all numbers": {"lr": 1e30, "average": 1},
    "share": {"validation": 0.25, "seed": 12, "formula": FULL, "where": "weight > 2500", "dtype": "float64"},
    "share of a frame": {"validation": 0.5, "formula": "y ~ x * g + C(k)", "data": table(300), "where": "`a b` > 0.6"},
    "other frame": {"validation": table(80, seed=7), "formula": "y ~ x * g + C(k)", "data": table(90), **SOME},
    "other file": {"validation": CARS, "formula": "mpg ~ weight * C(origin)", "data": sq.datasets.cars()[50:]},
    "frame beside a file": {"validation": sq.datasets.cars()[:70], "formula": "mpg ~ weight * C(origin)", "metrics": "rmse"},
    "weights": {"weights": "horsepower", "dtype": "float64"},
    "weights in batches": {"weights": "horsepower", "metrics": ["mse", "rmse", "mae", "r2"], "validation": 0.2, **SOME},
    "weights in order": {"weights": "horsepower", "shuffle": False, **SOME},
    "weights, other losses": {"weights": "horsepower", "loss": "huber", "delta": 0.3, "validation": 0.2},
    "weights, quantile": {"weights": "horsepower", "loss": "quantile", "quantile": 0.9, **SOME},
    "weights, lbfgs": {"weights": "horsepower", "optimizer": "lbfgs", "lr": 1, "epochs": 6},
    "frequencies": {"frequencies": "origin", "where": "weight > 2500", "validation": sq.datasets.cars()[:70], "metrics": "r2"},
    "frequencies of zero": {"frequencies": "n", "formula": "y ~ x + g", "data": table().assign(n=np.arange(60) % 4), **SOME},
    **{f"optimizer {name}": {"optimizer": name, "epochs": 8, "dtype": "float64"} for name in OPTIMIZERS},
}
EXACT |= {name: (o.pop("formula", SEVERAL), o.pop("data", CARS), o) for name, o in OPTION_SETS.items()}
ROUNDED = {
    "moments": ("mpg ~ weight + C(origin)", CARS, {"engine": "moments", "momentum": 0.9}),
    "closed form": ("mpg ~ weight", CARS, {"engine": "closed_form"}),
    "weights, streamed": (SEVERAL, CARS, {"stream": True, "weights": "horsepower", "validation": 0.2, "metrics": ["r2"]}),
    "weights, moments": (SEVERAL, CARS, {"engine": "moments", "weights": "horsepower"}),
    "weights, closed gradient": (SEVERAL, CARS, {"gradient": "closed", "batch_size": 31, "weights": "horsepower"}),
    "streamed": (SEVERAL, CARS, {"stream": True, "validation": 0.2, "metrics": ["r2"]}),
    "streamed in order": (SEVERAL, CARS, {"stream": True, "shuffle": False, **SOME}),
    "closed gradient": (SEVERAL, CARS, {"gradient": "closed", "batch_size": 31}),
}
CLOSE |= ROUNDED
CASES = {**EXACT, **{name: (f, d, {"dtype": "float64", **o}) for name, (f, d, o) in CLOSE.items()}}


def prepared(folder, name):
    """Train a case, and lay its script and its data in a folder."""
    formula, data, options = CASES[name]
    (folder / name).mkdir()
    if isinstance(data, str) and "\n" in data:
        (folder / name / "messy.csv").write_text(data)
        data = folder / name / "messy.csv"
    with warnings.catch_warnings(action="ignore", category=sq.errors.ConvergenceWarning):  # some diverge
        run = sq.train(formula, data, **{"lr": 0.03, "epochs": 40, **options})
    code = run.code()
    (folder / name / "script.py").write_text(code, encoding="utf-8")
    if not isinstance(data, str | os.PathLike):
        write_as_commented(code, folder / name, frame=data)
    if isinstance(options.get("validation"), pd.DataFrame):
        write_as_commented(code, folder / name, validation=options["validation"])
    return run


def write_as_commented(code, folder, **frames):
    """Do what the script's comment says of rows in memory."""
    (name,) = frames
    (call,) = (line.removeprefix("#     ") for line in code.splitlines() if line.startswith(f"#     {name}"))
    here = os.getcwd()
    os.chdir(folder)
    try:
        eval(call, frames)  # noqa: S307  # our own comment, as a user would copy it
    finally:
        os.chdir(here)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    runs = {name: prepared(folder, name) for name in CASES}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error::FutureWarning", "-W", "error::DeprecationWarning:__main__", "-c", RUNNER, *CASES],
        cwd=folder, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return runs, json.loads((folder / "done.json").read_text()), folder


@pytest.mark.parametrize("name", EXACT)
def test_losses_are_the_same_to_the_last_bit(outcomes, name):
    runs, scripts, folder = outcomes
    run, script = runs[name], scripts[name]
    np.testing.assert_array_equal(script["losses"], run.result.losses)  # NaN is NaN
    assert script["params"] == run.params.to_dict()
    assert script.get("diverged", False) == run.result.has_diverged
    assert script.get("lost", False) == (run.status == "not finite")
    assert "to the last bit" in (folder / name / "script.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OPTION_SETS)
def test_what_else_is_logged_is_the_same(outcomes, name):
    runs, scripts, _ = outcomes
    log, script = runs[name].result.history.columns, scripts[name]
    for key, kept in [("running_loss", "running_losses"), ("val_loss", "val_losses")]:
        np.testing.assert_array_equal(script.get(kept, []), log.get(key, []))
    for metric in runs[name].options.metrics:
        for key, kept in [("", "metrics"), ("val_", "val_metrics")]:
            assert_close([epoch[metric] for epoch in script.get(kept, [])], log.get(f"{key}{metric}", []), rtol=1e-12)


def test_the_cases_end_as_they_are_to(outcomes):
    runs, _, folder = outcomes
    ends = {
        "stop: loss": "stopped",
        "stop: validation": "stopped",
        "no number": "not finite",
    }
    ends |= {"stop: loss, not yet": "epochs used up", "beyond all numbers": "diverged", "stop: distance": "converged"}
    ends |= {"stop: callback": "stopped", "stop: callback before loss": "stopped"}
    assert {name: runs[name].status for name in ends} == ends
    callback = "a callback asked for it"
    whys = {"stop: distance": 'stop="0.5 se"', "stop: callback": callback, "stop: callback before distance": callback}
    for name, why in whys.items():
        epoch = len(runs[name].result.losses) - 1
        code = (folder / name / "script.py").read_text()
        assert f"# The run ended at epoch {epoch} of {runs[name].options.epochs}: " in code
        assert why in code
    assert "The callbacks of the run are left out." in (folder / "stop: callback" / "script.py").read_text()


@pytest.mark.parametrize("name", CLOSE)
def test_losses_agree_where_the_formula_computes(outcomes, name):
    runs, scripts, folder = outcomes
    run, script = runs[name], scripts[name]
    assert_close(script["losses"], run.result.losses, rtol=1e-12)
    assert list(script["params"]) == list(run.params.index)
    assert_close(list(script["params"].values()), run.params, rtol=1e-9)
    assert "up to rounding" in (folder / name / "script.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_scripts_import_nothing_of_ours_and_nothing_in_vain(outcomes, name):
    _, _, folder = outcomes
    code = (folder / name / "script.py").read_text(encoding="utf-8")
    imported = {line.split()[1] for line in code.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= {"copy", "numpy", "pandas", "torch", "scipy.interpolate"}
    unused = {"deepcopy", "BSpline"} & {line.split()[-1] for line in code.splitlines() if line.startswith("from ")}
    assert all(code.count(name) > 1 for name in unused)


def test_scripts_pass_the_linter_and_are_laid_out(outcomes):
    _, _, folder = outcomes
    ruff = need("ruff").find_ruff_bin()
    checked = subprocess.run(
        [ruff, "check", "--isolated", "--no-cache", "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    texts = {name: (folder / name / "script.py").read_text(encoding="utf-8") for name in CASES}
    # A long product or condition stays on its line, and some quotes are repr's.
    plain = [name for name, code in texts.items() if max(map(len, code.splitlines())) <= 100 and 'both " and' not in code]
    done = subprocess.run(
        [ruff, "format", "--isolated", "--no-cache", "--line-length=100", "--diff", *(f"{name}/script.py" for name in plain)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert len(plain) > 80
    assert done.returncode == 0, done.stdout


def test_a_script_prints_the_last_loss_and_the_coefficients(tmp_path):
    run = sq.train("mpg ~ displacement", CARS, lr=0.1, epochs=30)
    (tmp_path / "script.py").write_text(run.code())
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"Epoch 30: loss {run.result.losses[-1]:.8g}",
        f"'Intercept': {run.params['Intercept']:.8g}",
        f"'displacement': {run.params['displacement']:.8g}",
    ]
    assert done.stderr == ""


def alone(code, folder):
    """Run a script in a separate process, and give its losses."""
    (folder / "script.py").write_text(code + '\nimport json\njson.dump(losses, open("losses.json", "w"))\n', encoding="utf-8")
    done = run_script(folder / "script.py")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "losses.json").read_text())


def inside(code, folder):
    """Run a script in this process, and give what it leaves behind."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    here, threads = os.getcwd(), torch.get_num_threads()
    os.chdir(folder)
    try:
        return runpy.run_path("script.py")
    finally:
        os.chdir(here)
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("size", "says"), [(32, "to the last bit"), (7, "other positions in memory")])
def test_more_rows_than_are_gathered_at_once(size, says, tmp_path, monkeypatch):
    for module in ("chunks", "in_memory"):
        monkeypatch.setattr(f"squarely.descent.batches.{module}.ROWS_PER_GATHER", 64)
    run = sq.train(SEVERAL, CARS, epochs=5, batch_size=size)
    losses = inside(run.code(), tmp_path)["losses"]
    assert says in run.code()
    assert_close(losses, run.result.losses, rtol=0.0 if size == 32 else 1e-5)


def test_rows_that_were_shuffled_in_a_buffer_come_in_another_order(tmp_path):
    run = sq.train(SEVERAL, CARS, epochs=5, stream=True, batch_size=32)
    losses = inside(run.code(), tmp_path)["losses"]
    assert "differ from the run's by the order of the rows" in run.code()
    assert_close(losses[0], run.result.losses[0], rtol=1e-6)
    assert_close(losses, run.result.losses, rtol=0.2)


def test_a_share_of_many_rows_is_drawn_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("squarely.data.views.split._BLOCK", 64)
    run = sq.train(SEVERAL, CARS, epochs=5, validation=0.3, seed=4)
    done = inside(run.code(), tmp_path)
    assert "range(0, len(rows), 64)" in run.code()
    assert done["losses"] == run.result.losses.tolist()
    assert done["val_losses"] == run.result.history.columns["val_loss"]


def test_a_share_goes_by_the_place_of_a_row_and_not_by_its_label(tmp_path):
    frame = table(120).drop(columns=["big", "single"])
    frame.index = np.random.default_rng(0).permutation(120)
    frame.to_parquet(tmp_path / "rows.parquet")
    run = sq.train("y ~ x + g", tmp_path / "rows.parquet", epochs=5, validation=0.25)
    done = inside(run.code(), tmp_path)
    assert done["losses"] == run.result.losses.tolist()
    assert done["val_losses"] == run.result.history.columns["val_loss"]
    frame[:100].to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(SystemExit, match="split 120 rows, and here are 100"):
        inside(run.code(), tmp_path)


def test_both_rows_may_be_in_several_files(tmp_path):
    cars, paths = sq.datasets.cars(), [tmp_path / f"{i}.csv" for i in range(4)]
    for i, path in enumerate(paths):
        cars[i::4].to_csv(path, index=False)
    run = sq.train(FULL, paths[:2], epochs=5, validation=paths[2:], metrics="r2")
    done = inside(run.code(), tmp_path)
    assert done["losses"] == run.result.losses.tolist()
    assert done["val_losses"] == run.result.history.columns["val_loss"]
    assert len(done["val_inputs"]) == len(cars[2::4]) + len(cars[3::4])


def test_a_column_may_be_truth_here_and_numbers_there(tmp_path):
    one, other = table(80), table(70, seed=5).assign(flag=lambda frame: frame["flag"].astype(float))
    for training, validation in [(one, other), (other, one)]:
        run = sq.train("y ~ I(flag * x) + C(flag)", training, epochs=3, validation=validation, dtype="float64")
        write_as_commented(run.code(), tmp_path, frame=training)
        write_as_commented(run.code(), tmp_path, validation=validation)
        done = inside(run.code(), tmp_path)
        assert_close(done["losses"], run.result.losses, rtol=1e-12)
        assert_close(done["val_losses"], run.result.history.columns["val_loss"], rtol=1e-12)


class Sly(float):
    """A number that writes itself as something else."""

    def __repr__(self):
        return "__import__('os').mkdir('pwned')"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)}, "optimizer= is '<lambda>'"),
        ({"scheduler": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3)}, "scheduler= is '<lambda>'"),
        ({"scheduler": "LambdaLR", "scheduler_options": {"lr_lambda": lambda _: 1.0}}, "scheduler_options has 'lr_lambda'"),
        ({"scheduler": "LambdaLR", "scheduler_options": {"lr_lambda": [lambda _: 1.0]}}, "'lr_lambda', which is of type function"),
        ({"optimizer": "adam", "optimizer_options": {"eps": Sly(1e-8)}}, "optimizer_options has 'eps', which is of type Sly"),
    ],
)
def test_what_has_no_text_is_refused_by_name(options, names):
    run = sq.train("mpg ~ displacement", CARS, epochs=1, **options)
    with pytest.raises(sq.errors.OptionError, match=re.escape(names)):
        run.code()


@pytest.mark.parametrize("own", ["model", "loader"])
def test_modules_and_loaders_are_refused_by_name(own):
    loader = [(torch.full((4, 1), float(i)), torch.full((4,), float(i * i))) for i in range(3)]
    run = sq.train(loader=loader, epochs=1, model=torch.nn.Linear(1, 1) if own == "model" else None)
    with pytest.raises(sq.errors.OptionError, match=f"{own}= is a Python object"):
        run.code()


def test_a_script_has_nothing_that_its_options_do_not_use():
    code = sq.train("mpg ~ displacement", CARS, epochs=1).code()
    for word in ["batch", "valid", "held_out", "metric", "patience", "deepcopy", "scheduler", "clip", "average", "def "]:
        assert word not in code


@pytest.fixture
def two_threads(monkeypatch):
    """Have PyTorch train on two threads, here and in the processes of scripts."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(scripts, "_server", functools.cache(scripts._server.__wrapped__))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_many_rows_are_trained_on_as_many_threads(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(70_000, 4)), columns=["x1", "x2", "x3", "y"])
    frame.to_csv(tmp_path / "many.csv", index=False)
    run = sq.train("y ~ x1 + x2 + x3", tmp_path / "many.csv", epochs=20)
    assert "set_num_threads" not in run.code()
    assert alone(run.code(), tmp_path) == run.result.losses.tolist()


@pytest.mark.parametrize("suffix", ["parquet", "feather", "jsonl", "csv"])
def test_another_file_may_hold_the_rows(tmp_path, suffix):
    frame = table().drop(columns=["big", "single"])
    run = sq.train("y ~ x * flag + g + C(k)", frame, epochs=20, dtype="float64", where="`a b` > 0.6")
    path = tmp_path / f"rows.{suffix}"
    write = {"parquet": frame.to_parquet, "feather": frame.to_feather, "csv": lambda p: frame.to_csv(p, index=False, na_rep="NULL")}
    if suffix == "jsonl":
        lines = frame.astype(object).where(frame.notna() & (frame != np.inf), None).to_dict("records")
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        write[suffix](path)
    assert inside(run.code(path), tmp_path)["losses"] == run.result.losses.tolist()


HOSTILE = [
    'x"]; open("pwned", "w").close(); rows["',
    "x'); open('pwned', 'w').close() #",
    "x\nopen('pwned', 'w').close()\n#",
    "x\r\nopen('pwned', 'w').close()",
    "x\u2028open('pwned', 'w').close()\x0c\x85",
    '"""\nopen("pwned", "w").close()\n"""',
    "\\",
    "\\'",
    "`tick`",
    "# -*- coding: utf-7 -*- +AAo-open('pwned','w')",
    "$rows ${rows} $",
    "{__import__('os')}",
    "%(x)s \x1b[31m \u202e 😀",
    "a b",
    "numbers",
    "x as text",
]


def test_hostile_names_levels_and_conditions_are_text(tmp_path):
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(80, len(HOSTILE))), columns=HOSTILE)
    y = pd.Series(rng.normal(size=80), name="y'\n\"")
    run = sq.train(X=X, y=y, epochs=10)
    X.assign(**{y.name: y}).to_csv(tmp_path / "data.csv", index=False)
    assert alone(run.code(), tmp_path) == run.result.losses.tolist()

    path = 'a"\n\'; open("pwned", "w").close() #.csv'
    frame = pd.DataFrame({"y": y.to_numpy(), "g": np.resize(np.array(HOSTILE, dtype=object), 80)})
    where = """(g != "x\\nopen('pwned', 'w').close()" or
 y > 0)"""
    run = sq.train("y ~\n C(g, Sum)", frame, epochs=10, where=where)
    frame.to_csv(tmp_path / path, index=False)
    assert alone(run.code(path), tmp_path) == run.result.losses.tolist()
    assert not (tmp_path / "pwned").exists()


def test_changed_data_are_noticed(tmp_path):
    table().to_csv(tmp_path / "data.csv", index=False)
    code = sq.train("y ~ x", tmp_path / "data.csv", epochs=2).code()
    table(40).to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "script.py").write_text(code)
    done = run_script(tmp_path / "script.py")
    assert done.returncode == 1
    assert "59 complete rows, and here are 39" in done.stderr


def test_what_is_no_path_is_refused():
    run = sq.train("mpg ~ displacement", CARS, epochs=1)
    with pytest.raises(sq.errors.OptionError, match="not a path"):
        run.code(3)
    with pytest.raises(sq.errors.OptionError, match=r"'cars\.arrows' is an Arrow stream, which pandas cannot read"):
        run.code("cars.arrows")
    assert 'pd.read_csv(\n    "cars.csv",' in run.code("cars.csv")


@pytest.mark.parametrize("name", ["cars.jsonl.gz", "cars.dat", "cars.arrow"])
def test_a_script_reads_what_the_file_is_and_not_what_its_name_says(name, tmp_path):
    cars, path = sq.datasets.cars(), tmp_path / name
    if name.endswith(".gz"):
        cars.to_json(path, orient="records", lines=True, double_precision=15)
    elif name.endswith(".dat"):
        cars.to_parquet(path)
    else:
        cars.to_feather(path)
    run = sq.train("mpg ~ weight + C(origin)", path, epochs=5)
    assert inside(run.code(), tmp_path)["losses"] == run.result.losses.tolist()
