"""Measure training against its targets: `make bench-descent`, or `python benchmarks/descent.py D1 D3`.

Each answer is checked before it is timed. Times are medians, in turns with the peers in one process; memory is the peak of a fresh
process. Machines differ and are noisy: compare the ratios. D6 needs a GPU, and says so if there is none.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader, TensorDataset

import squarely as sq
from exact_data import SEED, columns, numbers_file
from measure import faster, head, in_turns, machine, median_seconds, memory, own_peak_megabytes, refused, within
from squarely import descent
from squarely.data import open_source
from squarely.design import learn_from_rows, parse_formula
from squarely.moments import gather_moments

PACKAGES = ["numpy", "torch", "pandas", "pyarrow", "duckdb", "scikit-learn", "skorch"]
CARS = "mpg ~ displacement"


def gather(formula, data, *fold):
    """Return the cross-products, which every run needs, and the open source. D1 does not count this time."""
    source = open_source(data)
    return gather_moments(learn_from_rows(parse_formula(formula), source), source, *fold), source


def tutorial(epochs=1000, lr=0.01):
    """Train with the tutorial's own loop: new tensors each epoch, a line of text every 50 epochs."""
    cars = sq.datasets.cars()
    x, y = cars[["displacement"]].to_numpy(), cars[["mpg"]].to_numpy()
    xn, yn = (((a - a.mean()) / a.std()).astype(np.float32) for a in (x, y))
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=lr)
    epoch_list, losses, lines = [], [], []
    for epoch in range(epochs + 1):
        inputs, labels = Variable(torch.from_numpy(xn).to("cpu")), Variable(torch.from_numpy(yn).to("cpu"))
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        losses.append(loss.item())
        epoch_list.append(epoch)
        loss.backward()
        optimizer.step()
        if epoch % 50 == 0:
            lines.append(f"Epoch: {epoch}, Loss: {loss.item():.4f}")
    return losses


def d1(name, _):
    """Measure the tutorial's 1,001 epochs on cars.csv, with torch's default threads and with one."""
    moments, source = gather(CARS, sq.datasets.cars())
    options = {
        "rows": descent.TrainingOptions(lr=0.01),
        "rows, gradient written out": descent.TrainingOptions(lr=0.01, gradient="closed"),
        "moments": descent.TrainingOptions(lr=0.01, engine="moments"),
        "closed form": descent.TrainingOptions(lr=0.01, engine="closed_form"),
    }
    works = {kind: lambda each=each: descent.train(moments, source, (each,))[0] for kind, each in options.items()}
    expected = tutorial()
    for kind, work in works.items():
        np.testing.assert_allclose(work().result.losses, expected, rtol=3e-6, err_msg=kind)
    whole = {"sq.train, rows, theory and optimum included": lambda: sq.train(CARS, sq.datasets.cars(), lr=0.01)}
    default = torch.get_num_threads()
    for threads in dict.fromkeys((default, 1)):
        torch.set_num_threads(threads)
        took = in_turns({"tutorial": tutorial, **works, **whole}, 7)
        peer = (f"the tutorial's loop, torch threads {threads}", took["tutorial"])
        targets = (
            {"rows": 2.0, "moments": None, "closed form": None}
            if threads > 1
            else {"rows": 1.0, "moments": 6.0, "closed form": 500.0}
        )
        for kind in [*works, *whole]:
            faster(name, f"1,001 epochs of cars.csv, {kind}", took[kind], peer, least=targets.get(kind))
    torch.set_num_threads(default)


def standardized_columns(n, p):
    arrays = columns(n, p)
    X = np.column_stack([arrays[f"x{j}"] for j in range(1, p + 1)])
    y = arrays["y"][:, None]
    return arrays, *(((a - a.mean(0)) / a.std(0)).astype(np.float32) for a in (X, y))


def train_epoch(model, optimizer, batches):
    criterion = nn.MSELoss()
    for inputs, labels in batches:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()


