"""Updates by hand: with tensors that are replaced, numbers in the code, velocities and schedules."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.training_loops import broken, right


@right()
def rebind(X, y, lr=0.1, epochs=40):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for _ in range(epochs):
        loss = ((X @ w + b - y) ** 2).mean()
        gw, gb = torch.autograd.grad(loss, (w, b))
        w = (w - lr * gw).detach().requires_grad_()
        b = (b - lr * gb).detach().requires_grad_()
    return (w, b)


@right()
def rebind_backward(X, y, lr=0.1, epochs=40):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    for _ in range(epochs):
        loss = ((X @ w - y) ** 2).mean()
        loss.backward()
        w = (w - lr * w.grad).detach().clone().requires_grad_(True)
    return w


@broken("sum-for-mean")
def rebind_sum(X, y, lr=0.002, epochs=40):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    for _ in range(epochs):
        loss = ((X @ w - y) ** 2).sum()
        loss.backward()
        w = (w - lr * w.grad).detach().clone().requires_grad_(True)
    return w


@broken("sum-for-mean")
def by_hand_literal(X, y, epochs=30):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    for _ in range(epochs):
        ((X @ w - y) ** 2).sum().backward()
        with torch.no_grad():
            w -= 0.001 * w.grad
        w.grad = None


@right()
def by_hand_literal_divided(X, y, epochs=30):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    for _ in range(epochs):
        ((X @ w - y) ** 2).sum().backward()
        with torch.no_grad():
            w -= 0.1 * w.grad / len(X)
        w.grad = None


@right()
def func_grad(X, y, lr=0.1, epochs=30):
    w = torch.zeros(X.shape[1], 1)

    def loss(w):
        return ((X @ w - y) ** 2).mean()

    g = torch.func.grad(loss)
    for _ in range(epochs):
        w = w - lr * g(w)
    return w


@right()
def func_call(model, X, y, lr=0.1, epochs=30):
    params = dict(model.named_parameters())

    def loss(p):
        return F.mse_loss(torch.func.functional_call(model, p, (X,)), y)

    for _ in range(epochs):
        grads = torch.func.grad(loss)({k: v.detach() for k, v in params.items()})
        params = {k: v.detach() - lr * grads[k] for k, v in params.items()}
    return params


@broken("weights-never-move")
def int_division(X, y, epochs=20):
    model = nn.Linear(X.shape[1], 1)
    lr = 1 // 10
    for _ in range(epochs):
        F.mse_loss(model(X), y).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= lr * p.grad
                p.grad.zero_()


@broken("weights-never-move")
def rebinding_in_loop(X, y, lr=0.1, epochs=20):
    model = nn.Linear(X.shape[1], 1)
    for _ in range(epochs):
        F.mse_loss(model(X), y).backward()
        for p in model.parameters():
            p = p - lr * p.grad
        model.zero_grad()
    return model


@right()
def data_assign(X, y, lr=0.1, epochs=40):
    m = nn.Linear(X.shape[1], 1)
    for t in range(epochs):
        m.zero_grad()
        F.mse_loss(m(X), y).backward()
        for p in m.parameters():
            p.data = p.data - lr * p.grad.data
    return m


@right()
def decayed_lr_by_hand(model, X, y, lr=0.1, epochs=40):
    for t in range(epochs):
        F.mse_loss(model(X), y).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(lr / (1 + 0.05 * t) * p.grad)
                p.grad.zero_()


@right()
def adam_by_hand(X, y, lr=0.01, epochs=60):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    m = torch.zeros_like(w)
    v = torch.zeros_like(w)
    for t in range(1, epochs + 1):
        ((X @ w - y) ** 2).mean().backward()
        with torch.no_grad():
            m = 0.9 * m + 0.1 * w.grad
            v = 0.999 * v + 0.001 * w.grad**2
            w -= lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-08)
            w.grad.zero_()


@broken("undeclared-momentum")
def velocity(model, X, y, lr=0.02, epochs=60):
    v = [torch.zeros_like(p) for p in model.parameters()]
    for t in range(epochs):
        F.mse_loss(model(X), y).backward()
        with torch.no_grad():
            for p, vi in zip(model.parameters(), v):
                vi.mul_(0.9).add_(p.grad)
                p.data.add_(vi, alpha=-lr)
                p.grad = None


@broken("no-zero-grad")
def hand_no_zero(X, y, lr=0.01, epochs=30):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    for _ in range(epochs):
        ((X @ w - y) ** 2).mean().backward()
        with torch.no_grad():
            w -= lr * w.grad
