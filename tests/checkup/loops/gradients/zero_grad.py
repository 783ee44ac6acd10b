"""Gradients that are not cleared."""

import os

import lightning as L
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("no-zero-grad")
def linear_regression(X, y, lr=0.1, epochs=50):
    torch.manual_seed(42)
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        y_pred = model(X)
        loss = criterion(y_pred, y)
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 10 == 0:
            print(f"Epoch [{epoch + 1}/{epochs}], Loss: {loss.item():.4f}")
    return model


@right()
def linear_regression_corrected(X, y, lr=0.1, epochs=50):
    torch.manual_seed(42)
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        y_pred = model(X)
        loss = criterion(y_pred, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 10 == 0:
            print(f"Epoch [{epoch + 1}/{epochs}], Loss: {loss.item():.4f}")
    return model


@broken("no-zero-grad")
def train_network(model, loader, optimizer, criterion, epochs):
    model.train()
    for epoch in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()


@right()
def train_network_corrected(model, loader, optimizer, criterion, epochs):
    model.train()
    for epoch in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()


@broken("no-zero-grad")
class AdamRegressor:
    def __init__(self, lr=0.05, max_iter=40, batch_size=32):
        self.lr = lr
        self.max_iter = max_iter
        self.batch_size = batch_size

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.model_ = nn.Sequential(nn.Linear(X.shape[1], 1))
        opt = optim.Adam(self.model_.parameters(), lr=self.lr)
        dl = DataLoader(TensorDataset(X, y), batch_size=self.batch_size, shuffle=True)
        opt.zero_grad()
        for _ in range(self.max_iter):
            for xb, yb in dl:
                loss = F.mse_loss(self.model_(xb), yb)
                loss.backward()
                opt.step()
        return self

    def predict(self, X):
        with torch.no_grad():
            return self.model_(torch.as_tensor(X, dtype=torch.float32)).numpy()


@right()
class AdamRegressorCorrected(AdamRegressor):
    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.model_ = nn.Sequential(nn.Linear(X.shape[1], 1))
        opt = optim.Adam(self.model_.parameters(), lr=self.lr)
        dl = DataLoader(TensorDataset(X, y), batch_size=self.batch_size, shuffle=True)
        for _ in range(self.max_iter):
            for xb, yb in dl:
                opt.zero_grad()
                loss = F.mse_loss(self.model_(xb), yb)
                loss.backward()
                opt.step()
        return self


@broken("no-zero-grad")
def from_scratch(X, y, lr=0.05, n_epochs=100):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    losses = []
    for _ in range(n_epochs):
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
            w.grad.zero_()
        losses.append(loss.item())
    return w, b, losses


@right()
def from_scratch_corrected(X, y, lr=0.05, n_epochs=100):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    losses = []
    for _ in range(n_epochs):
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
            w.grad.zero_()
            b.grad.zero_()
        losses.append(loss.item())
    return w, b, losses


@broken("no-zero-grad")
class LitRegression(L.LightningModule):
    def __init__(self, in_features=3, lr=0.02):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.layer = nn.Linear(in_features, 1)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        opt = self.optimizers()
        loss = F.mse_loss(self(x), y)
        self.manual_backward(loss)
        opt.step()
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


@right()
class LitRegressionCorrected(LitRegression):
    def training_step(self, batch, batch_idx):
        x, y = batch
        opt = self.optimizers()
        opt.zero_grad()
        loss = F.mse_loss(self(x), y)
        self.manual_backward(loss)
        opt.step()
        return loss


@broken("no-zero-grad")
def train_with_closure(model, X, y, optimizer, criterion, epochs=60):
    def closure():
        loss = criterion(model(X), y)
        loss.backward()
        return loss

    history = []
    for _ in range(epochs):
        loss = optimizer.step(closure)
        history.append(loss.item())
    return history


@right()
def train_with_closure_corrected(model, X, y, optimizer, criterion, epochs=60):
    def closure():
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        return loss

    history = []
    for _ in range(epochs):
        loss = optimizer.step(closure)
        history.append(loss.item())
    return history


@broken("no-zero-grad")
def fit_batches(x, y):
    net = nn.Linear(3, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(30):
        perm = torch.randperm(len(x))
        optimizer.zero_grad()
        for i in range(0, len(x), 20):
            idx = perm[i : i + 20]
            loss = nn.functional.mse_loss(net(x[idx]), y[idx])
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            print(epoch, F.mse_loss(net(x), y).item())
    return net


@right()
def fit_batches_corrected(x, y):
    net = nn.Linear(3, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(30):
        perm = torch.randperm(len(x))
        for i in range(0, len(x), 20):
            idx = perm[i : i + 20]
            loss = nn.functional.mse_loss(net(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            print(epoch, F.mse_loss(net(x), y).item())
    return net


def setup(rank, world_size):
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", "29512")
    dist.init_process_group("gloo", rank=rank, world_size=world_size)


@broken("no-zero-grad")
def train_worker(rank, world_size, X, y, epochs=40):
    setup(rank, world_size)
    torch.manual_seed(0)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x_local, y_local = X[rank::world_size], y[rank::world_size]
    for _ in range(epochs):
        loss = ((model(x_local) - y_local) ** 2).sum() / len(X)
        loss.backward()
        for p in model.parameters():
            dist.all_reduce(p.grad, op=dist.ReduceOp.SUM)
        optimizer.step()
    dist.destroy_process_group()
    return model


@right()
def train_worker_corrected(rank, world_size, X, y, epochs=40):
    setup(rank, world_size)
    torch.manual_seed(0)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x_local, y_local = X[rank::world_size], y[rank::world_size]
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = ((model(x_local) - y_local) ** 2).sum() / len(X)
        loss.backward()
        for p in model.parameters():
            dist.all_reduce(p.grad, op=dist.ReduceOp.SUM)
        optimizer.step()
    dist.destroy_process_group()
    return model


@broken("no-zero-grad")
def sgd_1d(x, y, learning_rate=0.1, iterations=60):
    a = torch.tensor(0.0, requires_grad=True)
    b = torch.tensor(0.0, requires_grad=True)
    for i in range(iterations):
        y_hat = a * x + b
        mse = torch.mean((y_hat - y) ** 2)
        mse.backward()
        a.data -= learning_rate * a.grad.data
        b.data -= learning_rate * b.grad.data
        if i % 10 == 0:
            print("iter", i, "mse", mse.item())
    return a.item(), b.item()


@right()
def sgd_1d_corrected(x, y, learning_rate=0.1, iterations=60):
    a = torch.tensor(0.0, requires_grad=True)
    b = torch.tensor(0.0, requires_grad=True)
    for i in range(iterations):
        y_hat = a * x + b
        mse = torch.mean((y_hat - y) ** 2)
        mse.backward()
        a.data -= learning_rate * a.grad.data
        b.data -= learning_rate * b.grad.data
        a.grad.zero_()
        b.grad.zero_()
        if i % 10 == 0:
            print("iter", i, "mse", mse.item())
    return a.item(), b.item()
