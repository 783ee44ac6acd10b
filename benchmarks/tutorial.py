"""Measure the work of the tutorial against its peers: `make bench`. Each answer is checked before it is timed.

Times are medians of five in one process. Machines differ and are noisy: compare the ratios to the peer in the same run.
"""

import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from statsmodels.formula.api import ols as peer_ols

import squarely as sq
from measure import median_seconds

SEED, REPEATS = 0, 5
FORMULA = "mpg ~ displacement"


def row(name, ours, peer_name, peer):
    print(f"| {name} | {ours * 1e3:,.1f} ms | {peer_name}: {peer * 1e3:,.1f} ms | {peer / ours:.2f} x |", flush=True)


def least_squares(name, formula, frame):
    fit, peer = sq.ols(formula, frame), peer_ols(formula, frame).fit()
    np.testing.assert_allclose(fit.params, peer.params, rtol=1e-9)
    np.testing.assert_allclose(fit.bse, peer.bse, rtol=1e-9)
    ours = median_seconds(lambda: str(sq.ols(formula, frame).summary()), REPEATS)
    theirs = median_seconds(lambda: str(peer_ols(formula, frame).fit().summary()), REPEATS)
    row(name, ours, "statsmodels", theirs)


def tutorial_loop(cars, epochs=1000):
    x, y = (((v - v.mean()) / v.std(ddof=0)).to_numpy(np.float32).reshape(-1, 1) for v in (cars["displacement"], cars["mpg"]))
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    torch.manual_seed(SEED)
    model = torch.nn.Linear(1, 1)
    criterion, optimizer, losses = torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01), []
    for _ in range(epochs + 1):
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return losses


def training(cars):
    run = sq.train(FORMULA, cars, lr=0.01, seed=SEED)
    np.testing.assert_allclose(run.history["loss"], tutorial_loop(cars), rtol=1e-5)
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        ours = median_seconds(lambda: sq.train(FORMULA, cars, lr=0.01, seed=SEED), REPEATS)
        theirs = median_seconds(lambda: tutorial_loop(cars), REPEATS)
        row(
            f"train, 1,001 epochs of cars.csv, threads: {threads}, theory and optimum included", ours, "the tutorial's loop", theirs
        )


def processes(folder):
    path = folder / "cars.csv"
    sq.datasets.cars().to_csv(path, index=False)
    python = [sys.executable]

    def seconds(words):
        return median_seconds(lambda: subprocess.run(words, check=True, capture_output=True, cwd=folder), REPEATS)

    peer = seconds([*python, "-c", "import statsmodels.api"])
    for name, words in {
        "process: `squarely ols ... --json`": ["ols", FORMULA, str(path), "--json"],
        "process: `squarely certify ...`": ["certify", FORMULA, str(path)],
        "process: `squarely demo`, figures and all": ["demo"],
    }.items():
        row(name, seconds([*python, "-m", "squarely", *words]), "import statsmodels.api", peer)


def main():
    packages = ["squarely", "numpy", "scipy", "duckdb", "pandas", "torch", "statsmodels"]
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}, seed {SEED};", end=" ")
    print(", ".join(f"{name} {version(name)}" for name in packages), "\n", sep="")
    print("| work | squarely | peer | peer / squarely |\n|---|---|---|---|")
    cars = sq.datasets.cars()
    least_squares("`ols` and summary, cars.csv in memory", FORMULA, cars)
    rng = np.random.default_rng(SEED)
    wide = pd.DataFrame(rng.normal(size=(1_000_000, 9)), columns=[f"x{i}" for i in range(9)])
    wide["y"] = wide.sum(axis=1) + rng.normal(size=len(wide))
    formula = "y ~ " + " + ".join(wide.columns[:9])
    least_squares("`ols` and summary, 1,000,000 x 9 in memory, residual in double-double", formula, wide)
    training(cars)
    with tempfile.TemporaryDirectory() as folder:
        processes(Path(folder))


if __name__ == "__main__":
    main()
