"""A user's own loader is a source of its rows, and a user's own module is read for what it is, or refused in a sentence."""

import copy
import warnings

import numpy as np
import pytest

import squarely as sq
from squarely.data import RowAccount, iter_batches
from squarely.design import formula_of, learn_from_rows
from squarely.errors import DataError, OptionError
from squarely.exact import solve_least_squares
from squarely.inference import infer
from squarely.moments import gather_moments
from tests.support.checks import assert_close, need

torch = need("torch")
from torch import nn  # noqa: E402  # torch may be missing
from torch.utils.data import (  # noqa: E402
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from squarely.descent import LoaderSource, affine_form, iter_pairs  # noqa: E402

N, P = 96, 3


def rows(n=N, dtype=torch.float64, column=True):
    generator = torch.Generator().manual_seed(5)
    X = torch.randn(n, P, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 30.0, 0.01]) + torch.tensor(
        [2.0, 0.0, -1.0]
    )
    y = X @ torch.tensor([0.5, -1.0, 20.0], dtype=torch.float64) + 3 + torch.randn(n, generator=generator, dtype=torch.float64)
    return X.to(dtype), (y[:, None] if column else y).to(dtype)


def fitted(loader):
    source = LoaderSource(loader)
    moments = gather_moments(learn_from_rows(formula_of(source.names, source.response, intercept=True), source), source)
    return infer(solve_least_squares(moments, source), source)


class Epochs:
    """An iterable that starts over, each time with what the next of several functions gives."""

    def __init__(self, *epochs):
        self.epochs, self.times = epochs, 0

    def __iter__(self):
        self.times += 1
        return iter(self.epochs[min(self.times, len(self.epochs)) - 1]())


def cut(X, y, size=16):
    return list(zip(X.split(size), y.split(size), strict=True))


# --- the loader as a source ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("column", [True, False])
def test_least_squares_on_a_loader_are_those_on_its_rows(dtype, column):
    X, y = rows(dtype=dtype, column=column)
    oracle = sq.ols(X=X.double().numpy(), y=y.double().numpy())
    for loader in (DataLoader(TensorDataset(X, y), batch_size=7), cut(X, y)):
        fit = fitted(loader)
        assert_close(fit.params, oracle.params, rtol=1e-12)
        assert_close(fit.bse, oracle.bse, rtol=1e-12)
        assert_close(fit.durbin_watson, oracle.durbin_watson, rtol=1e-12)
        assert ("targets of shape (m,) as a column" in str(fit.summary())) is not column
    assert fit.params.index.tolist() == ["Intercept", "x1", "x2", "x3"]
    assert len(fit.predict(X.double().numpy())) == N


def test_integers_and_truth_values_are_numbers():
    x, y = torch.arange(40) + 2**53, torch.arange(40) % 3 == 0
    source = LoaderSource([(x, y)])
    batch = next(iter(iter_batches(source, ["x1", "y"])))
    np.testing.assert_array_equal(batch.numbers["x1"].values, np.arange(40.0) + 2.0**53)
    np.testing.assert_array_equal(batch.numbers["y"].values, (np.arange(40) % 3 == 0).astype(float))
    assert batch.count_gaps(["x1"]).rounded == {"x1": 40}
    assert dict(source.columns) == {"x1": "int64", "y": "bool"}
    assert [source.kind(name) for name in source.columns] == ["number", "number"]


def test_one_feature_needs_no_second_dimension_and_gradients_stay_away():
    X, y = rows()
    x = X[:, 0].clone().requires_grad_()
    fit = fitted([(x[:50], y[:50]), (x[50:], y[50:])])
    assert_close(fit.params, sq.ols(X=X[:, 0].numpy(), y=y.numpy()).params, rtol=1e-12)
    assert x.grad is None


def test_gaps_are_accounted():
    X, y = rows()
    X[3, 1], X[4, 0], y[90] = torch.nan, torch.inf, torch.nan
    fit = fitted(DataLoader(TensorDataset(X, y), batch_size=10))
    assert fit.rows.dropped == {"x1": {"null": 0, "nan": 0, "inf": 1}, "x2": {"null": 0, "nan": 1, "inf": 0},
                                "y": {"null": 0, "nan": 1, "inf": 0}}  # fmt: skip
    assert (fit.rows.read, fit.rows.used) == (N, N - 3)


