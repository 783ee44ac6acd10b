"""Every sentence about a run is a claim: random options are run, and each sentence is tried out.

The optimum, its standard errors and the steps on all rows are worked out here in NumPy. What more epochs, another precision or no
decay would do is tried by running it. SQUARELY_DIFFERENTIAL_CASES sets how many cases are tried.
"""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import assert_close, need, random_cases

torch = need("torch")
CASES = random_cases(36)
TAU = 0.01
SCHEDULES = [
    ("ExponentialLR", {"gamma": 0.9}),
    ("StepLR", {"step_size": 7, "gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": 50}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 7}),
    ("OneCycleLR", {"max_lr": 0.3}),
    ("LinearLR", {"total_iters": 10}),
]


class Problem:
    """A regression with its answer: X (n, p) and y standardized, the optimum, and the standard errors there."""

    def __init__(self, data, names, *, standardize):
        table = np.column_stack([data[name] for name in [*names, "y"]])
        if standardize:
            table = (table - table.mean(0)) / table.std(0)
        self.X, self.y = np.column_stack([np.ones(len(table)), table[:, :-1]]), table[:, -1]
        self.n, self.p = self.X.shape
        self.best = np.linalg.lstsq(self.X, self.y, rcond=None)[0]
        residual = self.y - self.X @ self.best
        self.H = 2 / self.n * self.X.T @ self.X
        self.se = np.sqrt(residual @ residual / (self.n - self.p) * np.diag(np.linalg.inv(self.X.T @ self.X)))

    def gap(self, w):
        """Give the largest gap of the slopes in standard errors: that of the intercept is another one in the units of the data."""
        return np.abs((w - self.best) / self.se)[1:].max()

    def steps(self, start, count, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
        """Take steps on all rows, as torch's documentation has them, by powers of the matrix that one step is."""
        H = self.H + weight_decay * np.eye(self.p)
        rest = np.linalg.solve(H, 2 / self.n * self.X.T @ self.y)
        eye, ahead, push = np.eye(self.p), momentum if nesterov else 1.0, float(nesterov)
        step = np.block([[eye - lr * (ahead + push) * H, -lr * ahead * momentum * eye], [H, momentum * eye]])
        with np.errstate(all="ignore"):
            return rest + (np.linalg.matrix_power(step, count) @ np.concatenate([start - rest, np.zeros(self.p)]))[: self.p]


def data_of(rng):
    """Draw rows: even or skewed, plain or correlated, with much noise or little."""
    n, p = int(rng.choice([60, 101, 240])), int(rng.integers(1, 4))
    X = rng.normal(size=(n, p))
    if rng.random() < 0.5 and p > 1:
        X[:, 1] = 0.9 * X[:, 0] + 0.4 * X[:, 1]
    if rng.random() < 0.25:
        X[:, 0] = np.exp(1.2 * X[:, 0])
    X = X * 10.0 ** rng.integers(-1, 2, p) + rng.choice([0.0, 3.0])
    names = [f"x{j}" for j in range(p)]
    noise = X.std(0).max() * rng.choice([1.0, 1.0, 0.1, 1e-5])
    return {**dict(zip(names, X.T, strict=True)), "y": 1 + X @ rng.normal(size=p) + noise * rng.normal(size=n)}, names


def draw_options(rng, n):
    """Draw the options of a run."""
    chance = rng.random
    kind = str(rng.choice(["sgd", "sgd", "sgd", "adam", "adamw", "rmsprop", "lbfgs", "adagrad"]))
    options = {"optimizer": kind, "epochs": int(rng.choice([5, 20, 100, 400])), "seed": int(rng.integers(100))}
    options["lr"] = float(10.0 ** rng.uniform(-3, 0.1)) if kind in ("sgd", "lbfgs") else float(10.0 ** rng.uniform(-3, -0.7))
    options["dtype"] = str(rng.choice(["float32", "float64"]))
    if kind == "sgd":
        options["momentum"] = float(rng.choice([0.0, 0.0, 0.5, 0.9]))
        options["nesterov"] = bool(options["momentum"] and chance() < 0.5)
    if kind != "lbfgs" and chance() < 0.25:
        options["weight_decay"] = float(10.0 ** rng.uniform(-8, -0.5))
    if kind != "lbfgs" and chance() < 0.45:
        options["batch_size"] = int(rng.choice([4, 16, 50, n - 1]))
        options |= [{}, {}, {"replacement": True}, {"shuffle": False}][int(rng.integers(4))]
    if kind != "lbfgs" and chance() < 0.25:
        name, numbers = SCHEDULES[int(rng.integers(len(SCHEDULES)))]
        steps = -(-n // options.get("batch_size", n))
        total = {"total_steps": 7 * steps * options["epochs"]} if name == "OneCycleLR" else {}  # it refuses to go on beyond
        fixed = {"cycle_momentum": False} if kind == "adagrad" and name in ("OneCycleLR", "CyclicLR") else {}  # it has none
        options |= {"scheduler": name, "scheduler_options": numbers | total | fixed}
    if chance() < 0.15:
        options |= [{"loss": "huber", "delta": 0.5}, {"loss": "huber", "delta": 100.0}, {"loss": "l1"}][int(rng.integers(3))]
    if kind != "lbfgs" and chance() < 0.1:
        options["clip_grad_norm"] = 0.1
    if chance() < 0.1:
        options["average"] = True
    if chance() < 0.15:
        options["standardize"] = False
        options["lr"] *= 0.1
    return options


def number(pattern, text, kind=float):
    found = re.search(pattern, text)
    return None if found is None else kind(found[1].replace(",", ""))


class Tried:
    """A run with its certificate, and what becomes of it with other options."""

    def __init__(self, seed):
        rng = np.random.default_rng([13, seed])
        self.data, self.names = data_of(rng)
        self.options = draw_options(rng, len(self.data["y"]))
        self.formula = "y ~ " + " + ".join(self.names)
        self.fit = sq.ols(self.formula, self.data)
        self.problem = Problem(self.data, self.names, standardize=self.options.get("standardize", True))
        self.run, self.certificate = self.again()
        self.message = self.certificate.cause
        self.kind = {name: self.options.get(name, 0.0) for name in ("momentum", "nesterov", "weight_decay")}

    def again(self, **changes):
        options = {**self.options, **changes}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = sq.train(self.formula, self.data, **options)
            return run, sq.certify(self.fit, run, tau=TAU)

    def gap_with(self, **changes):
        return np.abs(self.again(**changes)[1].gap_se).max()

    @property
    def gap(self):
        return np.abs(self.certificate.gap_se).max()


def check(tried):
    """Try every claim out that is made of a run."""
    check_gap(tried)
    check_curve(tried)
    check_limits(tried)
    check_warnings(tried)
    check_epochs(tried)
    check_cause(tried)
    check_more_epochs(tried)


def check_gap(tried):
    problem, certificate = tried.problem, tried.certificate
    if np.isfinite(tried.run.result.end).all() and tried.gap < 1e6:
        assert_close(np.abs(certificate.gap_se)[1:].max(), problem.gap(tried.run.result.end), rtol=1e-5, atol=1e-6)
    if certificate.bound is not None and np.isfinite(certificate.bound.standard_errors):
        assert tried.gap <= certificate.bound.standard_errors * (1 + 1e-9)


def check_curve(tried):
    """A curve that is called exact is that of a loop which is written out with torch alone."""
    run, problem = tried.run, tried.problem
    if run.as_dict()["theory"]["form"] != "exact" or run.options.dtype != "float64":
        return
    w = torch.tensor(run.result.start, requires_grad=True)
    X, y = torch.tensor(problem.X), torch.tensor(problem.y)
    optimizer = torch.optim.SGD([w], lr=tried.options["lr"], **tried.kind)
    scheduler = None
    if "scheduler" in tried.options:
        scheduler = getattr(torch.optim.lr_scheduler, tried.options["scheduler"])(optimizer, **tried.options["scheduler_options"])
    losses = []
    for _ in run.result.losses:
        optimizer.zero_grad()
        loss = ((X @ w - y) ** 2).mean()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    assert_close(run.history["predicted"], losses, rtol=1e-6, atol=1e-12 * losses[0])


def check_limits(tried):
    """Steps on all rows shrink below the limit and grow above it; those on drawn rows do so in the mean square."""
    known, problem = tried.run.theory, tried.problem
    if known.lr_limit is None:
        return
    descent = tried.run.options.descent
    if known.batches is None:
        for factor, grows in ((0.995, False), (1.005, True)):
            assert (radius(problem.H, replace(descent, lr=factor * known.lr_limit)) > 1) == grows
        best = radius(problem.H, replace(descent, lr=known.lr_best))
        rates = np.geomspace(1e-3, 0.999, 60) * known.lr_limit
        assert best <= min(radius(problem.H, replace(descent, lr=lr)) for lr in rates) * (1 + 1e-5)
    else:
        size = min(tried.options["batch_size"], problem.n)
        steps = -(-problem.n // size)
        last = problem.n - (steps - 1) * size
        for factor, grows in ((0.99, False), (1.01, True)):
            each = [second_moments(problem, replace(descent, lr=factor * known.lr_limit), rows) for rows in (size, last)]
            epoch = each[1] @ np.linalg.matrix_power(each[0], steps - 1)
            assert (np.abs(np.linalg.eigvals(epoch)).max() > 1) == grows
    advised = number(r"(?:Try|try) lr=([\d.e+-]+[\de])", " ".join(tried.run.warnings) + tried.message)
    assert advised is None or advised < known.lr_limit


def transition(H, descent):
    eye, beta, lr = np.eye(len(H)), descent.momentum, descent.lr
    ahead, push = (beta, 1.0) if descent.nesterov else (1.0, 0.0)
    H = H + descent.weight_decay * eye
    return np.block([[eye - lr * (ahead + push) * H, -lr * ahead * beta * eye], [H, beta * eye]])


def radius(H, descent):
    return np.abs(np.linalg.eigvals(transition(H, descent))).max()


def second_moments(problem, descent, size):
    """E(A x A) for the step A of a batch of so many rows drawn with replacement."""
    mean = transition(problem.H, descent)
    noise = sum(np.kron(D, D) for D in (transition(2 * np.outer(x, x), descent) - mean for x in problem.X)) / problem.n
    return np.kron(mean, mean) + noise / size


def check_warnings(tried):
    """What epochs leave, and how many would leave a hundredth, in the worst of directions, for steps on all rows."""
    text, known, problem = " ".join(tried.run.theory.warnings), tried.run.theory, tried.problem
    if known.batches is not None or known.lr_limit is None:
        return
    left = number(r"leaves? ([\d.e+-]+) of the", text)
    if left is not None:
        assert_close(left, worst(problem, tried, tried.run.options.epochs), rtol=0.06)
    enough = number(r"\. ([\d,]+) epochs? would leave", text, int)
    if enough is not None:
        assert worst(problem, tried, enough) <= 0.0101
        assert worst(problem, tried, enough // 3) > 0.0099 or tried.kind["momentum"]
    best = number(r"The best rate is ([\d.e+-]+[\de])", text)
    if best is not None and "not below" not in text:
        assert worst(problem, tried, tried.run.options.epochs, lr=best) < worst(problem, tried, tried.run.options.epochs)
    if "cannot settle" in text:
        assert worst(problem, tried, 20_000) > 0.1


def worst(problem, tried, epochs, lr=None):
    values = np.linalg.eigvalsh(problem.H)
    descent = replace(tried.run.options.descent, lr=lr or tried.run.options.rate)
    with np.errstate(all="ignore"):
        left = [abs(np.linalg.matrix_power(transition(np.array([[v]]), descent), epochs)[0, 0]) for v in values]
    return np.nan_to_num(left, nan=np.inf).max()  # not a number: it left the range of doubles


def check_epochs(tried):
    """Epochs that are said to do, do."""
    problem, start, message = tried.problem, tried.run.result.start, tried.message
    taken = len(tried.run.result.losses) - 1
    more = number(r"([\d,]+) more epochs? at lr=", message, int)
    if more is not None:
        assert problem.gap(problem.steps(start, taken + more, lr=tried.run.options.rate, **tried.kind)) <= TAU * (1 + 1e-6)
        if taken + more <= 3000 and "float32 may lose" not in message:
            assert tried.gap_with(epochs=taken + more) <= TAU * (1 + 1e-3)
    at_best = re.search(r"tart over with lr=([\d.e+-]+): ([\d,]+) epochs? (?:is|are) enough", message)
    if at_best is not None:
        lr, epochs = float(at_best[1]), int(at_best[2].replace(",", ""))
        assert problem.gap(problem.steps(start, epochs, lr=lr, **tried.kind)) <= TAU * (1 + 1e-6)
    plain = re.search(r"a constant lr=([\d.e+-]+), .*?takes ([\d,]+) epochs? from the start", message)
    if plain is not None:
        assert problem.gap(problem.steps(start, int(plain[2].replace(",", "")), lr=float(plain[1]))) <= TAU * (1 + 1e-6)
    never = "no number of epochs will do" in message or "No number of epochs brings" in message
    if never and tried.run.theory.batches is None:
        assert problem.gap(problem.steps(start, 10**7, lr=tried.run.options.rate, **tried.kind)) > 0.2 * TAU


def check_cause(tried):
    """The cause is one: without it the gap is smaller, and with more of what would not help it is not."""
    verdict, gap, epochs = tried.certificate.verdict, tried.gap, tried.options["epochs"]
    assert verdict not in {"disagree", "different rows", "not finite"}
    if verdict == "agree":
        assert gap <= TAU or tried.fit.rsquared > 1 - 1e-20
    elif verdict == "penalized":
        assert tried.gap_with(weight_decay=0.0) < gap
        assert tried.gap_with(epochs=4 * epochs) > 0.3 * gap
    elif verdict == "other loss":
        assert tried.gap_with(epochs=4 * epochs) > 0.3 * gap
    elif verdict in {"batch noise", "fixed order"}:
        assert max(tried.gap_with(epochs=k * epochs) for k in (2, 3)) > 0.1 * gap
    check_precision(tried)


def check_precision(tried):
    verdict, gap = tried.certificate.verdict, tried.gap
    if verdict == "float32 floor":
        assert tried.gap_with(dtype="float64") < 0.5 * gap
    elif verdict == "diverged":
        losses = tried.run.result.losses
        known = tried.run.theory
        assert losses[-1] > losses[0] or (known.batches is None and tried.run.options.rate >= known.lr_limit)


def check_more_epochs(tried):
    """More epochs help where that is said, and not where it is not."""
    message, gap, epochs = tried.message, tried.gap, tried.options["epochs"]
    if "was still falling" in message and tried.run.options.loss == "mse":
        assert min(tried.gap_with(epochs=k * epochs) for k in (3, 6)) < gap
    if "hardly falls any more" in message:
        assert tried.gap_with(epochs=2 * epochs) > 0.1 * gap
    if "LBFGS no longer moves" in message:
        assert_close(tried.gap_with(epochs=2 * epochs), gap, rtol=1e-6)
        tolerances = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
        assert tried.gap_with(optimizer_options=tolerances, dtype="float64") < gap
    if "hardly moved it" in message and tried.options["scheduler"] in ("ExponentialLR", "StepLR"):
        assert tried.gap_with(epochs=2 * epochs) > 0.2 * gap


@pytest.mark.parametrize("part", range(6))
def test_what_is_said_of_random_runs_is_true(part):
    for seed in range(part, CASES, 6):
        tried = Tried(seed)
        try:
            check(tried)
        except AssertionError as error:
            raise AssertionError(
                f"case {seed}: {tried.options}\n{tried.certificate.verdict}: {tried.message}\n{tried.run.warnings}\n{error}"
            ) from error


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "lr": 0.05, "epochs": 50},
        {"optimizer": "sgd", "momentum": 0.97, "lr": 0.1, "clip_grad_norm": 10.0, "epochs": 50},
        {"optimizer": "sgd", "momentum": 0.99, "lr": 0.3, "optimizer_options": {"dampening": 0.1}, "epochs": 400},
    ],
)
def test_a_loss_that_swings_or_falls_slowly_is_not_said_to_be_at_rest(options):
    rng = np.random.default_rng(0)
    a, b, noise = rng.normal(size=(3, 400))
    data = {"a": a, "b": 0.9 * a + 0.4 * b, "y": a - b + noise}
    fit = sq.ols("y ~ a + b", data)

    def certified(epochs):
        return sq.certify(fit, sq.train("y ~ a + b", data, **{**options, "epochs": epochs}, dtype="float64"))

    once = certified(options["epochs"])
    assert np.abs(certified(3 * options["epochs"]).gap_se).max() < 0.5 * np.abs(once.gap_se).max()
    assert "hardly falls" not in once.cause
