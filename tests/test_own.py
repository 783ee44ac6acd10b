"""A user's own loader and module, trained as the user's own loop would; and rows held out for validation."""

import numpy as np
import pytest

import squarely as sq
from tests.support import CARS, assert_close, need

torch = need("torch")
nn = torch.nn
DataLoader, TensorDataset = torch.utils.data.DataLoader, torch.utils.data.TensorDataset


def rows(n=300, dtype=torch.float64):
    g = torch.Generator().manual_seed(4)
    X = torch.randn(n, 3, generator=g, dtype=torch.float64)
    y = (
        X @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
        + 3
        + 0.1 * torch.randn(n, 1, generator=g, dtype=torch.float64)
    )
    return X.to(dtype), y.to(dtype)


def loop(model, loader, epochs, lr):
    """The user's own loop."""
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()


def twice(make, seed=0):
    torch.manual_seed(seed)
    first = make()
    torch.manual_seed(seed)
    return first, make()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 1).double(), lambda: nn.Sequential(nn.Linear(3, 1, bias=False)).double()])
def test_a_loader_and_a_module_are_trained_as_in_the_users_own_loop(make, shuffle):
    """The same batches too: what shuffles draw from is left as the user has it."""
    X, y = rows()
    ours, theirs = twice(make)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=shuffle)
    torch.manual_seed(7)
    loop(theirs, loader, 6, 0.05)
    torch.manual_seed(7)
    run = sq.train(model=ours, loader=loader, epochs=6, lr=0.05)
    assert run.model is ours
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    assert run.recipe.batch_size == 32
    assert run.recipe.shuffle is shuffle


def test_the_loss_is_that_of_all_rows_in_the_units_of_the_loader():
    X, y = rows()
    model = nn.Linear(3, 1).double()
    run = sq.train(model=model, loader=DataLoader(TensorDataset(X, y), batch_size=64), epochs=4, lr=0.05, metrics=["rmse", "r2"])
    with torch.no_grad():
        mse = nn.MSELoss()(model(X), y).item()
    assert_close(run.history["loss"].iloc[-1], mse, rtol=1e-11)
    assert_close(run.history["rmse"].iloc[-1], mse**0.5, rtol=1e-11)
    assert_close(run.history["r2"].iloc[-1], 1 - mse / y.var(correction=0).item(), rtol=1e-11)
    assert_close(run.params, [model.bias.item(), *model.weight.tolist()[0]], rtol=1e-15)


def test_a_run_on_a_loader_is_certified_against_least_squares_on_its_rows():
    X, y = rows()
    run = sq.train(loader=[(X, y)], epochs=400, lr=0.3, dtype="float64")
    fit = sq.ols("y ~ x1 + x2 + x3", run.source)
    truth, *_ = np.linalg.lstsq(np.column_stack([np.ones(300), X.numpy()]), y.numpy()[:, 0], rcond=None)
    assert_close(fit.params, truth, rtol=1e-11)
    assert sq.certify(fit, run).agree
    assert_close(run.history["predicted"], run.history["loss"], rtol=1e-9)  # one batch of all rows: the curve holds


def test_a_module_that_theory_does_not_hold_for_is_trained_and_said():
    X, y = rows()
    for model in (nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), Scaled()):
        run = sq.train(model=model.double(), loader=[(X, y)], epochs=3, lr=0.01)
        assert run.history["predicted"].isna().all()
        assert "do not hold" in " ".join(run.warnings)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return 10 * self.layer(x)


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x)[:, 0]


def test_outputs_without_a_column_are_not_broadcast():
    """Outputs (m,) against labels (m, 1) would be m x m differences, and slopes of zero."""
    X, y = rows()
    run = sq.train(model=Flat().double(), loader=[(X, y)], epochs=200, lr=0.3)
    assert_close(run.params, [3, 1, -2, 0.5], rtol=0.05)


def test_a_module_with_a_formula_sees_standardised_columns():
    torch.manual_seed(1)
    model = nn.Linear(2, 1).double()
    start = [model.bias.item(), *model.weight.tolist()[0]]
    run = sq.train("mpg ~ displacement + weight", CARS, model=model, epochs=50, lr=0.1)
    alone = sq.train("mpg ~ displacement + weight", CARS, start=start, epochs=50, lr=0.1, dtype="float64")
    assert run.loop.losses.tobytes() == alone.loop.losses.tobytes()
    assert run.recipe.dtype == "float64"
    assert "the model's own" in str(run.summary())