def test_each_scan_iterates_the_loader_once_and_small_batches_are_put_together():
    X, y = rows()
    loader = Epochs(lambda: cut(X, y, 5))
    source = LoaderSource(loader)
    assert loader.times == 1  # for a look at the first batch
    assert (source.rows, [batch.size for batch in iter_batches(source, ["x1"])], source.rows) == (None, [N], N)
    assert sum(batch.size for batch in iter_batches(source, [])) == N  # no column: how many rows
    assert loader.times == 3
    assert sum((batch.count_gaps(["y"]) for batch in iter_batches(source, ["y"])), RowAccount()).read == N


def test_more_rows_than_one_piece():
    x = torch.arange(150_000.0, dtype=torch.float64)
    source = LoaderSource(DataLoader(TensorDataset(x, 2 * x), batch_size=40_000))
    found = list(iter_batches(source, ["x1", "y"]))
    assert [batch.size for batch in found] == [80_000, 70_000]
    np.testing.assert_array_equal(np.concatenate([batch.numbers["y"].values for batch in found]), 2 * np.arange(150_000.0))


@pytest.mark.parametrize("own", [True, False])
def test_a_loader_that_shuffles_has_one_order_here_and_keeps_its_random_state(own):
    X, y = rows()
    generator = torch.Generator().manual_seed(3) if own else None

    def orders(times, between):
        torch.manual_seed(11)
        if own:
            generator.manual_seed(3)
        loader = DataLoader(TensorDataset(X, y), batch_size=10, shuffle=True, generator=generator)
        between(loader)
        return [torch.cat([batch[0] for batch in loader]) for _ in range(times)], torch.rand(1)

    scans = []

    def scan(loader):
        source = LoaderSource(loader)
        for _ in range(2):
            scans.append(np.concatenate([batch.numbers["x1"].values for batch in iter_batches(source, ["x1"])]))
            torch.rand(7)  # what the user draws meanwhile is of no matter
        assert source.notes == ()

    undisturbed, after = orders(3, lambda loader: torch.rand(14))
    found, later = orders(3, scan)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed, found, strict=True))
    assert torch.equal(after, later)
    np.testing.assert_array_equal(scans[0], scans[1])
    np.testing.assert_array_equal(np.sort(scans[0]), np.sort(X[:, 0].numpy()))
    assert not (scans[0] == X[:, 0].numpy()).all()


@pytest.mark.parametrize(
    ("loader", "found", "note"),
    [
        (lambda d: DataLoader(d, batch_size=10, drop_last=True), 90,
         "90 of the 96 rows of its dataset: drop_last=True leaves 6 out of each epoch"),
        (lambda d: DataLoader(d, batch_size=10, shuffle=True, drop_last=True), 90, "drop_last=True leaves 6 out of each epoch"),
        (lambda d: DataLoader(d, batch_sampler=BatchSampler(SequentialSampler(d), 10, drop_last=True)), 90,
         "drop_last=True leaves 6 out"),
        (lambda d: DataLoader(d, sampler=SubsetRandomSampler(range(40))), 40, "SubsetRandomSampler leaves 56 out of each epoch"),
        (lambda d: DataLoader(d, sampler=DistributedSampler(d, num_replicas=5, rank=0)), 20, "DistributedSampler leaves 76 out"),
        (lambda d: DataLoader(d, sampler=[*range(96), 0, 1]), 98, "98 rows from a dataset of 96: list gives some more than once"),
        (lambda d: DataLoader(d, sampler=RandomSampler(d, replacement=True)), 96,
         "96 rows that RandomSampler draws from 96 with replacement: some come twice, some never"),
        (lambda d: DataLoader(d, sampler=WeightedRandomSampler([1.0] * 96, 50)), 50, "50 rows that WeightedRandomSampler draws"),
        (lambda d: DataLoader(d, batch_size=10, shuffle=True), 96, None),
        (lambda d: DataLoader(d, batch_size=96, drop_last=True), 96, None),
    ],
)  # fmt: skip
def test_rows_that_are_not_those_of_the_dataset_are_noted(loader, found, note):
    source = LoaderSource(loader(TensorDataset(*rows())))
    assert source.notes == ()
    seen = [np.concatenate([batch.numbers["x2"].values for batch in iter_batches(source, ["x2"])]) for _ in range(2)]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (len(seen[0]), source.rows, len(source.notes)) == (found, found, int(note is not None))
    assert note is None or note in source.notes[0]


