"""Several forward or backward passes in one update, and gradients that are scaled before the step."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@right()
def divided_by_hand(model, loader, optimizer, epochs):
    k = 4
    for _ in range(epochs):
        optimizer.zero_grad()
        n = 0
        for i, (x, y) in enumerate(loader):
            F.mse_loss(model(x), y).backward()
            n += 1
            if n == k or i == len(loader) - 1:
                for p in model.parameters():
                    p.grad /= n
                optimizer.step()
                optimizer.zero_grad()
                n = 0


@right()
def sum_divided_by_hand(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.mse_loss(model(x), y, reduction="sum").backward()
            for p in model.parameters():
                p.grad.div_(len(x))
            optimizer.step()


@right()
def scaler_clip(model, loader, optimizer, criterion, epochs):
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            scaler.step(optimizer)
            scaler.update()


@right()
def lbfgs(model, X, y, epochs=10):
    opt = torch.optim.LBFGS(model.parameters(), lr=1.0)
    for _ in range(epochs):

        def closure():
            opt.zero_grad()
            loss = F.mse_loss(model(X), y)
            loss.backward()
            return loss

        opt.step(closure)


@broken("sum-for-mean")
def lbfgs_sum(model, loader, lr, epochs=10):
    opt = torch.optim.SGD(model.parameters(), lr=0.004)
    for _ in range(epochs):
        for x, y in loader:

            def closure():
                opt.zero_grad()
                loss = F.mse_loss(model(x), y, reduction="sum")
                loss.backward()
                return loss

            opt.step(closure)


@broken("accumulation-not-divided")
def sum_of_losses(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        losses = []
        for i, (xb, yb) in enumerate(loader):
            losses.append(criterion(model(xb), yb))
            if len(losses) == 3:
                optimizer.zero_grad()
                sum(losses).backward()
                optimizer.step()
                losses = []


@right()
def mean_of_losses(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        losses = []
        for i, (xb, yb) in enumerate(loader):
            losses.append(criterion(model(xb), yb))
            if len(losses) == 3 or i == len(loader) - 1:
                optimizer.zero_grad()
                torch.stack(losses).mean().backward()
                optimizer.step()
                losses = []


@broken("double-step", "sum-for-mean")
def twice_retained(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward(retain_graph=True)
            loss.backward()
            optimizer.step()


@broken("no-zero-grad")
def accum_never_cleared(model, loader, optimizer, criterion, epochs):
    optimizer.zero_grad()
    for _ in range(epochs):
        for i, (xb, yb) in enumerate(loader):
            (criterion(model(xb), yb) / 3).backward()
            if i % 3 == 2:
                optimizer.step()


@broken("gradient-clipped")
def clip_value(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            nn.utils.clip_grad_value_(model.parameters(), 0.01)
            optimizer.step()


@right()
def clip_value_never(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            nn.utils.clip_grad_value_(model.parameters(), 10.0)
            optimizer.step()


@right()
def noise(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            for p in model.parameters():
                p.grad += 0.001 * torch.randn_like(p.grad)
            optimizer.step()


@right()
def two_optimizers(X, y, epochs, lr):
    body, head = (nn.Linear(X.shape[1], 2), nn.Linear(2, 1))
    o1, o2 = (torch.optim.SGD(body.parameters(), lr=lr), torch.optim.SGD(head.parameters(), lr=lr))
    dl = DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True)
    for _ in range(epochs):
        for xb, yb in dl:
            o1.zero_grad()
            o2.zero_grad()
            F.mse_loss(head(body(xb)), yb).backward()
            o1.step()
            o2.step()


@right()
def two_optimizers_same_model(model, loader, criterion, epochs, lr):
    o1, o2 = (torch.optim.SGD([model.weight], lr=lr), torch.optim.SGD([model.bias], lr=lr))
    for _ in range(epochs):
        for xb, yb in loader:
            o1.zero_grad()
            o2.zero_grad()
            criterion(model(xb), yb).backward()
            o1.step()
            o2.step()


@right()
def ema(model, loader, optimizer, criterion, epochs):
    shadow = copy.deepcopy(model)
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            with torch.no_grad():
                for a, b in zip(shadow.parameters(), model.parameters()):
                    a.mul_(0.9).add_(b, alpha=0.1)
    model.load_state_dict(shadow.state_dict())
    return model
