"""Graphs kept in sums, meters and lists, and modes of modules that hold others; right loops that come close."""

import torch
import torch.nn.functional as F
from torch import nn, optim

from tests.support.training_loops import broken, right


@broken("graph-kept")
def running_loss_of_an_epoch(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        running_loss = 0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            running_loss += loss
        print(epoch)


@broken("graph-kept")
def last_loss_of_each_epoch(model, loader, optimizer, criterion, epochs):
    history = {"loss": []}
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        history["loss"].append(loss)
    return history


@broken("graph-kept")
def squared_losses(X, y, epochs=40):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    kept = []
    for _ in range(epochs):
        loss = ((X @ w - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            w.grad = None
        kept.append(loss.sqrt())
    return kept


@right()
def best_loss_as_a_tensor(X, y, epochs=60):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    best = torch.tensor(float("inf"))
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
        if loss < best:
            best = loss
    return best.item()


@right()
def list_of_losses_of_a_step(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for x, y in loader:
            parts = [criterion(model(a), b) * len(a) / len(x) for a, b in zip(x.chunk(3), y.chunk(3), strict=True)]
            optimizer.zero_grad()
            for part in parts:
                part.backward()
            optimizer.step()


@right()
def sum_of_losses_before_backward(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        optimizer.zero_grad()
        total = 0
        for x, y in loader:
            total = total + criterion(model(x), y) * len(x)
        (total / len(loader.dataset)).backward()
        optimizer.step()


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3, affine=False)
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        return self.linear(self.norm(x))


@right()
def frozen_batch_norm(loader, epochs):
    model = Normalized()
    optimizer = optim.SGD(model.linear.parameters(), lr=0.05)
    for _ in range(epochs):
        model.train()
        model.norm.eval()
        for x, y in loader:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()


@right()
def loss_printed_from_a_second_forward(X, y, epochs=30):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.mse_loss(model(X), y).backward()
        optimizer.step()
    print(F.mse_loss(model(X), y).item())
    return model


@broken("no-eval-mode")
def dropout_in_the_score(X, y, epochs=40):
    model = nn.Sequential(nn.Dropout(0.1), nn.Linear(X.shape[1], 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scores = []
    for _ in range(epochs):
        optimizer.zero_grad()
        F.mse_loss(model(X[:80]), y[:80]).backward()
        optimizer.step()
        with torch.no_grad():
            scores.append(F.mse_loss(model(X[80:]), y[80:]).item())
    return scores