def test_an_iterable_dataset_that_gives_each_row_twice():
    class Rows(IterableDataset):
        def __len__(self):
            return 20

        def __iter__(self):
            return ((torch.tensor([float(i)]), torch.tensor(float(i))) for i in range(20))

    source = LoaderSource(DataLoader(Rows(), batch_size=5))
    assert sum(batch.size for batch in iter_batches(source, ["y"])) == 20
    assert source.notes == ("targets of shape (m,) as a column (m, 1)",)

    class Doubled(Rows):
        def __iter__(self):
            return (row for row in [*super().__iter__()] * 2)

    source = LoaderSource(DataLoader(Doubled(), batch_size=5))
    assert sum(batch.size for batch in iter_batches(source, ["y"])) == 40
    assert source.notes[1] == "40 rows from a dataset of 20: Doubled gives some more than once"


def test_workers_give_the_same_rows():
    X, y = rows()
    loader = DataLoader(TensorDataset(X, y), batch_size=10, shuffle=True, num_workers=2, persistent_workers=True)
    source = LoaderSource(loader)
    scans = [np.concatenate([batch.numbers["x1"].values for batch in iter_batches(source, ["x1"])]) for _ in range(2)]
    np.testing.assert_array_equal(scans[0], scans[1])
    np.testing.assert_array_equal(np.sort(scans[0]), np.sort(X[:, 0].numpy()))


def test_a_loader_that_grows_or_runs_dry():
    X, y = rows()
    growing = LoaderSource(Epochs(lambda: cut(X, y), lambda: cut(X, y), lambda: [*cut(X, y), (X[:1], y[:1])]))
    assert len(list(iter_batches(growing, ["y"]))) == 1
    with pytest.raises(DataError, match="gave 96 rows when it was iterated before, and 97 now"):
        list(iter_batches(growing, ["y"]))
    once = iter(cut(X, y))
    dry = LoaderSource(Epochs(lambda: cut(X, y), lambda: once))
    assert len(list(iter_batches(dry, ["y"]))) == 1
    with pytest.raises(DataError, match=r"gave 96 rows when it was iterated before, and 0 now.*start over"):
        list(iter_batches(dry, ["y"]))


def test_rows_in_another_order_are_noted_and_other_values_are_an_error():
    X, y = rows()
    flipped = Epochs(*[lambda: cut(X, y)] * 3, lambda: cut(X.flip(0), y.flip(0)))
    fit = fitted(flipped)
    assert_close(fit.params, sq.ols(X=X.numpy(), y=y.numpy()).params, rtol=1e-12)
    assert "rows in another order, or with other values, each time" in " ".join(str(fit.summary()).split())
    sizes = Epochs(*[lambda: cut(X, y)] * 2, lambda: cut(X, y, 7), lambda: cut(X, y, 11))
    assert fitted(sizes).source.notes == ()  # where the batches are cut is of no matter
    with pytest.raises(DataError, match="the loader has changed since it was first read"):
        fitted(Epochs(*[lambda: cut(X, y)] * 3, lambda: cut(X + 1, y)))


class Failing(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, i):
        if i == 13:
            raise KeyError("no such image")
        return torch.zeros(2), torch.zeros(1)