def d2(name, scale):
    """Measure a mini-batch epoch of a million rows, ten columns, batches of 256."""
    n, size, lr = int(1_000_000 * scale), 256, 0.01
    arrays, X, y = standardized_columns(n, 10)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    formula = "y ~ " + " + ".join(f"x{j}" for j in range(1, 11))
    moments, source = gather(formula, arrays)

    def fresh():
        torch.manual_seed(0)
        model = nn.Linear(10, 1)
        return model, torch.optim.SGD(model.parameters(), lr=lr)

    def by_index():
        model, optimizer = fresh()
        order = torch.from_numpy(np.random.default_rng([0, 0]).permutation(n))
        train_epoch(model, optimizer, ((X[rows], y[rows]) for rows in order.split(size)))
        return model

    def by_loader():
        model, optimizer = fresh()
        train_epoch(model, optimizer, DataLoader(TensorDataset(X, y), batch_size=size, shuffle=True))

    def ours(gradient):
        stamps = []
        options = {
            "lr": lr,
            "epochs": 1,
            "batch_size": size,
            "gradient": gradient,
            "callbacks": lambda _: stamps.append(time.perf_counter()),
        }
        run = descent.train(moments, source, (descent.TrainingOptions(**options),))[0]
        return run, stamps[1] - stamps[0]  # from one loss on all rows to the next: without reading and standardizing them

    expected = by_index()
    for gradient in ("autograd", "closed"):
        run, _ = ours(gradient)
        np.testing.assert_allclose(run.model.linear.weight.detach(), expected.weight.detach(), rtol=0, atol=2e-5)
    works = {"DataLoader(TensorDataset, shuffle=True)": by_loader, "index batches": by_index}
    works |= others(X.numpy(), y.numpy().ravel(), size, lr)
    own = {"closed": [], "autograd": []}
    took = in_turns({**works, **{g: lambda g=g: own[g].append(ours(g)[1]) for g in own}}, 3)
    took |= {gradient: float(np.median(seconds)) for gradient, seconds in own.items()}
    for gradient in ("closed", "autograd"):
        work = f"an epoch of {n:,} x 10, batches of {size}, gradient={gradient!r}, loss on all rows included"
        for peer in works:
            targets = (
                {"DataLoader(TensorDataset, shuffle=True)": 5.0, "index batches": 2.0}.get(peer) if gradient == "closed" else None
            )
            faster(name, work, took[gradient], (peer, took[peer]), least=targets)


def others(X, y, size, lr):
    """Return one epoch of each peer that is installed."""
    works = {}
    try:
        from sklearn.linear_model import SGDRegressor

        works["scikit-learn SGDRegressor (one step per row)"] = lambda: SGDRegressor(
            penalty=None, learning_rate="constant", eta0=lr, max_iter=1, tol=None, random_state=0
        ).fit(X, y)
    except ImportError:
        pass
    try:
        from skorch import NeuralNetRegressor

        works["skorch NeuralNetRegressor"] = lambda: NeuralNetRegressor(
            nn.Linear, module__in_features=10, module__out_features=1, max_epochs=1, batch_size=size, lr=lr,
            iterator_train__shuffle=True, train_split=None, verbose=0,
        ).fit(X, y[:, None])  # fmt: skip
    except ImportError:
        pass
    return works


def d3(name, _):
    """Measure a sweep of 64 learning rates."""
    cars, rates = sq.datasets.cars(), np.geomspace(1e-4, 0.9, 64).tolist()
    sweep = sq.sweep(CARS, cars, lr=rates, epochs=1000)
    for i in (0, 31, 63):
        alone = sq.train(CARS, cars, lr=rates[i], epochs=1000)
        np.testing.assert_allclose(sweep.runs[i].result.losses, alone.result.losses, rtol=3e-6)
    took = in_turns(
        {"sweep": lambda: sq.sweep(CARS, cars, lr=rates, epochs=1000), "one": lambda: sq.train(CARS, cars, lr=0.01, epochs=1000)}, 5
    )
    within(name, "64 learning rates x 1,000 epochs, cars.csv", took["sweep"], ("one run", took["one"]), most=4)


def d4(name, scale):
    """Measure a thousand full-batch epochs of ten million rows, on cross-products."""
    arrays = columns(int(10_000_000 * scale), 10)
    formula = "y ~ " + " + ".join(f"x{j}" for j in range(1, 11))

    def train():
        return sq.train(formula, arrays, engine="moments", epochs=1000, lr=0.3, dtype="float64")

    fit = sq.ols(formula, arrays)
    np.testing.assert_allclose(train().params, fit.params, rtol=1e-6, atol=1e-9)
    took = in_turns({"train": train, "ols": lambda: sq.ols(formula, arrays)}, 3)
    within(name, f"{len(arrays['y']):,} x 10, 1,000 epochs, moments", took["train"], ("sq.ols", took["ols"]), most=1.5)


