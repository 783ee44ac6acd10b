"""Write the checkpoints and fits of this folder with an earlier version of squarely, commit 96cab18.

Run it from this folder with that version: PYTHONPATH=<worktree of 96cab18>/src python make_files.py. The tests import the cases.
"""

import json
import shutil
from pathlib import Path

HERE = Path(__file__).parent
FORMULA = "mpg ~ displacement + weight"

# Name -> options of a run, and the number of its last checkpoints that are removed, as if it had been killed before it wrote them.
RUNS = {
    "sgd": ({"lr": 0.05, "epochs": 8, "momentum": 0.9, "average": 3}, 0),
    "adam": ({"lr": 0.05, "epochs": 4, "batch_size": 100, "optimizer": "adam", "seed": 3, "checkpoint_every": "3 steps"}, 1),
    "own_module": ({"lr": 0.05, "epochs": 8, "optimizer": "AdamW", "batch_size": 150, "metrics": ["r2"]}, 0),
    "scheduler": ({"lr": 0.05, "epochs": 8, "scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": 20}}, 0),
    "early_stop": (
        {"lr": 0.1, "epochs": 60, "stop": "validation", "validation": 0.2, "patience": 3, "min_delta": 0.01}
        | {"checkpoint_every": "5 epochs"},
        1,
    ),
    "moments": ({"lr": 0.05, "epochs": 8, "engine": "moments", "dtype": "float64"}, 0),
}
FITS = {
    "plain": ("mpg ~ displacement + C(origin)", "weight > 2000"),
    "dropped": ("mpg ~ displacement + weight + I(displacement + weight)", None),
    "terms": ("mpg ~ poly(weight, 2) + center(horsepower) + bs(displacement, df=4)", None),
}


def start_run(name, data, **options):
    """Train one of the runs."""
    import torch

    import squarely

    if name == "own_module":
        layer = torch.nn.Linear(2, 1)
        torch.nn.init.constant_(layer.weight, 0.25)
        torch.nn.init.zeros_(layer.bias)
        options["model"] = torch.nn.Sequential(layer)
    return squarely.train(FORMULA, data, **{**RUNS[name][0], **options})


def describe_fit(fit, rows):
    """Return the numbers of a fit that a test compares."""
    numbers = {name: getattr(fit, name).tolist() for name in ("params", "bse", "pvalues")}
    return {**numbers, "rsquared": float(fit.rsquared), "predictions": fit.predict(rows).tolist()}


def make_files():
    """Write all files, and `expected.json` with the numbers of the earlier version."""
    import squarely

    data = squarely.datasets.cars()
    expected = {"runs": {}, "fits": {}}
    for name, (_, removed) in RUNS.items():
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        expected["runs"][name] = start_run(name, data, checkpoint=folder).params.tolist()
        written = sorted(folder.iterdir())
        for path in written[len(written) - removed :] + written[: len(written) - removed - 1]:
            shutil.rmtree(path)
    fits = {name: squarely.ols(formula, data, where=where) for name, (formula, where) in FITS.items()}
    first, second = (squarely.ols("mpg ~ displacement + C(origin)", rows) for rows in (data[:200], data[200:]))
    for name, fit in {**fits, "merged": first.merge(second)}.items():
        fit.save(HERE / f"{name}.json")
        expected["fits"][name] = describe_fit(fit, data[:5])
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    make_files()