@pytest.mark.parametrize(
    ("loader", "says"),
    [
        (lambda X, y: iter(cut(X, y)), "loader= is a list_iterator, which can be iterated once"),
        (lambda X, y: (pair for pair in cut(X, y)), "loader= is a generator, which can be iterated once"),
        (lambda X, y: iter(DataLoader(TensorDataset(X, y))), "which can be iterated once.*Give the DataLoader itself"),
        (lambda X, y: TensorDataset(X, y), r"loader= is a dataset \(TensorDataset\).*Wrap it: DataLoader"),
        (lambda X, y: 5, "of type 'int' and cannot be iterated"),
        (lambda X, y: None, "of type 'NoneType' and cannot be iterated"),
        (lambda X, y: [], "The loader is empty: it yields no batch"),
        (lambda X, y: DataLoader(TensorDataset(X[:5], y[:5]), batch_size=10, drop_last=True), "The loader is empty"),
        (lambda X, y: DataLoader(TensorDataset(X), batch_size=10), "Batch 1 of the loader is a list of Tensor, not a pair"),
        (lambda X, y: (X, y), r"Batch 1 of the loader is a tensor of shape \(96, 3\), not a pair"),
        (lambda X, y: [(X, y, y)], "is a tuple of Tensor, Tensor, Tensor, not a pair"),
        (lambda X, y: [{"inputs": X, "targets": y}], "Batch 1 of the loader is a dict"),
        (lambda X, y: [(X.numpy(), y.numpy())], "is a tuple of ndarray, ndarray"),
        (lambda X, y: [()], "is a tuple of nothing"),
        (lambda X, y: [(X.reshape(96, 1, 3), y)], r"inputs of shape \(96, 1, 3\).*flatten\(1\)"),
        (lambda X, y: [(X[0, 0], y)], r"inputs of shape \(\)"),
        (lambda X, y: [(X[:, :0], y)], r"inputs of shape \(96, 0\)"),
        (lambda X, y: [(X, torch.hstack([y, y]))], r"targets of shape \(96, 2\).*a regression has one response"),
        (lambda X, y: [(X, y[0, 0])], r"targets of shape \(\)"),
        (lambda X, y: [(X, y[:, :, None])], r"targets of shape \(96, 1, 1\)"),
        (lambda X, y: [(X, y[:1])], "96 rows of inputs and 1 target. Give one for each row"),
        (lambda X, y: [(X.to(torch.complex64), y)], r"has inputs of dtype torch.complex64"),
        (lambda X, y: [(X, y.to_sparse())], r"has targets of dtype torch.float64 and layout torch.sparse_coo.*to_dense"),
        (lambda X, y: [(X, y), (X[:, :2], y)], "Batch 2 of the loader has 2 features, and the batches before have 3"),
        (lambda X, y: [(X, y), (X, "y")], "Batch 2 of the loader is a tuple of Tensor, str"),
        (lambda X, y: DataLoader(Failing(), batch_size=5), "failed at batch 3: KeyError: 'no such image'"),
    ],
)  # fmt: skip
def test_loaders_that_cannot_be_used(loader, says):
    with pytest.raises(DataError, match=says):
        list(iter_batches(LoaderSource(loader(*rows())), ["y"]))


def test_pairs_are_the_tensors_of_the_loader_in_the_shape_of_the_loop():
    X, y = rows(dtype=torch.float16, column=False)
    found = list(iter_pairs(cut(X, y, 40)))
    assert [(len(a), a.shape[1], b.shape) for a, b in found] == [(40, 3, (40, 1)), (40, 3, (40, 1)), (16, 3, (16, 1))]
    assert found[0][0].data_ptr() == X.data_ptr()
    assert found[0][1].dtype == torch.float16
    assert torch.equal(torch.cat([b for _, b in found])[:, 0], y)


# --- the module as a function ---


class Line(nn.Module):
    """Slope and intercept as scalars, as tutorials write it."""

    def __init__(self):
        super().__init__()
        self.slope, self.intercept = nn.Parameter(torch.tensor(2.5)), nn.Parameter(torch.tensor(-1.25))

    def forward(self, x):
        return self.slope * x + self.intercept


