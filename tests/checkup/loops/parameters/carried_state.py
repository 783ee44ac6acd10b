"""State that a second run inherits from the first."""

from functools import cache

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from skorch import NeuralNetRegressor
from torch import optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right

torch.manual_seed(0)
model = nn.Linear(3, 1)
loss_fn = nn.MSELoss()


@broken("state-carried-over")
def train(X, y, lr=0.05, epochs=20):
    optimizer = optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@right()
def train_corrected(X, y, lr=0.05, epochs=20):
    model = nn.Linear(3, 1)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@broken("state-carried-over")
def train_default(loader, epochs, lr, net=nn.Linear(3, 1)):
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(epochs):
        for xb, yb in loader:
            opt.zero_grad()
            ((net(xb) - yb) ** 2).mean().backward()
            opt.step()
    return net


@right()
def train_default_corrected(loader, epochs, lr, net=None):
    if net is None:
        net = nn.Linear(3, 1)
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(epochs):
        for xb, yb in loader:
            opt.zero_grad()
            ((net(xb) - yb) ** 2).mean().backward()
            opt.step()
    return net


@broken("state-carried-over")
class WarmRegressor:
    def __init__(self, n_features=3, lr=0.05, batch_size=32, epochs=25):
        self.epochs = epochs
        self.batch_size = batch_size
        self.model = nn.Sequential(nn.Linear(n_features, 1))
        self.optimizer = optim.Adam(self.model.parameters(), lr=lr)

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        loader = DataLoader(TensorDataset(X, y), batch_size=self.batch_size, shuffle=True)
        self.model.train()
        for _ in range(self.epochs):
            for xb, yb in loader:
                self.optimizer.zero_grad()
                loss = F.mse_loss(self.model(xb), yb)
                loss.backward()
                self.optimizer.step()
        return self

    def predict(self, X):
        self.model.eval()
        with torch.no_grad():
            return self.model(torch.as_tensor(X, dtype=torch.float32))


@right()
class ColdRegressor:
    def __init__(self, lr=0.05, batch_size=32, epochs=25):
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        self.optimizer = optim.Adam(self.model.parameters(), lr=self.lr)
        loader = DataLoader(TensorDataset(X, y), batch_size=self.batch_size, shuffle=True)
        self.model.train()
        for _ in range(self.epochs):
            for xb, yb in loader:
                self.optimizer.zero_grad()
                loss = F.mse_loss(self.model(xb), yb)
                loss.backward()
                self.optimizer.step()
        return self


def fit_fold(net, X, y, lr=0.05, epochs=15):
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(epochs):
        opt.zero_grad()
        F.mse_loss(net(X), y).backward()
        opt.step()


@broken("state-carried-over", "trains-on-validation")
def cross_validate(X, y, k=5):
    net = nn.Linear(X.shape[1], 1)
    folds = torch.randperm(len(X)).chunk(k)
    scores = []
    for i in range(k):
        val = folds[i]
        train = torch.cat([folds[j] for j in range(k) if j != i])
        fit_fold(net, X[train], y[train])
        with torch.no_grad():
            scores.append(F.mse_loss(net(X[val]), y[val]).item())
    return np.mean(scores)


@right()
def cross_validate_corrected(X, y, k=5):
    folds = torch.randperm(len(X)).chunk(k)
    scores = []
    for i in range(k):
        net = nn.Linear(X.shape[1], 1)
        val = folds[i]
        train = torch.cat([folds[j] for j in range(k) if j != i])
        fit_fold(net, X[train], y[train])
        with torch.no_grad():
            scores.append(F.mse_loss(net(X[val]), y[val]).item())
    return np.mean(scores)


@broken("state-carried-over")
def compare_learning_rates(X, y):
    net = nn.Linear(X.shape[1], 1)
    results = {}
    for lr in (0.05, 0.1, 0.2):
        optimizer = torch.optim.SGD(net.parameters(), lr=lr)
        for _ in range(40):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(net(X), y)
            loss.backward()
            optimizer.step()
        results[lr] = loss.item()
    print(results)
    return results


@right()
def compare_learning_rates_corrected(X, y):
    results = {}
    for lr in (0.05, 0.1, 0.2):
        torch.manual_seed(0)
        net = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=lr)
        for _ in range(40):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(net(X), y)
            loss.backward()
            optimizer.step()
        results[lr] = loss.item()
    print(results)
    return results


layer = nn.Linear(3, 1)
momentum_sgd = optim.SGD(layer.parameters(), lr=0.02, momentum=0.9)


@broken("state-carried-over")
def retrain(X, y, epochs=20):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    for _ in range(epochs):
        for idx in torch.randperm(len(X)).split(32):
            momentum_sgd.zero_grad()
            loss = loss_fn(layer(X[idx]), y[idx])
            loss.backward()
            momentum_sgd.step()
    return layer


@right()
def retrain_corrected(X, y, epochs=20):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    momentum_sgd = optim.SGD(layer.parameters(), lr=0.02, momentum=0.9)
    for _ in range(epochs):
        for idx in torch.randperm(len(X)).split(32):
            momentum_sgd.zero_grad()
            loss = loss_fn(layer(X[idx]), y[idx])
            loss.backward()
            momentum_sgd.step()
    return layer


@cache
def build_model(n_features):
    return nn.Linear(n_features, 1)


@broken("state-carried-over")
def run_experiment(X, y, n_epochs=15):
    net = build_model(X.shape[1])
    opt = optim.SGD(net.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
    for _ in range(n_epochs):
        for inputs, labels in loader:
            opt.zero_grad()
            loss_fn(net(inputs), labels).backward()
            opt.step()
    with torch.no_grad():
        return loss_fn(net(X), y).item()


net = NeuralNetRegressor(
    nn.Linear,
    module__in_features=3,
    module__out_features=1,
    lr=0.05,
    max_epochs=15,
    batch_size=32,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)


@broken("state-carried-over")
def continue_skorch(X, y):
    net.partial_fit(X, y)
    return net


@right()
def restart_skorch(X, y):
    net.fit(X, y)
    return net
