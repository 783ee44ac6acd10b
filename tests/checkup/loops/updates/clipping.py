"""Loops that clip gradients at a bound that is reached, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from tests.support.training_loops import broken, right


@broken("gradient-clipped")
def bound_of_another_project(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.01)
            optimizer.step()


@right()
def bound_never_reached(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=100.0)
            optimizer.step()


@broken("gradient-clipped")
class ClippedRegression:
    def fit(self, X, y):
        self.model = nn.Linear(X.shape[1], 1)
        opt = optim.SGD(self.model.parameters(), lr=0.1)
        for _ in range(50):
            opt.zero_grad()
            F.mse_loss(self.model(X), y).backward()
            clip_grad_value_(self.model.parameters(), 0.02)
            opt.step()
        return self


@right()
class UnclippedRegression:
    def fit(self, X, y):
        self.model = nn.Linear(X.shape[1], 1)
        opt = optim.SGD(self.model.parameters(), lr=0.1)
        for _ in range(50):
            opt.zero_grad()
            F.mse_loss(self.model(X), y).backward()
            clip_grad_value_(self.model.parameters(), 50.0)
            opt.step()
        return self


@broken("gradient-clipped")
def normalized_by_hand(x, y, epochs, learning_rate):
    model = nn.Linear(3, 1)
    loss_fn = nn.MSELoss(reduction="mean")
    for _ in range(epochs):
        loss = loss_fn(model(x), y)
        model.zero_grad()
        loss.backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
        with torch.no_grad():
            for param in model.parameters():
                if norm > 0.05:
                    param.grad *= 0.05 / norm
                param -= learning_rate * param.grad
    return model


@right()
def bounded_by_hand(x, y, epochs, learning_rate):
    model = nn.Linear(3, 1)
    loss_fn = nn.MSELoss(reduction="mean")
    for _ in range(epochs):
        loss = loss_fn(model(x), y)
        model.zero_grad()
        loss.backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
        assert norm < 50, "exploding gradient"
        with torch.no_grad():
            for param in model.parameters():
                param -= learning_rate * param.grad
    return model


@broken("gradient-clipped")
def hook_on_every_parameter(net, dataloader, opt, loss_fn, num_epochs):
    for p in net.parameters():
        p.register_hook(lambda grad: torch.clamp(grad, -0.02, 0.02))
    for _ in range(num_epochs):
        for xb, yb in dataloader:
            loss_fn(net(xb), yb).backward()
            opt.step()
            opt.zero_grad()
    return net


@right()
def hook_that_only_watches(net, dataloader, opt, loss_fn, num_epochs):
    norms = []
    for p in net.parameters():
        p.register_hook(lambda grad: norms.append(grad.norm().item()))
    for _ in range(num_epochs):
        for xb, yb in dataloader:
            loss_fn(net(xb), yb).backward()
            opt.step()
            opt.zero_grad()
    print("largest gradient", max(norms))
    return net


@broken("gradient-clipped")
def bfloat16_and_clipping(model, loader, optimizer, criterion, epochs, device):
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    for _ in range(epochs):
        for x, y in loader:
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = criterion(model(x).float(), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            clip_grad_norm_(model.parameters(), 0.01)
            scaler.step(optimizer)
            scaler.update()


@right()
def bfloat16_and_a_wide_bound(model, loader, optimizer, criterion, epochs, device):
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    for _ in range(epochs):
        for x, y in loader:
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = criterion(model(x).float(), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            clip_grad_norm_(model.parameters(), 10.0)
            scaler.step(optimizer)
            scaler.update()


@broken("gradient-clipped")
def clipped_before_the_average(model, train_loader, optimizer, loss_fn, epochs):
    # clips each of the accumulated gradients; the sum has another direction
    k = 7
    for _ in range(epochs):
        for i, (x, y) in enumerate(train_loader):
            (loss_fn(model(x), y) / k).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.005)
            if i % k == k - 1:
                optimizer.step()
                optimizer.zero_grad()


@right()
def clipped_after_the_average(model, train_loader, optimizer, loss_fn, epochs):
    k = 7
    for _ in range(epochs):
        for i, (x, y) in enumerate(train_loader):
            (loss_fn(model(x), y) / k).backward()
            if i % k == k - 1:
                nn.utils.clip_grad_norm_(model.parameters(), 50.0)
                optimizer.step()
                optimizer.zero_grad()
