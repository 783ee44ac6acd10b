"""A tensor of a model that is no parameter, a loss of classes for one output, and a step at the head of the batch loop."""

import torch
import torch.nn.functional as F
from torch import nn, optim

from tests.support.training_loops import broken, right


class ScaledInputs(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.slopes = torch.zeros(features, 1, requires_grad=True)
        self.intercept = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x @ self.slopes + self.intercept


class WithBuffer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(features, 1))
        self.intercept = nn.Parameter(torch.zeros(1))
        self.register_buffer("unit", torch.ones(1))

    def forward(self, x):
        return (x @ self.slopes + self.intercept) * self.unit


def run(model, X, y, epochs=60):
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
    return model


@broken("parameter-not-trained")
def slopes_as_plain_tensor(X, y):
    return run(ScaledInputs(X.shape[1]), X, y)


@right()
def slopes_as_parameter(X, y):
    return run(WithBuffer(X.shape[1]), X, y)


@broken("wrong-loss")
def negative_log_likelihood_of_one_output(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for x, t in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), t).backward()
            optimizer.step()


@broken("step-before-backward", "stale-gradient")
def step_at_the_head(model, train_loader, optimizer, loss_fn, num_epochs):
    for _epoch in range(num_epochs):
        for inputs, targets in train_loader:
            optimizer.step()
            optimizer.zero_grad()
            loss = loss_fn(model(inputs), targets)
            loss.backward()


@right()
def folds_of_full_batches(X, y, folds=3):
    scores = []
    parts = torch.randperm(len(X)).chunk(folds)
    for held in range(folds):
        rows = torch.cat([part for number, part in enumerate(parts) if number != held])
        model = run(nn.Linear(X.shape[1], 1), X[rows], y[rows], epochs=40)
        model.eval()
        with torch.no_grad():
            scores.append(F.mse_loss(model(X[parts[held]]), y[parts[held]]).item())
    return scores


@broken("undeclared-momentum", "no-zero-grad")
def gradients_that_fade(model, x, target, learning_rate=0.02, epochs=40):
    optimizer = optim.SGD(model.parameters(), lr=learning_rate)
    for _ in range(epochs):
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad *= 0.8
        F.mse_loss(model(x), target).backward()
        optimizer.step()
