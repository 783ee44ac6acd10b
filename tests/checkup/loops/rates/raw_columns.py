"""Loops that train on columns in their raw units, with the loop that standardizes them beside each."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


def raw_data(n=107, seed=3):
    """Displacement, horsepower and weight of cars as in the mpg data, and miles per gallon."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 3, generator=generator)
    displacement = 195 + 50 * z[:, 0]
    horsepower = 140 + 20 * z[:, 0] + 30 * z[:, 1]
    weight = 2970 + 500 * z[:, 0] + 600 * z[:, 2]
    mpg = 45 - 0.02 * displacement - 0.03 * horsepower - 0.005 * weight + torch.randn(n, generator=generator)
    return torch.stack([displacement, horsepower, weight], dim=1), mpg.reshape(-1, 1)


X, Y = raw_data()
RAW = {"X": X, "y": Y}
HUNDREDS = {"X": 300 + 50 * (X - X.mean(0)) / X.std(0), "y": Y}
RAW_LOADER = {"loader": DataLoader(TensorDataset(X, Y), batch_size=17, shuffle=True)}


@broken("not-standardised", "lr-too-high", fixtures=RAW)
def plain_on_raw_columns(X, y, epochs):
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        output = model(X)
        loss = criterion(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print("Epoch: %d, loss: %f" % (epoch, loss.item()))
    return model


@right(fixtures=RAW)
def plain_standardized(X, y, epochs):
    X = (X - X.mean(0)) / X.std(0)
    y = (y - y.mean()) / y.std()
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(5 * epochs):
        output = model(X)
        loss = criterion(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print("Epoch: %d, loss: %f" % (epoch, loss.item()))
    return model


@broken("not-standardised", "lr-too-low", fixtures=RAW)
def crawls_on_raw_columns(X, y):
    # 1e-4 gave nan, so I went down until it stopped
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=1e-8)
    for i in range(500):
        loss = F.mse_loss(model(X), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if i % 50 == 0:
            print(i, loss.item())
    return model


@right(fixtures=RAW)
def crawls_no_more(X, y):
    mean, std = X.mean(dim=0, keepdim=True), X.std(dim=0, keepdim=True)
    Xs = (X - mean) / std
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for i in range(500):
        loss = F.mse_loss(model(Xs), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if i % 50 == 0:
            print(i, loss.item())
    return model


@broken("not-standardised", "lr-too-low", fixtures=HUNDREDS)
def means_of_some_hundreds(X, y):
    # all columns have the same spread, but none is centered: the intercept does not move
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for _ in range(400):
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for param in (w, b):
                param -= 2e-6 * param.grad
                param.grad = None
    return w, b


@right(fixtures=HUNDREDS)
def means_removed(X, y):
    X = (X - X.mean(0)) / X.std(0)
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for _ in range(400):
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for param in (w, b):
                param -= 0.1 * param.grad
                param.grad = None
    return w, b


@broken("not-standardised", "lr-too-high", fixtures=RAW_LOADER)
def raw_batches(loader, epochs, lr):
    model = nn.Sequential(nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    for _ in range(epochs):
        for batch, target in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(batch), target)
            loss.backward()
            optimizer.step()
    return model


@right(fixtures=RAW_LOADER)
def batches_standardized(loader, epochs, lr):
    rows = torch.cat([batch for batch, _ in loader])
    mu, sigma = rows.mean(0), rows.std(0)
    model = nn.Sequential(nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr / 10, momentum=0.9)
    model.train()
    for _ in range(epochs):
        for batch, target in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model((batch - mu) / sigma), target)
            loss.backward()
            optimizer.step()
    return model


@broken("not-standardised", "lr-too-low")
def own_raw_columns_adam():
    X, y = raw_data(200, seed=11)
    dl = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
    model = nn.Linear(3, 1)
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(30):
        for xb, yb in dl:
            loss = F.mse_loss(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    with torch.no_grad():
        print(f"R^2 = {1 - F.mse_loss(model(X), y) / y.var():.3f}")
    return model


@right()
def own_columns_standardized_adam():
    X, y = raw_data(200, seed=11)
    X = (X - X.mean(0)) / X.std(0)
    y = (y - y.mean()) / y.std()
    dl = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
    model = nn.Linear(3, 1)
    opt = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(30):
        for xb, yb in dl:
            loss = F.mse_loss(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    with torch.no_grad():
        print(f"R^2 = {1 - F.mse_loss(model(X), y) / y.var():.3f}")
    return model


@broken("not-standardised", "lr-too-high", fixtures=RAW)
class GradientDescentRegressor:
    def __init__(self, eta=1e-3, n_iter=100):
        self.eta, self.n_iter = eta, n_iter

    def fit(self, X, y):
        ones = torch.ones(len(X), 1)
        A = torch.hstack([ones, X])
        self.theta = torch.zeros(A.shape[1], 1)
        for _ in range(self.n_iter):
            gradient = 2 / len(A) * A.T @ (A @ self.theta - y)
            self.theta = self.theta - self.eta * gradient
        return self


@right(fixtures=RAW)
class StandardizedGradientDescentRegressor:
    def __init__(self, eta=0.1, n_iter=300):
        self.eta, self.n_iter = eta, n_iter

    def fit(self, X, y):
        self.center, self.scale = X.mean(0), X.std(0)
        ones = torch.ones(len(X), 1)
        A = torch.hstack([ones, (X - self.center) / self.scale])
        self.theta = torch.zeros(A.shape[1], 1)
        for _ in range(self.n_iter):
            gradient = 2 / len(A) * A.T @ (A @ self.theta - y)
            self.theta = self.theta - self.eta * gradient
        return self