class Through(nn.Module):
    """A function around a linear layer."""

    def __init__(self, function, features=3, bias=True):
        super().__init__()
        self.layer, self.function = nn.Linear(features, 1, bias=bias), function

    def forward(self, x):
        return self.function(self.layer, x, self.training)


class Halves(nn.Module):
    """One layer for each of two groups of features, and no other bias."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(2, 1)

    def forward(self, x):
        return self.a(x[:, :1]) + self.b(x[:, 1:])


def by_hand(module, X):
    """Work the outputs out as floats, one row at a time."""
    with torch.no_grad():
        return torch.tensor([copy.deepcopy(module).eval().double()(row[None].double()).item() for row in X], dtype=torch.float64)


PLAIN = {
    "linear": lambda: nn.Linear(3, 1),
    "linear without bias": lambda: nn.Linear(3, 1, bias=False),
    "float64": lambda: nn.Linear(3, 1).double(),
    "float16": lambda: nn.Linear(3, 1).half(),
    "sequential": lambda: nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)),
    "dropout that drops nothing": lambda: nn.Sequential(nn.Dropout(0.0), nn.Linear(3, 1)),
    "squeezed": lambda: Through(lambda layer, x, _: layer(x).squeeze()),
    "casts by itself": lambda: Through(lambda layer, x, _: layer(x.float())),
    "two groups": Halves,
    "zero": lambda: _zeroed(nn.Linear(3, 1)),
}


def _zeroed(layer):
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_linear_module_is_read_exactly(kind):
    torch.manual_seed(1)
    module = PLAIN[kind]()
    read = affine_form(module, 3)
    weights = [p for name, p in module.named_parameters() if name.endswith("weight")]
    bias = [p for name, p in module.named_parameters() if name.endswith("bias")]
    np.testing.assert_array_equal(read.weight, torch.cat(weights, dim=1)[0].detach().double().numpy())
    assert read.bias == (bias[0].item() if bias else None)
    assert (read.is_quadratic, read.is_plain, read.frozen_parameters, read.warnings) == (True, True, (), ())
    assert read.trainable_parameters == tuple(name for name, _ in module.named_parameters())


def test_a_line_of_scalars():
    read = affine_form(Line(), 1)
    assert (read.weight.tolist(), read.bias, read.is_plain) == ([2.5], -1.25, True)


def test_stacked_layers_are_linear_but_not_quadratic():
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 1))
    read = affine_form(module, 3)
    X = torch.randn(5, 3, dtype=torch.float64)
    assert_close(X.numpy() @ read.weight + read.bias, by_hand(module, X), rtol=1e-12, atol=1e-14)
    assert (read.is_quadratic, read.is_plain) == (False, False)
    assert "more than one trainable layer" in read.warnings[0]
    assert "'0.weight', '0.bias', '1.weight', '1.bias'" in read.warnings[0]
    for parameter in module[0].parameters():
        parameter.requires_grad_(False)
    read = affine_form(module, 3)  # with the first layer frozen the problem is quadratic, but not in the coefficients
    assert (read.is_quadratic, read.is_plain, read.frozen_parameters, read.trainable_parameters) == (
        True,
        False,
        ("0.weight", "0.bias"),
        ("1.weight", "1.bias"),
    )
    assert len(read.warnings) == 1
    assert "parameters '0.weight', '0.bias' are frozen" in read.warnings[0]


@pytest.mark.parametrize("frozen", ["bias", "weight"])
def test_a_frozen_parameter_is_reported(frozen):
    module = nn.Linear(3, 1)
    getattr(module, frozen).requires_grad_(False)
    read = affine_form(module, 3)
    assert (read.frozen_parameters, read.is_quadratic, read.is_plain) == ((frozen,), True, False)
    assert read.bias == module.bias.item()
    assert (
        f"parameters '{frozen}' are frozen (requires_grad=False), so training ends at the optimum of the others" in read.warnings[0]
    )
    module.requires_grad_(False)
    assert "and there are no others: no step moves it" in affine_form(module, 3).warnings[0]


OTHERS = {
    "ten times the layer": lambda layer, x, _: 10 * layer(x),
    "inputs standardized inside": lambda layer, x, _: layer((x - 3.0) / 7.0),
    "a constant added": lambda layer, x, _: layer(x) + 2.0,
    "the layer twice": lambda layer, x, _: layer(x) + layer(x),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("bias", [True, False])
def test_parameters_that_are_not_the_coefficients(kind, bias):
    torch.manual_seed(1)
    module = Through(OTHERS[kind], bias=bias)
    read = affine_form(module, 3)
    X = torch.randn(5, 3, dtype=torch.float64)
    assert_close(X.numpy() @ read.weight + (read.bias or 0.0), by_hand(module, X), rtol=1e-12, atol=1e-14)
    shifts = kind in ("inputs standardized inside", "a constant added")
    assert (read.bias is not None) == (bias or shifts)
    assert read.is_quadratic
    # Only a constant that the bias takes up anyhow leaves the steps of the coefficients as they are.
    assert read.is_plain == (kind == "a constant added" and bias)
    assert read.is_plain or "these are not its coefficients" in read.warnings[0]


def test_plain_is_a_statement_about_steps():
    """One step of SGD on the module against one on the coefficients: the same where it is said to be."""
    torch.manual_seed(2)
    X, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64)
    Z = np.hstack([np.ones((20, 1)), X.numpy()])
    modules = [nn.Linear(3, 1), Halves(), *(Through(function) for function in OTHERS.values())]
    seen = set()
    for module in (each.double() for each in modules):
        before = affine_form(module, 3)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        nn.functional.mse_loss(module(X), y).backward()
        optimizer.step()
        after = affine_form(module, 3)
        w = np.concatenate([[before.bias], before.weight])
        step = w - 0.1 * 2 / 20 * Z.T @ (Z @ w - y.numpy()[:, 0])
        same = bool(np.allclose(np.concatenate([[after.bias], after.weight]), step, rtol=1e-10, atol=1e-12))
        assert same == before.is_plain
        seen.add(same)
    assert seen == {True, False}


def test_nothing_of_the_module_is_changed():
    class Counting(Through):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x)

    module = Counting(lambda layer, x, _: layer(x)).eval()
    module.register_buffer("seen", torch.zeros(1))
    module(torch.ones(2, 3)).sum().backward()
    before, gradients, calls = copy.deepcopy(module.state_dict()), [p.grad.clone() for p in module.parameters()], module.calls
    random = torch.get_rng_state()
    with torch.inference_mode():
        affine_form(module, 3)
    with torch.no_grad():
        affine_form(module, 3)
    assert not module.training
    assert module.calls == calls
    assert all(torch.equal(a, b) for a, b in zip(before.values(), module.state_dict().values(), strict=True))
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert module.layer.weight.dtype == torch.float32


def _scripted():
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return torch.jit.trace(nn.Linear(3, 1), torch.zeros(2, 3))


class Holding(nn.Module):
    """Calls its layer through a function, which a copy has from the original."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.call = lambda x: self.layer(x)

    def forward(self, x):
        return self.call(x)


