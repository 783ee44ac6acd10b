"""Loops whose updates carry a momentum that the optimizer does not declare, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("undeclared-momentum", "no-zero-grad")
def gradient_shrunk_in_place_of_zeroed(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            for p in model.parameters():
                p.grad *= 0.5


@right()
def gradient_multiplied_by_zero(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            for p in model.parameters():
                p.grad *= 0.0


class SGD(optim.Optimizer):
    """Own SGD; the momentum is written into the step."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                v = self.state[p].setdefault("v", torch.zeros_like(p))
                v.mul_(0.9).add_(p.grad)
                p.sub_(group["lr"] * v)
        return loss


class PlainSGD(SGD):
    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * p.grad)
        return loss


@broken("undeclared-momentum")
def own_optimizer_class(model, train_loader, loss_fn, n_epochs):
    opt = SGD(model.parameters(), lr=0.02)
    for _ in range(n_epochs):
        model.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            opt.step()
    return model


@right()
def own_optimizer_class_corrected(model, train_loader, loss_fn, n_epochs):
    opt = PlainSGD(model.parameters(), lr=0.1)
    for _ in range(n_epochs):
        model.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            opt.step()
    return model


@broken("undeclared-momentum")
class HandWrittenDescent:
    """Plain gradient descent, as the lecture notes have it."""

    def __init__(self, lr=0.05, n_iter=150):
        self.lr, self.n_iter = lr, n_iter

    def fit(self, X, y):
        A = torch.cat([torch.ones(len(X), 1), X], dim=1)
        theta = torch.zeros(A.shape[1], 1)
        grad = torch.zeros_like(theta)
        for _ in range(self.n_iter):
            # smooths the gradient, it was noisy on the other data
            grad = 0.8 * grad + 2 / len(A) * A.T @ (A @ theta - y)
            theta = theta - self.lr * grad
        self.theta = theta
        return self


@right()
class HandWrittenDescentCorrected:
    def __init__(self, lr=0.05, n_iter=150):
        self.lr, self.n_iter = lr, n_iter

    def fit(self, X, y):
        A = torch.cat([torch.ones(len(X), 1), X], dim=1)
        theta = torch.zeros(A.shape[1], 1)
        for _ in range(self.n_iter):
            grad = 2 / len(A) * A.T @ (A @ theta - y)
            theta = theta - self.lr * grad
        self.theta = theta
        return self


@broken("undeclared-momentum")
def extrapolates_after_the_step(net, dataloader, opt, criterion, num_epochs):
    previous = [p.detach().clone() for p in net.parameters()]
    for _ in range(num_epochs):
        for x, y in dataloader:
            opt.zero_grad()
            criterion(net(x), y).backward()
            before = [p.detach().clone() for p in net.parameters()]
            opt.step()
            with torch.no_grad():
                for p, now, last in zip(net.parameters(), before, previous):
                    p += 0.6 * (now - last)
            previous = before


@right()
def averages_beside_the_steps(net, dataloader, opt, criterion, num_epochs):
    ema = [p.detach().clone() for p in net.parameters()]
    for _ in range(num_epochs):
        for x, y in dataloader:
            opt.zero_grad()
            criterion(net(x), y).backward()
            opt.step()
            with torch.no_grad():
                for average, p in zip(ema, net.parameters()):
                    average.mul_(0.9).add_(p, alpha=0.1)
    return ema


@broken("undeclared-momentum")
def sgd_of_a_book(X, y, lr, batch_size, num_epochs):
    def sgd(params, states, lr):
        for p, s in zip(params, states):
            s[:] = 0.9 * s + p.grad
            p.data[:] -= lr / 10 * s
            p.grad.data.zero_()

    w = torch.normal(0, 0.01, size=(X.shape[1], 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    states = torch.zeros_like(w), torch.zeros(1)
    data_iter = DataLoader(TensorDataset(X, y), batch_size, shuffle=True)
    for _ in range(num_epochs):
        for Xb, yb in data_iter:
            loss = ((Xb @ w + b - yb) ** 2).mean()
            loss.backward()
            sgd([w, b], states, lr)
    return w, b


@right()
def sgd_of_a_book_corrected(X, y, lr, batch_size, num_epochs):
    def sgd(params, lr):
        for p in params:
            p.data[:] -= lr * p.grad
            p.grad.data.zero_()

    w = torch.normal(0, 0.01, size=(X.shape[1], 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    data_iter = DataLoader(TensorDataset(X, y), batch_size, shuffle=True)
    for _ in range(num_epochs):
        for Xb, yb in data_iter:
            loss = ((Xb @ w + b - yb) ** 2).mean()
            loss.backward()
            sgd([w, b], lr)
    return w, b


@right()
def momentum_declared(X, y):
    model = nn.Linear(X.shape[1], 1)
    opt = optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True)
    for _ in range(200):
        opt.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        opt.step()
    return model
