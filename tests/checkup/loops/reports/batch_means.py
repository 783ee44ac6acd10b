"""Losses of an epoch that give a short batch the weight of a whole one."""

import lightning as L
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


def train_one_epoch(model, loader, optimizer, criterion):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()


def test_loop(dataloader, model, loss_fn):
    model.eval()
    num_batches = len(dataloader)
    test_loss = 0
    with torch.no_grad():
        for X, y in dataloader:
            pred = model(X)
            test_loss += loss_fn(pred, y).item()
    return test_loss / num_batches


def test_loop_corrected(dataloader, model, loss_fn):
    model.eval()
    size = len(dataloader.dataset)
    test_loss = 0
    with torch.no_grad():
        for X, y in dataloader:
            pred = model(X)
            test_loss += loss_fn(pred, y).item() * len(X)
    return test_loss / size


test_loop.__test__ = test_loop_corrected.__test__ = False  # pytest


@broken("mean-of-batch-means")
def train_and_test(model, train_loader, val_loader, optimizer, criterion, epochs):
    for t in range(epochs):
        train_one_epoch(model, train_loader, optimizer, criterion)
        train_loss = test_loop(train_loader, model, criterion)
        val_loss = test_loop(val_loader, model, criterion)
        print(f"Epoch {t + 1}  train loss: {train_loss:>8f}  val loss: {val_loss:>8f}")


@right()
def train_and_test_corrected(model, train_loader, val_loader, optimizer, criterion, epochs):
    for t in range(epochs):
        train_one_epoch(model, train_loader, optimizer, criterion)
        train_loss = test_loop_corrected(train_loader, model, criterion)
        val_loss = test_loop_corrected(val_loader, model, criterion)
        print(f"Epoch {t + 1}  train loss: {train_loss:>8f}  val loss: {val_loss:>8f}")


@broken("mean-of-batch-means", "loss-while-moving")
def train_epoch_means(model, loader, optimizer, criterion, epochs):
    history = []
    for epoch in range(epochs):
        running_loss = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        history.append(running_loss / len(loader))
        print("Epoch {} - Training loss: {:.4f}".format(epoch, history[-1]))
    return history


@right()
def train_epoch_means_corrected(model, loader, optimizer, criterion, epochs):
    history = []
    for epoch in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            total = 0.0
            for inputs, labels in loader:
                total += criterion(model(inputs), labels).item() * labels.size(0)
        history.append(total / len(loader.dataset))
        print("Epoch {} - Training loss: {:.4f}".format(epoch, history[-1]))
    return history


@broken("mean-of-batch-means")
class HistoryRegressor:
    def __init__(self, lr=0.05, epochs=20, batch_size=32):
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.model_ = nn.Linear(X.shape[1], 1)
        self.loss_curve_ = []
        opt = torch.optim.SGD(self.model_.parameters(), lr=self.lr, momentum=0.5)
        loader = DataLoader(TensorDataset(X, y), self.batch_size, shuffle=True)
        for _ in range(self.epochs):
            for xb, yb in loader:
                opt.zero_grad(set_to_none=True)
                F.mse_loss(self.model_(xb), yb).backward()
                opt.step()
            self.loss_curve_.append(self._score(loader))
            print(self.loss_curve_[-1])
        return self

    @torch.no_grad()
    def _score(self, loader):
        return np.mean([F.mse_loss(self.model_(xb), yb).item() for xb, yb in loader])


@right()
class HistoryRegressorCorrected(HistoryRegressor):
    @torch.no_grad()
    def _score(self, loader):
        return torch.cat([(self.model_(xb) - yb) ** 2 for xb, yb in loader]).mean().item()


class LitReport(L.LightningModule):
    def __init__(self, in_dim=3):
        super().__init__()
        self.model = nn.Linear(in_dim, 1)
        self.outputs = []

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@broken("mean-of-batch-means")
class LitBatchMeans(LitReport):
    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.outputs.append(F.mse_loss(self(x), y))

    def on_validation_epoch_end(self):
        val_loss = torch.stack(self.outputs).mean()
        self.log("val_loss", val_loss)
        print(f"val_loss: {val_loss.item():.6f}")
        self.outputs.clear()


@right()
class LitRowMeans(LitReport):
    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.outputs.append((self(x) - y) ** 2)

    def on_validation_epoch_end(self):
        val_loss = torch.cat(self.outputs).mean()
        self.log("val_loss", val_loss)
        print(f"val_loss: {val_loss.item():.6f}")
        self.outputs.clear()


@broken("mean-of-batch-means")
def permutation_batches(X, y, lr=0.05, epochs=25, bs=25):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for epoch in range(epochs):
        batches = torch.randperm(len(X)).split(bs)
        for idx in batches:
            loss = ((X[idx] @ w + b - y[idx]) ** 2).mean()
            gw, gb = torch.autograd.grad(loss, (w, b))
            with torch.no_grad():
                w -= lr * gw
                b -= lr * gb
        with torch.no_grad():
            losses = [((X[idx] @ w + b - y[idx]) ** 2).mean() for idx in batches]
            print("epoch", epoch, "loss", float(sum(losses) / len(losses)))
    return w, b


@right()
def permutation_batches_corrected(X, y, lr=0.05, epochs=25, bs=25):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for epoch in range(epochs):
        batches = torch.randperm(len(X)).split(bs)
        for idx in batches:
            loss = ((X[idx] @ w + b - y[idx]) ** 2).mean()
            gw, gb = torch.autograd.grad(loss, (w, b))
            with torch.no_grad():
                w -= lr * gw
                b -= lr * gb
        with torch.no_grad():
            print("epoch", epoch, "loss", float(((X @ w + b - y) ** 2).mean()))
    return w, b