class Unpickled(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("only one of us")


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (lambda: "linear", "model= is a str, not a torch module"),
        (lambda: nn.Linear, "model= is the class Linear, not a torch module"),
        (lambda: nn.Identity(), r"\(Identity\) has no parameters"),
        (_scripted, r"made by torch\.jit"),
        (lambda: nn.LazyLinear(1), "lazy layer without values"),
        (lambda: nn.Linear(3, 1, device="meta"), "'weight' is of dtype torch.float32 on meta"),
        (lambda: nn.Linear(3, 1, dtype=torch.complex64), "'weight' is of dtype torch.complex64"),
        (lambda: nn.init.constant_(nn.Linear(3, 1).weight, torch.nan), "model= is a Parameter"),
        (lambda: nn.Linear(5, 1), r"fails on inputs of shape \(6, 3\).*as many inputs as there are features"),
        (lambda: nn.Linear(3, 2), r"inputs of shape \(6, 3\) into outputs of shape \(6, 2\).*nn\.Linear\(3, 1\)"),
        (lambda: Through(lambda layer, x, _: layer(x).mean()), r"outputs of shape \(\)"),
        (lambda: Through(lambda layer, x, _: (layer(x), 1)), "into outputs of type tuple"),
        (lambda: nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 1)),
         r"has a Dropout \('0'\) with p=0\.3, which drops inputs at random"),
        (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), r"BatchNorm1d \('0'\), which scales by the standard deviation"),
        (lambda: Through(lambda layer, x, t: layer(nn.functional.dropout(x, 0.2, t))), "other outputs when it is called again"),
        (lambda: Through(lambda layer, x, t: layer(x + torch.randn_like(x))), "other outputs when it is called again"),
        (lambda: Through(lambda layer, x, t: layer(x) if t else 2 * layer(x)), "in training mode than in evaluation mode"),
        (lambda: Through(lambda layer, x, _: layer(x - x.mean(0))), "depends on the other rows of its batch"),
        (lambda: Through(lambda layer, x, _: layer(x).detach()), "stops the gradient"),
        (lambda: Through(lambda layer, x, _: x @ layer.weight.detach().T), "No gradient reaches the model's parameters"),
        (lambda: nn.Sequential(nn.Linear(3, 1), nn.ReLU()), "not linear in its inputs: at inputs of size"),
        (lambda: nn.Sequential(_zeroed(nn.Linear(3, 1)), nn.ReLU()), "not linear in its inputs"),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), "not linear in its inputs"),
        (lambda: Through(lambda layer, x, _: layer(x) + 1e-4 * x[:, :1] * x[:, 1:2]), "Remove activations and products of inputs"),
        (lambda: Through(lambda layer, x, _: layer(x).clamp(-1e5, 1e5)), "not linear in its inputs"),
        (lambda: Through(lambda layer, x, _: layer(x).abs()), "not linear in its inputs"),
        (lambda: nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 1)), "not linear in its inputs"),
        (Holding, "No gradient reaches the model's parameters.*refers to another module"),
        (lambda: Unpickled(3, 1), "cannot be copied.*only one of us"),
    ],
)  # fmt: skip
def test_modules_that_are_refused(module, says):
    torch.manual_seed(4)
    with pytest.raises(OptionError, match=says):
        affine_form(module(), 3)


