"""Right loops with other optimizers than plain SGD, groups of parameters, closures and schedules."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import right


def fit(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
    return model


@right()
def sgd_with_weight_decay(model, loader, lr, epochs):
    return fit(model, loader, torch.optim.SGD(model.parameters(), lr=lr, weight_decay=1e-2), epochs)


@right()
def nesterov(model, loader, epochs):
    return fit(model, loader, torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4), epochs)


@right()
def adagrad(model, loader, lr):
    return fit(model, loader, torch.optim.Adagrad(model.parameters(), lr=lr), 40)


@right()
def adam_full_batch_with_metrics(X, y):
    model = nn.Sequential(nn.Linear(X.shape[1], 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    history = {"loss": [], "rmse": [], "r2": []}
    for epoch in range(300):
        model.train()
        pred = model(X)
        loss = nn.functional.mse_loss(pred, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())
        history["rmse"].append(math.sqrt(loss.item()))
        history["r2"].append(1 - loss.item() / y.var(correction=0).item())
        if epoch % 50 == 0:
            print({name: round(values[-1], 4) for name, values in history.items()})
    return history


@right()
def groups_of_parameters(X, y, batch_size):
    """The bias has its own learning rate and momentum; one schedule for both groups."""
    model = nn.Linear(X.shape[1], 1)
    loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.SGD(
        [{"params": [model.weight], "weight_decay": 1e-3}, {"params": [model.bias], "lr": 0.05, "momentum": 0.5}], lr=0.1
    )
    scheduler = ExponentialLR(optimizer, gamma=0.95)
    for _epoch in range(30):
        fit(model, loader, optimizer, 1)
        scheduler.step()
    return model


@right()
def two_optimizers(model, loader, lr, num_epochs):
    """SGD for the weight, Adam for the bias."""
    weight_optimizer = torch.optim.SGD([model.weight], lr=lr)
    bias_optimizer = torch.optim.Adam([model.bias], lr=lr / 5)
    for _epoch in range(num_epochs):
        for x, y in loader:
            weight_optimizer.zero_grad()
            bias_optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            weight_optimizer.step()
            bias_optimizer.step()


@right()
def closure_with_sgd(model, loader, optimizer, criterion, epochs):
    for _epoch in range(epochs):
        for inputs, targets in loader:

            def closure(inputs=inputs, targets=targets):
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                return loss

            loss = optimizer.step(closure)
    print("last loss", loss.item())


@right()
def lbfgs(X, y):
    """Full batch; each step calls the closure several times."""
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1, max_iter=20, line_search_fn="strong_wolfe")
    for i in range(5):

        def closure():
            optimizer.zero_grad()
            loss = F.mse_loss(model(X), y)
            loss.backward()
            return loss

        print("STEP:", i, "loss:", optimizer.step(closure).item())
    return model


@right()
def one_cycle_per_batch(model, train_loader, criterion, epochs=20):
    """The schedule moves once per batch, as its total number of steps says; it also moves the momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=0.1, epochs=epochs, steps_per_epoch=len(train_loader))
    for _epoch in range(epochs):
        for xb, yb in train_loader:
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()


@right()
def warm_up_then_cosine(model, loader, epochs=30):
    """Linear warm-up for five epochs and cosine for the rest, once per epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    warm_up = LinearLR(optimizer, start_factor=0.1, total_iters=5)
    scheduler = SequentialLR(optimizer, [warm_up, CosineAnnealingLR(optimizer, T_max=epochs - 5)], milestones=[5])
    for epoch in range(epochs):
        fit(model, loader, optimizer, 1)
        print(f"epoch {epoch}: lr {scheduler.get_last_lr()[0]:.4f}")
        scheduler.step()


@right()
def cosine_with_restarts_by_fraction(model, loader, criterion):
    """`step(epoch + i / iters)`, as its documentation shows."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=10, T_mult=2)
    iters = len(loader)
    for epoch in range(30):
        for i, (inputs, labels) in enumerate(loader):
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            scheduler.step(epoch + i / iters)


@right()
def reduce_on_plateau(model, loader, val_loader, loss_fn, optimizer):
    """The schedule steps on the validation loss."""
    scheduler = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=3)
    for epoch in range(40):
        model.train()
        fit(model, loader, optimizer, 1)
        model.eval()
        with torch.no_grad():
            val_loss = sum(loss_fn(model(x), y).item() * len(x) for x, y in val_loader) / len(val_loader.dataset)
        scheduler.step(val_loss)
        print(f"epoch {epoch} val {val_loss:.4f} lr {optimizer.param_groups[0]['lr']:.2e}")


@right()
def milestones_full_batch(model, X, y):
    """Full batch, so that an epoch is a step; the learning rate drops at two milestones."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    scheduler = MultiStepLR(optimizer, milestones=[60, 90], gamma=0.1)
    for _ in range(120):
        optimizer.zero_grad(set_to_none=False)
        F.mse_loss(model(X), y).backward()
        optimizer.step()
        scheduler.step()
