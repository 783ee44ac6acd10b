"""Gradients or steps that are too large by a factor."""

import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("sum-for-mean")
def train_sum(X, y, lr=1e-3, epochs=100):
    torch.manual_seed(1)
    model = nn.Linear(X.shape[1], 1)
    loss_fn = nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for t in range(epochs):
        loss = loss_fn(model(X), y)
        if t % 25 == 24:
            print(t, loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@right()
def train_mean(X, y, lr=1e-1, epochs=100):
    torch.manual_seed(1)
    model = nn.Linear(X.shape[1], 1)
    loss_fn = nn.MSELoss(reduction="mean")
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for t in range(epochs):
        loss = loss_fn(model(X), y)
        if t % 25 == 24:
            print(t, loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@broken("sum-for-mean")
def train_squared_error(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            error = model(xb) - yb
            loss = (error**2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@right()
def train_squared_error_corrected(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            error = model(xb) - yb
            loss = (error**2).sum() / len(xb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@broken("sum-for-mean")
def batch_gradient_descent(X, y, learning_rate=0.002, n_iterations=50):
    w = torch.zeros((X.shape[1], 1))
    bias = torch.zeros(1)
    cost_history = []
    for _ in range(n_iterations):
        y_pred = X @ w + bias
        diff = y_pred - y
        w -= learning_rate * 2 * X.T @ diff
        bias -= learning_rate * 2 * diff.sum()
        cost_history.append((diff**2).mean().item())
    return w, bias, cost_history


@right()
def batch_gradient_descent_corrected(X, y, learning_rate=0.2, n_iterations=50):
    w = torch.zeros((X.shape[1], 1))
    bias = torch.zeros(1)
    cost_history = []
    for _ in range(n_iterations):
        y_pred = X @ w + bias
        diff = y_pred - y
        w -= learning_rate * 2 / len(X) * X.T @ diff
        bias -= learning_rate * 2 * diff.mean()
        cost_history.append((diff**2).mean().item())
    return w, bias, cost_history


@broken("sum-for-mean")
class SumModule(L.LightningModule):
    def __init__(self, n_features=3, learning_rate=2e-3):
        super().__init__()
        self.model = nn.Linear(n_features, 1)
        self.learning_rate = learning_rate

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y, reduction="sum")
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


@right()
class MeanModule(SumModule):
    def __init__(self, n_features=3, learning_rate=5e-2):
        super().__init__(n_features, learning_rate)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x), y)


@broken("accumulation-not-divided")
def train_accumulated(model, loader, optimizer, criterion, epochs, accumulation_steps=3):
    model.train()
    for _ in range(epochs):
        optimizer.zero_grad()
        for i, (inputs, labels) in enumerate(loader):
            predictions = model(inputs)
            loss = criterion(predictions, labels)
            loss.backward()
            if (i + 1) % accumulation_steps == 0 or (i + 1) == len(loader):
                optimizer.step()
                optimizer.zero_grad()


@right()
def train_accumulated_corrected(model, loader, optimizer, criterion, epochs, accumulation_steps=3):
    model.train()
    for _ in range(epochs):
        optimizer.zero_grad()
        for i, (inputs, labels) in enumerate(loader):
            predictions = model(inputs)
            loss = criterion(predictions, labels)
            loss = loss / accumulation_steps
            loss.backward()
            if (i + 1) % accumulation_steps == 0 or (i + 1) == len(loader):
                optimizer.step()
                optimizer.zero_grad()


@broken("accumulation-not-divided")
class MicroBatchRegressor:
    def __init__(self, lr=0.03, epochs=30, batch_size=54, micro_batches=3):
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.micro_batches = micro_batches

    def backward(self, xb, yb):
        for x, y in zip(xb.chunk(self.micro_batches), yb.chunk(self.micro_batches), strict=True):
            F.mse_loss(self.net(x), y).backward()

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float)
        y = torch.as_tensor(y, dtype=torch.float).reshape(-1, 1)
        self.net = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=self.lr)
        for _ in range(self.epochs):
            for idx in torch.randperm(len(X)).split(self.batch_size):
                optimizer.zero_grad(set_to_none=True)
                self.backward(X[idx], y[idx])
                optimizer.step()
        return self


@right()
class MicroBatchRegressorCorrected(MicroBatchRegressor):
    def backward(self, xb, yb):
        for x, y in zip(xb.chunk(self.micro_batches), yb.chunk(self.micro_batches), strict=True):
            loss = F.mse_loss(self.net(x), y) * len(x) / len(xb)
            loss.backward()


@broken("accumulation-not-divided")
def train_amp_accumulated(model, loader, optimizer, criterion, epochs):
    scaler = torch.amp.GradScaler("cpu")
    k = 4
    for _ in range(epochs):
        optimizer.zero_grad()
        for step, (x, y) in enumerate(loader, start=1):
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                out = model(x)
                loss = criterion(out, y)
            scaler.scale(loss).backward()
            if step % k == 0 or step == len(loader):
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()


@right()
def train_amp_accumulated_corrected(model, loader, optimizer, criterion, epochs):
    scaler = torch.amp.GradScaler("cpu")
    k = 4
    for _ in range(epochs):
        optimizer.zero_grad()
        for step, (x, y) in enumerate(loader, start=1):
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                out = model(x)
                loss = criterion(out, y) / k
            scaler.scale(loss).backward()
            if step % k == 0 or step == len(loader):
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()


@broken("accumulation-not-divided", "sum-for-mean")
def train_per_sample(X, y, lr=1e-3, epochs=10):
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        for x_i, y_i in zip(X, y, strict=True):
            loss = F.mse_loss(model(x_i), y_i)
            loss.backward()
        optimizer.step()
    return model


@right()
def train_per_sample_corrected(X, y, lr=1e-1, epochs=10):
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        for x_i, y_i in zip(X, y, strict=True):
            loss = F.mse_loss(model(x_i), y_i) / len(X)
            loss.backward()
        optimizer.step()
    return model


class ManualAccumulation(L.LightningModule):
    def __init__(self, dim=3, n=3):
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.Linear(dim, 1)
        self.n = n

    def compute_loss(self, batch):
        x, y = batch
        return (self.net(x) - y).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.03)


@broken("accumulation-not-divided")
class ManualAccumulationSum(ManualAccumulation):
    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        loss = self.compute_loss(batch)
        self.manual_backward(loss)
        if (batch_idx + 1) % self.n == 0 or self.trainer.is_last_batch:
            opt.step()
            opt.zero_grad()


@right()
class ManualAccumulationMean(ManualAccumulation):
    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        loss = self.compute_loss(batch) / self.n
        self.manual_backward(loss)
        if (batch_idx + 1) % self.n == 0 or self.trainer.is_last_batch:
            opt.step()
            opt.zero_grad()


@broken("sum-for-mean")
def train_with_norm(X, y, epochs=40):
    dl = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    net = nn.Linear(X.shape[1], 1)
    opt = torch.optim.SGD(net.parameters(), lr=0.003)
    for _ in range(epochs):
        for features, label in dl:
            opt.zero_grad()
            loss = torch.norm(net(features) - label) ** 2
            loss.backward()
            opt.step()
    return net