def test_a_module_that_has_diverged():
    module = nn.Linear(3, 1)
    nn.init.constant_(module.weight, torch.nan)
    with pytest.raises(OptionError, match="'weight' is not finite: it has diverged"):
        affine_form(module, 3)


def test_a_compiled_module_is_not_compiled_for_this():
    def refuse(graph, inputs):
        raise AssertionError

    layer = nn.Linear(3, 1)
    read = affine_form(torch.compile(layer, backend=refuse), 3)
    assert (read.is_plain, read.bias) == (True, layer.bias.item())


def test_many_features_and_rounding():
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        layer = nn.Linear(20_000, 1).to(dtype)
        read = affine_form(nn.Sequential(layer), 20_000)
        np.testing.assert_array_equal(read.weight, layer.weight[0].detach().double().numpy())
        assert read.is_plain
    module = Through(lambda layer, x, _: layer(x.float()), features=5_000)
    assert affine_form(module, 5_000).is_plain  # in single precision all the way


def test_a_module_trained_on_a_loader_reaches_the_answer_of_its_loader():
    X, y = rows(column=False)
    x = (X[:, 0] - X[:, 0].mean()) / X[:, 0].std(correction=0)  # H = 2 I, so that one step at lr = 0.5 arrives
    loader = DataLoader(TensorDataset(x, y), batch_size=N)
    module = nn.Sequential(nn.Linear(1, 1)).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for inputs, targets in iter_pairs(loader):
        nn.functional.mse_loss(module(inputs), targets).backward()
        optimizer.step()
    read = affine_form(module, 1)
    assert_close([read.bias, *read.weight], fitted(loader).params, rtol=1e-12)


class Shifting(Dataset):
    """Rows that a worker moves a little each time, by torch's generator."""

    def __init__(self, n=24):
        g = torch.Generator().manual_seed(2)
        self.X = torch.randn(n, 2, generator=g, dtype=torch.float64)
        self.y = self.X @ torch.tensor([1.0, -2.0], dtype=torch.float64)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