def test_what_does_not_go_together_is_said():
    X, y = rows()
    loader = [(X, y)]
    for options, said in [
        ({"loader": loader, "batch_size": 3}, "Set the batch size of the loader"),
        ({"loader": loader, "validation": 0.2}, "random_split"),
        ({"loader": loader, "formula": "y ~ x1"}, "brings its own rows"),
        ({"loader": loader, "model": nn.Linear(3, 1), "start": [0, 0, 0, 0]}, "brings its own"),
        ({"loader": loader, "model": nn.Linear(3, 1), "gradient": "closed"}, "through autograd"),
        ({"loader": loader, "model": nn.Linear(3, 1).half()}, "float16"),
        ({"formula": "mpg ~ weight", "data": CARS, "model": nn.Linear(1, 1, bias=False)}, "no bias"),
        ({"loader": iter(loader)}, "once"),
    ]:
        with pytest.raises(sq.errors.InputError, match=said):
            sq.train(epochs=2, **options)
    frozen = nn.Linear(3, 1).requires_grad_(requires_grad=False)
    with pytest.raises(sq.errors.OptionError, match="frozen"):
        sq.train(model=frozen, loader=loader, epochs=2)


def test_a_share_of_the_rows_is_held_out():
    run = sq.train("mpg ~ displacement + weight", CARS, epochs=30, lr=0.3, validation=0.25, metrics="rmse", dtype="float64")
    assert run.moments.n == 298
    fit = sq.ols("mpg ~ displacement + weight", run.source)
    assert fit.nobs == 298
    both = sq.datasets.cars()
    whole = ((run.predict(both) - both["mpg"]) ** 2).sum()
    last = run.history.iloc[-1]
    assert_close(298 * last["rmse"] ** 2 + 100 * last["val_rmse"] ** 2, whole, rtol=1e-10)  # the two parts make the whole
    assert sq.certify(sq.ols("mpg ~ displacement + weight", CARS), run).verdict == "different rows"
    again = sq.train("mpg ~ displacement + weight", CARS, epochs=30, lr=0.3, validation=0.25, seed=1)
    assert again.moments.means.tolist() != run.moments.means.tolist()
    for share, said in (
        (1.0, "no row to train on"),
        (0, "no row to validate"),
        (True, "neither a share nor rows"),
        (1.5, "validation=1.5"),
    ):
        with pytest.raises(sq.errors.InputError, match=said):
            sq.train("mpg ~ displacement", CARS, validation=share)


class Spoiling(torch.utils.data.Dataset):
    """A dataset whose row 70 is NaN once it is spoilt."""

    def __init__(self, X, y):
        self.X, self.y, self.spoilt = X, y, False

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] * (float("nan") if i == 70 and self.spoilt else 1.0), self.y[i]

    def spoil(self, epoch):
        self.spoilt = epoch.epoch >= 7


def test_a_row_that_becomes_nan_is_named_and_the_last_good_parameters_are_kept():
    dataset = Spoiling(*rows())
    model, other = twice(lambda: nn.Linear(3, 1).double())
    run = sq.train(model=model, loader=DataLoader(dataset, batch_size=32), epochs=20, lr=0.05, callbacks=dataset.spoil)
    assert run.status == "not finite"
    assert "Row 7 of batch 3 of the loader" in run.loop.ending.reason  # 70 = 2 x 32 + 6, counted from one
    assert len(run.history) == 8
    whole = sq.train(model=other, loader=DataLoader(TensorDataset(*rows()), batch_size=32), epochs=7, lr=0.05)
    assert run.loop.end.tobytes() == whole.loop.end.tobytes()
    with pytest.raises(sq.errors.NumericalError, match="Row 7 of batch 3"):
        run.require()


def test_gaps_in_a_loader_are_refused_and_casts_are_said():
    X, y = rows()
    run = sq.train(model=nn.Linear(3, 1), loader=[(X, y)], epochs=2, lr=0.1)
    assert "The loader's float64 values are cast to the model's float32." in run.warnings
    X[5, 1] = float("nan")
    with pytest.raises(sq.errors.DataError, match="rows with gaps in the loader"):
        sq.train(loader=[(X, y)], epochs=2)
    with pytest.raises(sq.errors.DataError, match="validation has 2 features, and the one for training 3"):
        sq.train(loader=[rows()], validation=[(X[:, :2], y)], epochs=2)
