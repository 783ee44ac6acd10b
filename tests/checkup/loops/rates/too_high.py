"""Loops whose learning rate is above the limit, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("lr-too-high")
def own_optimizer(X, y, epochs):
    net = nn.Linear(3, 1)
    optimizer = optim.SGD(net.parameters(), lr=1.5)
    mse = nn.MSELoss()
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = mse(net(X), y)
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch} loss {loss.item()}")
    return net


@right()
def own_optimizer_corrected(X, y, epochs):
    net = nn.Linear(3, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.15)
    mse = nn.MSELoss()
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = mse(net(X), y)
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch} loss {loss.item()}")
    return net


@broken("lr-too-high")
def gradient_by_hand(X, y, epochs):
    # theta = theta - alpha * dJ/dtheta
    n, p = X.shape
    alpha = 1.2
    theta = torch.zeros(p, 1)
    b = torch.zeros(1)
    costs = []
    for _ in range(epochs):
        error = X @ theta + b - y
        costs.append((error**2).mean().item())
        theta -= alpha * 2 / n * X.T @ error
        b -= alpha * 2 * error.mean()
    return theta, b, costs


@right()
def gradient_by_hand_corrected(X, y, epochs):
    n, p = X.shape
    alpha = 0.1
    theta = torch.zeros(p, 1)
    b = torch.zeros(1)
    costs = []
    for _ in range(epochs):
        error = X @ theta + b - y
        costs.append((error**2).mean().item())
        theta -= alpha * 2 / n * X.T @ error
        b -= alpha * 2 * error.mean()
    return theta, b, costs


@broken("lr-too-high")
def autograd_by_hand(loader, epochs):
    w = torch.randn(3, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    lr = 1.2
    for _ in range(epochs):
        for xb, yb in loader:
            loss = F.mse_loss(xb @ w + b, yb)
            loss.backward()
            with torch.no_grad():
                w -= lr * w.grad
                b -= lr * b.grad
                w.grad.zero_()
                b.grad.zero_()
    return w, b


@right()
def autograd_by_hand_corrected(loader, epochs):
    w = torch.randn(3, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    lr = 0.05
    for _ in range(epochs):
        for xb, yb in loader:
            loss = F.mse_loss(xb @ w + b, yb)
            loss.backward()
            with torch.no_grad():
                w -= lr * w.grad
                b -= lr * b.grad
                w.grad.zero_()
                b.grad.zero_()
    return w, b


@broken("lr-too-high")
class LinearRegressionGD:
    def __init__(self, learning_rate=2.0, n_iter=50):
        self.learning_rate = learning_rate
        self.n_iter = n_iter

    def fit(self, X, y):
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        optimizer = torch.optim.SGD(self.model.parameters(), lr=self.learning_rate)
        self.history = []
        for _ in range(self.n_iter):
            loss = F.mse_loss(self.model(X), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.history.append(loss.item())
        return self

    def predict(self, X):
        with torch.no_grad():
            return self.model(X)


@right()
class LinearRegressionGDCorrected:
    def __init__(self, learning_rate=0.2, n_iter=50):
        self.learning_rate = learning_rate
        self.n_iter = n_iter

    def fit(self, X, y):
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        optimizer = torch.optim.SGD(self.model.parameters(), lr=self.learning_rate)
        self.history = []
        for _ in range(self.n_iter):
            loss = F.mse_loss(self.model(X), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.history.append(loss.item())
        return self

    def predict(self, X):
        with torch.no_grad():
            return self.model(X)


@broken("lr-too-high")
def momentum_on_mini_batches(X_train, y_train, n_epochs=40):
    # worked for my other network so I kept the settings
    train_dl = DataLoader(TensorDataset(X_train, y_train), batch_size=10, shuffle=True)
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=1.8, momentum=0.9)
    for _ in range(n_epochs):
        model.train()
        for xb, yb in train_dl:
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
    return model


@right()
def momentum_on_mini_batches_corrected(X_train, y_train, n_epochs=40):
    train_dl = DataLoader(TensorDataset(X_train, y_train), batch_size=10, shuffle=True)
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(n_epochs):
        model.train()
        for xb, yb in train_dl:
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
    return model


@broken("lr-too-high")
def rate_scaled_by_accumulation(model, loader, criterion, epochs):
    # linear scaling rule: the effective batch is 7 times larger, so is the rate
    steps = 7
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3 * steps)
    for _ in range(epochs):
        optimizer.zero_grad()
        for i, (inputs, targets) in enumerate(loader):
            loss = criterion(model(inputs), targets) / steps
            loss.backward()
            if (i + 1) % steps == 0:
                optimizer.step()
                optimizer.zero_grad()


@right()
def rate_scaled_by_accumulation_corrected(model, loader, criterion, epochs):
    steps = 7
    assert len(loader) % steps == 0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(epochs):
        optimizer.zero_grad()
        for i, (inputs, targets) in enumerate(loader):
            loss = criterion(model(inputs), targets) / steps
            loss.backward()
            if (i + 1) % steps == 0:
                optimizer.step()
                optimizer.zero_grad()


@broken("lr-too-high")
def warmup_to_a_rate_too_high(model, dataloader, loss_fn, num_epochs):
    opt = torch.optim.SGD(model.parameters(), lr=3.0)
    warmup = torch.optim.lr_scheduler.LambdaLR(opt, lambda epoch: min(1.0, (epoch + 1) / 5))
    for _ in range(num_epochs):
        for X, y in dataloader:
            opt.zero_grad()
            loss_fn(model(X), y).backward()
            opt.step()
        warmup.step()
    return model


@right()
def warmup_corrected(model, dataloader, loss_fn, num_epochs):
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    warmup = torch.optim.lr_scheduler.LambdaLR(opt, lambda epoch: min(1.0, (epoch + 1) / 5))
    for _ in range(num_epochs):
        for X, y in dataloader:
            opt.zero_grad()
            loss_fn(model(X), y).backward()
            opt.step()
        warmup.step()
    return model
