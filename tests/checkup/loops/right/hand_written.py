"""Right loops whose update is written by hand: without an optimizer, or without `backward`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, grad_and_value

from tests.support.training_loops import right


@right()
def update_of_data(X, y):
    w = torch.randn(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    learning_rate = 0.1
    for epoch in range(100):
        y_pred = X.mm(w) + b
        loss = ((y_pred - y) ** 2).mean()
        loss.backward()
        w.data -= learning_rate * w.grad.data
        b.data -= learning_rate * b.grad.data
        w.grad.data.zero_()
        b.grad.data.zero_()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss = {loss.item():.6f}")
    return w, b


@right()
def update_without_grad(X, y, lr=0.1, epochs=100):
    weights = torch.zeros(X.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    target = y.squeeze(1)
    losses = []
    for _ in range(epochs):
        loss = torch.mean((X @ weights + bias - target) ** 2)
        loss.backward()
        with torch.no_grad():
            weights -= lr * weights.grad
            bias -= lr * bias.grad
        weights.grad = None
        bias.grad = None
        losses.append(loss.item())
    return losses


@right()
def update_of_a_module(model, X, y, lr, epochs=120):
    for _ in range(epochs):
        model.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        with torch.no_grad():
            for param in model.parameters():
                param.sub_(lr * param.grad)


@right()
def gradients_by_autograd(model, loader, lr, n_epochs=25):
    """torch.autograd.grad returns the gradients; nothing is stored in `.grad`."""
    params = list(model.parameters())
    for _ in range(n_epochs):
        for x, t in loader:
            loss = F.mse_loss(model(x), t)
            grads = torch.autograd.grad(loss, params)
            with torch.no_grad():
                for p, g in zip(params, grads, strict=True):
                    p -= lr * g


@right()
def functional_gradients(model, X, y, lr=0.1, epochs=100):
    """torch.func.grad over a dictionary of parameters; the result is loaded into the model."""
    params = {name: p.detach().clone() for name, p in model.named_parameters()}

    def compute_loss(params, inputs, targets):
        return F.mse_loss(functional_call(model, params, (inputs,)), targets)

    grad_fn = grad(compute_loss)
    for _ in range(epochs):
        grads = grad_fn(params, X, y)
        params = {name: p - lr * grads[name] for name, p in params.items()}
    model.load_state_dict(params)
    return model


@right()
def functional_without_a_module(X, y):
    """As in JAX: pure functions of a pair of arrays."""

    def loss_fn(params, x, t):
        w, b = params
        return ((x @ w + b - t) ** 2).mean()

    params = (torch.zeros(X.shape[1], 1), torch.zeros(1))
    step = grad_and_value(loss_fn)
    for i in range(100):
        grads, loss = step(params, X, y)
        params = tuple(p - 0.1 * g for p, g in zip(params, grads, strict=True))
        if i % 20 == 0:
            print(i, float(loss))
    return params


@right()
def gradient_on_paper(model, X, y, lr=0.1, epochs=120):
    """No autograd: the gradient of the mean squared error is written out."""
    n = X.shape[0]
    with torch.no_grad():
        for _ in range(epochs):
            residual = model(X) - y
            model.weight -= lr * 2 / n * residual.T @ X
            model.bias -= lr * 2 * residual.mean(0)


@right()
def one_weight_and_one_bias(x, y):
    """The first loop of many courses; it takes one feature."""
    w = torch.tensor([0.5], requires_grad=True)
    b = torch.tensor([0.0], requires_grad=True)
    for epoch in range(100):
        y_hat = w * x + b
        loss = ((y_hat - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            b -= 0.1 * b.grad
        w.grad.zero_()
        b.grad.zero_()
        if epoch % 10 == 0:
            print(f"epoch {epoch + 1}: w = {w.item():.3f}, loss = {loss:.8f}")


@right()
def module_of_one_feature(x, y):
    """A module whose number of features is fixed at one."""
    model = nn.Linear(in_features=1, out_features=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _epoch in range(150):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    print("w:", model.weight.item(), "b:", model.bias.item())


@right()
def loss_summed_and_divided(X, y):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([w, b], lr=0.1)
    n = len(X)
    for _ in range(100):
        diff = X @ w + b - y
        loss = torch.sum(diff * diff) / n
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return w.detach(), b.detach()


@right()
def intercept_as_a_column(X, y):
    """The design matrix gets a column of ones, in float64; the ridge penalty leaves the intercept alone."""
    A = torch.cat([torch.ones(len(X), 1), X], dim=1).double()
    target = y.double()
    lam, lr = 0.01, 0.1
    theta = torch.zeros(A.shape[1], 1, dtype=torch.float64, requires_grad=True)
    for _ in range(100):
        loss = (A @ theta - target).square().mean() + lam * theta[1:].square().sum()
        (g,) = torch.autograd.grad(loss, theta)
        theta = (theta - lr * g).detach().requires_grad_()
    return theta


@right()
def optimizer_in_backward(model, loader, num_epochs=20):
    """One optimizer for each parameter steps inside `backward`, by a hook, and frees the gradient."""
    optimizers = {p: torch.optim.SGD([p], lr=0.05) for p in model.parameters()}

    def step(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    hooks = [p.register_post_accumulate_grad_hook(step) for p in model.parameters()]
    for _ in range(num_epochs):
        for x, y in loader:
            F.mse_loss(model(x), y).backward()
    for hook in hooks:
        hook.remove()


@right()
def gradient_on_paper_for_an_optimizer(model, loader, optimizer, epochs):
    """The gradients are written out and given to the optimizer."""
    for _ in range(epochs):
        for x, y in loader:
            with torch.no_grad():
                residual = model(x) - y
            model.weight.grad = 2 / len(x) * residual.T @ x
            model.bias.grad = 2 * residual.mean(0)
            optimizer.step()
