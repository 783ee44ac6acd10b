"""Training with weights and frequencies: the loss is the weighted mean, whatever computes it."""

import numpy as np
import pytest

import squarely as sq
from squarely.errors import OptionError
from tests.support.checks import assert_close, need

torch = need("torch")
pd = need("pandas")
smf = need("statsmodels.formula.api")

FORMULA = "y ~ x + g"
WEIGHTS = {"weights": "w", "frequencies": "k"}
OPTIONS = {"dtype": "float64", "lr": 0.2, "epochs": 30}
ENGINES = [{"engine": "rows"}, {"engine": "moments"}, {"engine": "closed_form"}, {"gradient": "closed"}, {"stream": True}]


def rows(n=80, seed=0):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(5, 2, size=n), rng.choice(["a", "b", "c"], size=n)
    y = 2 * x + (g == "b") + rng.normal(size=n) * (1 + abs(x - 5))
    return pd.DataFrame({"x": x, "g": g, "w": rng.uniform(0.1, 5, n), "k": rng.integers(0, 5, n), "y": y})


def repeated(data):
    return data.loc[data.index.repeat(data["k"])].reset_index(drop=True)


def standardized(data, w):
    """Standardize with weighted means and deviations: X (n, 4) with a column of ones, y (n,) and relative weights."""
    data, w = data[w > 0], w[w > 0].to_numpy(float)
    table = np.column_stack([data["g"] == "b", data["g"] == "c", data["x"], data["y"]]).astype(float)
    mean = np.average(table, axis=0, weights=w)
    table = (table - mean) / np.sqrt(np.average((table - mean) ** 2, axis=0, weights=w))
    return np.column_stack([np.ones(len(table)), table[:, :-1]]), table[:, -1], w / w.mean()


@pytest.mark.parametrize("engine", ENGINES, ids=str)
@pytest.mark.parametrize("option", WEIGHTS)
def test_gradient_descent_on_the_weighted_mean(engine, option):
    data, start = rows(), [0.3, -0.2, 0.1, 0.0]
    X, y, w = standardized(data, data[WEIGHTS[option]])
    expected, b = [], np.array(start)
    for _ in range(31):
        r = X @ b - y
        expected.append(float(np.average(r**2, weights=w)))
        b = b - 0.2 * 2 * X.T @ (w * r) / w.sum()
    run = sq.train(FORMULA, data, **{option: WEIGHTS[option]}, **OPTIONS, **engine, start=start)
    assert_close(run.result.losses, expected, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_frequencies_are_repeated_rows(engine):
    run = sq.train(FORMULA, rows(), frequencies="k", **OPTIONS, **engine)
    other = sq.train(FORMULA, repeated(rows()), **OPTIONS, **engine)
    assert_close(run.result.losses, other.result.losses, rtol=1e-12)
    assert_close(run.params, other.params, rtol=1e-11)
    assert_close(run.distance_se, other.distance_se, rtol=1e-8)
    assert run.problem.nobs == other.problem.n == rows()["k"].sum()


@pytest.mark.parametrize("batch_size", [None, 16])
def test_the_scale_of_the_weights_does_not_matter(batch_size):
    options = {**OPTIONS, "batch_size": batch_size, "lr": 0.02, "weights": "w"}
    run = sq.train(FORMULA, rows(), **options)
    for factor in (2.0**-40, 1e6):
        other = sq.train(FORMULA, rows().assign(w=rows()["w"] * factor), **options)
        assert_close(other.result.losses, run.result.losses, rtol=1e-11)
        assert_close(other.params, run.params, rtol=1e-10)


def test_a_row_of_half_the_weight_twice_is_the_row():
    data = rows()
    halves = pd.concat([data.assign(w=data["w"] / 2)] * 2)
    run, other = (sq.train(FORMULA, each, weights="w", **OPTIONS) for each in (data, halves))
    assert_close(other.result.losses, run.result.losses, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_the_optimum_is_that_of_statsmodels(engine):
    data = rows()
    run = sq.train(FORMULA, data, weights="w", dtype="float64", epochs=3000, **engine)
    assert_close(run.params, smf.wls("y ~ x + g", data, weights=data["w"]).fit().params, rtol=1e-8)
    assert sq.certify(sq.ols(FORMULA, data, weights="w"), run).verdict == "agree"


def test_a_mini_batch_has_an_unbiased_estimate_of_the_gradient():
    data, size = rows(), 16
    X, y, w = standardized(data, data["w"])
    b = np.zeros(4)
    for first in range(0, len(y), size):
        at = slice(first, first + size)
        b = b - 0.01 * 2 * X[at].T @ (w[at] * (X[at] @ b - y[at])) / len(y[at])
    run = sq.train(FORMULA, data, weights="w", dtype="float64", lr=0.01, epochs=1, batch_size=size, shuffle=False, start=[0.0] * 4)
    assert_close(run.result.end, b, rtol=1e-12)


@pytest.mark.parametrize("loss", [{"loss": "l1"}, {"loss": "huber", "delta": 0.5}, {"loss": "quantile", "quantile": 0.8}])
def test_other_losses_are_weighted_means(loss):
    options = {**OPTIONS, **loss, "lr": 0.01}
    run, other = sq.train(FORMULA, rows(), frequencies="k", **options), sq.train(FORMULA, repeated(rows()), **options)
    assert_close(run.result.losses, other.result.losses, rtol=1e-10)
    fit = sq.ols(FORMULA, rows(), frequencies="k")
    verdicts = [sq.certify(each, r).verdict for each, r in ((fit, run), (sq.ols(FORMULA, repeated(rows())), other))]
    assert verdicts[0] == verdicts[1]


def test_metrics_and_validation_are_weighted_means():
    options = {**OPTIONS, "metrics": ["mse", "rmse", "mae", "r2"], "gradient": "closed"}
    run = sq.train(FORMULA, rows(), frequencies="k", validation=rows(seed=1), **options)
    other = sq.train(FORMULA, repeated(rows()), validation=repeated(rows(seed=1)), **options)
    assert set(run.result.history.columns) == set(other.result.history.columns) > {"val_loss", "val_r2"}
    for name, values in other.result.history.columns.items():
        assert_close(run.result.history.columns[name], values, rtol=1e-11)


def test_the_noise_of_rows_has_their_weights():
    data = rows()
    X, y, w = standardized(data, data["w"])
    noise = sq.train(FORMULA, data, weights="w", batch_size=8, epochs=1, lr=0.01).theory.noise
    H = 2 * X.T @ (w[:, None] * X) / len(y)
    values, V = np.linalg.eigh(H)
    r = y - X @ np.linalg.lstsq(np.sqrt(w)[:, None] * X, np.sqrt(w) * y, rcond=None)[0]
    Z = X @ V
    gradients = 2 * (w * r)[:, None] * Z  # of single rows
    S, (a, b) = gradients.T @ gradients / len(y), noise.pairs
    assert_close(noise.values, values, rtol=1e-12)
    assert_close(noise.gradient[noise.diagonal], np.diag(S), rtol=1e-10)
    assert_close(abs(noise.gradient), abs(S[a, b]) * np.where(a == b, 1, np.sqrt(2)), rtol=1e-9, atol=1e-12)
    hessians = 2 * w[:, None, None] * Z[:, :, None] * Z[:, None, :]
    square = np.einsum("nij,njk->ik", hessians, hessians) / len(y)  # E(H_i I H_i)
    identity = np.where(a == b, 1.0, 0.0)
    assert_close((noise.square @ identity)[noise.diagonal], np.diag(square), rtol=1e-10)
    assert_close(noise.sigma2, np.average(r**2, weights=w), rtol=1e-12)


def test_streamed_noise_has_the_size_of_the_weights():
    n = 4000
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=n), "w": rng.choice([0.1, 1.9], n), "y": rng.normal(size=n)})
    options = {"weights": "w", "batch_size": 8, "epochs": 1, "lr": 0.01}
    memory, streamed = (sq.train("y ~ x", data, stream=stream, **options).theory for stream in (False, True))
    assert (streamed.noise.gaussian, memory.noise.gaussian) == (True, False)
    assert_close(streamed.lr_limit, memory.lr_limit, rtol=0.1)  # columns are Gaussian, and weights independent of them
    assert memory.lr_limit < 0.8 * sq.train("y ~ x", data, batch_size=8, epochs=1, lr=0.01).theory.lr_limit