@pytest.mark.parametrize("begun", [False, True])
def test_workers_that_persist_give_the_batches_of_the_users_own_loop(begun):
    """The scans before and between the epochs have workers of their own, so that the loop meets those of the loader as it would."""

    def trained(loop):
        loader = DataLoader(Shifting(), batch_size=8, shuffle=True, num_workers=1, persistent_workers=True)
        model = nn.Linear(2, 1).double()
        with torch.no_grad():
            model.weight.fill_(0.5)
            model.bias.fill_(0.1)
        torch.manual_seed(9)
        if begun:
            next(iter(loader))
        loop(model, loader)
        return [parameter.detach().clone() for parameter in model.parameters()]

    def theirs(model, loader):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            for inputs, labels in loader:
                optimizer.zero_grad()
                nn.functional.mse_loss(model(inputs), labels[:, None]).backward()
                optimizer.step()

    ours = trained(lambda model, loader: sq.train(model=model, loader=loader, lr=0.1, epochs=3))
    for a, b in zip(ours, trained(theirs), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("form", ["X", "dict"])
def test_tensors_with_gradients_and_short_floats_are_numbers(form):
    """bfloat16 has numbers that float32 holds exactly."""
    data = Shifting(40)
    X, y = data.X.bfloat16(), (data.y + 0.1 * data.X[:, 0] ** 2).requires_grad_()
    given = {"X": X, "y": y} if form == "X" else {"formula": "y ~ x1 + x2", "data": {"x1": X[:, 0], "x2": X[:, 1], "y": y}}
    A = np.column_stack([np.ones(40), X.double().numpy()])
    truth, *_ = np.linalg.lstsq(A, y.detach().numpy(), rcond=None)
    assert_close(sq.ols(**given).params, truth, rtol=1e-10)
    run = sq.train(**given, lr=0.5, epochs=300, dtype="float64")
    assert_close(run.params, truth, rtol=1e-8)


def test_rows_to_validate_with_may_be_arrays_like_those_to_train_on():
    data = Shifting(40)
    X, y = data.X.numpy(), data.y.numpy()
    named = {"x1": X[30:, 0], "x2": X[30:, 1], "y": y[30:]}
    expected = sq.train(X=X[:30], y=y[:30], lr=0.1, epochs=4, validation=named).history
    for pair in [(X[30:], y[30:]), (data.X[30:], data.y[30:, None]), (X[30:].tolist(), y[30:].tolist())]:
        assert sq.train(X=X[:30], y=y[:30], lr=0.1, epochs=4, validation=pair).history.equals(expected)
    for pair, message in [
        ((X[30:], y[29:]), "10 rows and y has 11 values"),
        ((X[30:, :1], y[30:]), "1 column, and X= has 2"),
        ((X[30:], y[30:], y[30:]), "3 parts"),
    ]:
        with pytest.raises(DataError, match=message):
            sq.train(X=X[:30], y=y[:30], validation=pair)


def test_rows_that_each_epoch_redraws_have_no_theory():
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.normal(size=(97, 2)))
    rows = TensorDataset(X, X @ torch.tensor([1.0, -2.0], dtype=X.dtype) + torch.tensor(rng.normal(size=97)))
    for loader, redrawn in (
        (DataLoader(rows, batch_size=16, sampler=RandomSampler(rows, replacement=True)), True),
        (DataLoader(rows, batch_size=16, shuffle=True, drop_last=True), True),
        (DataLoader(rows, batch_size=16, shuffle=True), False),
        (DataLoader(rows, batch_size=16, drop_last=True), False),
    ):
        run = sq.train(model=torch.nn.Linear(2, 1).double(), loader=loader, lr=0.1, epochs=30)
        certificate = sq.certify(sq.ols("y ~ x1 + x2", run.source), run)
        assert (run.theory.lr_limit is None) == redrawn
        assert (certificate.verdict == "different rows") == redrawn
