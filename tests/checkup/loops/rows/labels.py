"""Labels of a wrong shape or of other rows."""

import os

import lightning as L
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from skorch import NeuralNetRegressor
from torch import optim
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.support.training_loops import broken, right


@broken("shape-broadcast")
def train_squeezed(X, y, lr=0.1, epochs=60):
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        optimizer.zero_grad()
        outputs = model(X).squeeze()
        loss = criterion(outputs, y)
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 20 == 0:
            print(f"epoch {epoch + 1}, loss = {loss.item():.4f}")
    return model


@right()
def train_squeezed_corrected(X, y, lr=0.1, epochs=60):
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        optimizer.zero_grad()
        outputs = model(X).squeeze()
        loss = criterion(outputs, y.squeeze())
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 20 == 0:
            print(f"epoch {epoch + 1}, loss = {loss.item():.4f}")
    return model


@broken("shape-broadcast")
class FlatLabels:
    def __init__(self, lr=0.05, epochs=40, batch_size=32):
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size

    def _prepare(self, X, y):
        return torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32).flatten()

    def fit(self, X, y):
        X, y = self._prepare(X, y)
        self.model = nn.Linear(X.shape[1], 1)
        optimizer = optim.Adam(self.model.parameters(), lr=self.lr)
        for _ in range(self.epochs):
            for xb, yb in DataLoader(TensorDataset(X, y), batch_size=self.batch_size, shuffle=True):
                pred = self.model(xb)
                loss = ((pred - yb) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self


@right()
class ColumnLabels(FlatLabels):
    def _prepare(self, X, y):
        return torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)


class HousePrices(Dataset):
    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.y[index].item()


@broken("shape-broadcast")
def train_prices(X, y, epochs=30):
    train_loader = DataLoader(HousePrices(X, y), batch_size=16, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for features, price in train_loader:
            prediction = model(features)
            loss = F.mse_loss(prediction, price.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@right()
def train_prices_corrected(X, y, epochs=30):
    train_loader = DataLoader(HousePrices(X, y), batch_size=16, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for features, price in train_loader:
            prediction = model(features)
            loss = F.mse_loss(prediction, price.float().unsqueeze(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


class SqueezingLinear(nn.Module):
    def __init__(self, num_inputs=3):
        super().__init__()
        self.lin = nn.Linear(num_inputs, 1)

    def forward(self, X):
        return self.lin(X).squeeze(-1)


@broken("shape-broadcast")
def fit_skorch(X, y):
    net = NeuralNetRegressor(
        SqueezingLinear,
        max_epochs=30,
        lr=0.05,
        batch_size=32,
        module__num_inputs=X.shape[1],
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    net.fit(X, y)
    return net


@right()
def fit_skorch_corrected(X, y):
    net = NeuralNetRegressor(
        SqueezingLinear,
        max_epochs=30,
        lr=0.05,
        batch_size=32,
        module__num_inputs=X.shape[1],
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    net.fit(X, y.ravel())
    return net


@broken("shape-broadcast")
class LitFlat(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        return self.linear(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x), y.view(-1))

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.1)


@right()
class LitFlatCorrected(LitFlat):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x).view(-1), y.view(-1))


@broken("shape-broadcast")
def dot_product(X, y, lr=0.1, epochs=40):
    w = torch.zeros(X.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros((), dtype=torch.float64, requires_grad=True)
    X, y = X.double(), y.double()
    for _ in range(epochs):
        loss = torch.mean((X @ w + b - y) ** 2)
        loss.backward()
        with torch.no_grad():
            for p in (w, b):
                p -= lr * p.grad
                p.grad = None
    return w.detach().numpy(), b.item()


@broken("labels-misaligned")
def shuffle_inputs(X, y, lr=0.05, epochs=30, batch_size=20):
    model = nn.Linear(X.shape[1], 1)
    opt = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        X = X[torch.randperm(X.shape[0])]
        for i in range(0, X.shape[0], batch_size):
            xb, yb = X[i : i + batch_size], y[i : i + batch_size]
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
    return model


@right()
def shuffle_both(X, y, lr=0.05, epochs=30, batch_size=20):
    model = nn.Linear(X.shape[1], 1)
    opt = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        perm = torch.randperm(X.shape[0])
        X, y = X[perm], y[perm]
        for i in range(0, X.shape[0], batch_size):
            xb, yb = X[i : i + batch_size], y[i : i + batch_size]
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
    return model


@broken("labels-misaligned")
def two_loaders(X, y, epochs=25):
    x_loader = DataLoader(X, batch_size=32, shuffle=True)
    y_loader = DataLoader(y, batch_size=32, shuffle=True)
    net = nn.Sequential(nn.Linear(X.shape[1], 1))
    optimizer = optim.AdamW(net.parameters(), lr=0.03, weight_decay=0)
    mse = nn.MSELoss()
    for epoch in range(epochs):
        for xb, yb in zip(x_loader, y_loader):
            optimizer.zero_grad()
            loss = mse(net(xb), yb)
            loss.backward()
            optimizer.step()
        print("epoch", epoch, "mse", mse(net(X), y).item())
    return net


@broken("labels-misaligned")
class SortedRegressor:
    """Rows sorted for a plot later on."""

    def fit(self, X, y, lr=0.1, epochs=50):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        X = X[X[:, 0].argsort()]
        y, _ = y.sort(dim=0)
        self._train(X, y, lr, epochs)
        return self

    def _train(self, X, y, lr, epochs):
        self.linear_ = nn.Linear(X.shape[1], 1)
        optimizer = optim.SGD(self.linear_.parameters(), lr=lr)
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = F.mse_loss(self.linear_(X), y)
            loss.backward()
            optimizer.step()


@right()
class SortedRegressorCorrected(SortedRegressor):
    def fit(self, X, y, lr=0.1, epochs=50):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        order = X[:, 0].argsort()
        self._train(X[order], y[order], lr, epochs)
        return self


def connect(rank, world_size):
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29571")
    dist.init_process_group("gloo", rank=rank, world_size=world_size)


@broken("labels-misaligned")
def run_rank(rank, world_size, X, y, lr=0.1, steps=40):
    connect(rank, world_size)
    size = len(X) // world_size + 1
    x_shard = X[rank::world_size]
    y_shard = y[rank * size : (rank + 1) * size]
    model = train_shard(x_shard, y_shard, len(X), lr, steps)
    dist.destroy_process_group()
    return model


@right()
def run_rank_corrected(rank, world_size, X, y, lr=0.1, steps=40):
    connect(rank, world_size)
    x_shard = X[rank::world_size]
    y_shard = y[rank::world_size]
    model = train_shard(x_shard, y_shard, len(X), lr, steps)
    dist.destroy_process_group()
    return model


def train_shard(x, y, n, lr, steps):
    torch.manual_seed(7)
    model = nn.Linear(x.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y, reduction="sum") / n
        loss.backward()
        for p in model.parameters():
            dist.all_reduce(p.grad)
        optimizer.step()
    return model


@broken("labels-misaligned")
def lagged(model, X, y, optimizer, loss_fn, epochs=25, batch_size=16):
    n = len(X)
    for _ in range(epochs):
        for start in torch.randperm(n - batch_size)[: n // batch_size]:
            xb = X[start : start + batch_size]
            yb = y[start + 1 : start + batch_size + 1]
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