def test_checkpoints_have_the_weights(tmp_path):
    options = {"weights": "w", "dtype": "float64", "lr": 0.01, "batch_size": 16}
    whole = sq.train(FORMULA, rows(), epochs=8, **options)
    sq.train(FORMULA, rows(), epochs=4, checkpoint=tmp_path, **options)
    for other, message in [(None, r"has weights='w', and this run has None"), ("k", r"this run has 'k'")]:
        with pytest.raises(OptionError, match=message):
            sq.train(FORMULA, rows(), epochs=8, checkpoint=tmp_path, resume=True, **{**options, "weights": other})
    resumed = sq.train(FORMULA, rows(), epochs=8, checkpoint=tmp_path, resume=True, **options)
    assert (resumed.result.losses == whole.result.losses).all()
    assert (resumed.result.end == whole.result.end).all()


@pytest.mark.parametrize("option", WEIGHTS)
def test_saved_runs_are_certified(tmp_path, option):
    chosen = {option: WEIGHTS[option]}
    run, fit = sq.train(FORMULA, rows(), epochs=2000, **chosen), sq.ols(FORMULA, rows(), **chosen)
    run.save(tmp_path / "run.json")
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "run.json")
    assert sq.certify(fit, loaded).verdict == sq.certify(sq.load(tmp_path / "fit.json"), loaded).verdict == "agree"
    assert (loaded.predict(rows().drop(columns=["w", "k"])) == run.predict(rows().drop(columns=["w", "k"]))).all()


def test_a_weighted_fit_beside_a_run_without_weights():
    fit, run = sq.ols(FORMULA, rows(), weights="w"), sq.train(FORMULA, rows(), epochs=1)
    assert sq.certify(fit, run).verdict == "different rows"
    assert sq.certify(fit, run).cause == (
        "The fit has weights='w', and the run has no weights, so their answers differ. Give both the same weights."
    )
    run, fit = sq.train(FORMULA, rows(), epochs=1, frequencies="k"), sq.ols(FORMULA, rows())
    assert sq.certify(fit, run).cause.startswith("The run has frequencies='k', and the fit has no weights")
    other = sq.train(FORMULA, rows().assign(w=rows()["w"] ** 2), epochs=1, weights="w")
    assert sq.certify(sq.ols(FORMULA, rows(), weights="w"), other).verdict == "different rows"


def test_sweeps_have_the_weights():
    sweep = sq.sweep(FORMULA, rows(), weights="w", lr=[0.01, 0.1], batch_size=[16, None], epochs=5, dtype="float64")
    assert "batched" in sweep.program
    for run in sweep.runs:
        one = sq.train(FORMULA, rows(), weights="w", **{name: getattr(run.options, name) for name in ("lr", "batch_size")},
                       epochs=5, dtype="float64")  # fmt: skip
        assert_close(run.result.losses, one.result.losses, rtol=1e-12)


def test_weights_do_not_go_with_a_loader():
    loader = [(torch.ones(4, 1), torch.ones(4))]
    with pytest.raises(OptionError, match="weights= does not go with loader="):
        sq.train(loader=loader, weights="w")