def d5(name, scale):
    """Measure an epoch streamed from Parquet against the same batches from memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = numbers_file(Path(folder), max(int(20_000_000 * scale), 100_000), 8)
        rates = {}
        for stream in (True, False):
            done = subprocess.run(
                [sys.executable, __file__, "--epoch", str(path), str(int(stream))], capture_output=True, text=True, check=True
            )
            rates[stream], peak = map(float, done.stdout.split())
            if stream:
                memory(name, "an epoch streamed, the whole process", peak, most=800)
        work = f"an epoch of {int(20_000_000 * scale):,} x 9, Parquet, batches of 4,096, streamed"
        within(name, work, rates[True], ("the same batches held in memory", rates[False]), most=2)


def one_epoch(path, stream):
    """Print the median seconds of an epoch and the peak memory of this process in MB."""
    formula = "y ~ " + " + ".join(f"x{j}" for j in range(1, 9))
    stamps = []
    options = {"batch_size": 4096, "epochs": 3, "lr": 0.01, "gradient": "closed", "stream": stream}
    run = sq.train(formula, path, callbacks=lambda _: stamps.append(time.perf_counter()), **options)
    excess = run.problem.loss(run.result.end) - run.prediction.floor
    assert 0.0 < excess < 4.0 * run.theory.floor, (excess, run.theory.floor)  # the noise of batches exceeds this once in 50,000
    print(np.median(np.diff(stamps)), own_peak_megabytes())


def copy_seconds(shape, device, wait):
    """Return the seconds of a copy of float32 values within the memory of a device."""
    table = torch.empty(shape, dtype=torch.float32, device=device).normal_()

    def copy():
        table.clone()
        wait()

    return median_seconds(copy, 5)


def d6(name, scale, device="cuda:0"):
    """Measure ten columns of a hundred million rows on a GPU: cross-products, epochs and steps against a copy."""
    if device != "cpu" and not torch.cuda.is_available():
        refused(name, "on a GPU", "no GPU here")
        return
    from squarely.moments.gpu import fold_on_device

    n, p, epochs = int(100_000_000 * scale), 10, 20
    arrays = {key: values.astype(np.float32) for key, values in columns(n, p).items()}
    formula = "y ~ " + " + ".join(f"x{j}" for j in range(1, p + 1))
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    copied = ("a copy of the rows on the device", copy_seconds((n, p + 1), device, wait))
    moments, source = gather(formula, arrays, fold_on_device(device))
    design = moments.design
    took = in_turns({"moments": lambda: gather_moments(design, source, fold_on_device(device))}, 3)["moments"]
    within(name, f"cross-products of {n:,} x {p}, rows from the memory of the machine", took, copied, most=1.43)

    def epoch_seconds(**options):
        stamps = []

        def stamp(_):
            wait()
            stamps.append(time.perf_counter())

        each = descent.TrainingOptions(lr=0.1, gradient="closed", device=device, callbacks=stamp, stream=False, **options)
        run = descent.train(moments, source, (each,))[0]
        assert run.status != "diverged"
        assert run.result.losses[-1] < run.result.losses[0]
        return float(np.median(np.diff(stamps)))

    within(name, f"a full-batch epoch of {n:,} x {p}", epoch_seconds(epochs=epochs), copied, most=1.43)
    steps, size = -(-n // 65_536), 65_536
    took = epoch_seconds(epochs=2, batch_size=size) / steps
    within(name, f"a step of {size:,} x {p}, one of {steps:,}", took, (copied[0] + ", the same part", copied[1] / steps), most=None)


WORKS = {"D1": d1, "D2": d2, "D3": d3, "D4": d4, "D5": d5, "D6": d6}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(WORKS), help="D1 ... D6; the default is all")
    parser.add_argument("--quick", action="store_true", help="use a hundredth of the rows: shows that it runs, not how fast")
    parser.add_argument("--epoch", nargs=2, metavar=("PATH", "STREAM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epoch:
        one_epoch(options.epoch[0], options.epoch[1] == "1")
        return
    print(machine(PACKAGES, SEED), "\n")
    head()
    for name in options.names:
        try:
            WORKS[name](name, 0.01 if options.quick else 1.0)
        except MemoryError as error:
            refused(name, WORKS[name].__doc__, error)


if __name__ == "__main__":
    main()
