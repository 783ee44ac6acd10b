"""Loops whose weights decay although the optimizer declares no decay, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("undeclared-weight-decay")
def penalty_in_the_loss(model, loader, val_loader, optimizer, criterion, epochs):
    l2_lambda = 0.1
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            l2_norm = sum(p.pow(2.0).sum() for p in model.parameters())
            loss = loss + l2_lambda * l2_norm
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val = sum(criterion(model(x), y).item() * len(x) for x, y in val_loader) / len(val_loader.dataset)
        print(epoch, val)


@right()
def no_penalty_in_the_loss(model, loader, val_loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val = sum(criterion(model(x), y).item() * len(x) for x, y in val_loader) / len(val_loader.dataset)
            l2_norm = sum(p.pow(2.0).sum() for p in model.parameters()).item()
        print(epoch, val, "norm", l2_norm)


@broken("undeclared-weight-decay")
def weights_scaled_after_each_step(net, train_loader, opt, loss_fn, n_epochs):
    for _ in range(n_epochs):
        for inputs, labels in train_loader:
            opt.zero_grad()
            loss_fn(net(inputs), labels).backward()
            opt.step()
            with torch.no_grad():
                for p in net.parameters():
                    p.mul_(1 - 0.02)
    return net


@right()
def weights_only_stepped(net, train_loader, opt, loss_fn, n_epochs):
    for _ in range(n_epochs):
        for inputs, labels in train_loader:
            opt.zero_grad()
            loss_fn(net(inputs), labels).backward()
            opt.step()
            with torch.no_grad():
                largest = max(p.abs().max().item() for p in net.parameters())
                assert largest < 1e6
    return net


@broken("undeclared-weight-decay")
class LinearModel:
    """Least squares by full-batch descent."""

    def __init__(self, lr=0.1, n_iter=120, alpha=0.3):
        self.lr, self.n_iter, self.alpha = lr, n_iter, alpha

    def fit(self, X, y):
        n = X.shape[0]
        self.w, self.b = torch.zeros(X.shape[1], 1), torch.zeros(1)
        for _ in range(self.n_iter):
            r = X @ self.w + self.b - y
            dw = 2 / n * X.T @ r + self.alpha * self.w
            self.w = self.w - self.lr * dw
            self.b = self.b - self.lr * 2 * r.mean()
        return self


@right()
class LinearModelCorrected:
    def __init__(self, lr=0.1, n_iter=120):
        self.lr, self.n_iter = lr, n_iter

    def fit(self, X, y):
        n = X.shape[0]
        self.w, self.b = torch.zeros(X.shape[1], 1), torch.zeros(1)
        for _ in range(self.n_iter):
            r = X @ self.w + self.b - y
            dw = 2 / n * X.T @ r
            self.w = self.w - self.lr * dw
            self.b = self.b - self.lr * 2 * r.mean()
        return self


@broken("undeclared-weight-decay")
def decay_added_to_the_gradient(model, dataloader, optimizer, criterion, num_epochs):
    decay = 0.2
    for _ in range(num_epochs):
        for batch_x, batch_y in dataloader:
            loss = criterion(model(batch_x), batch_y)
            optimizer.zero_grad()
            loss.backward()
            for name, param in model.named_parameters():
                if "weight" in name:
                    param.grad.add_(param.data, alpha=decay)
            optimizer.step()


@right()
def decay_declared_in_the_optimizer(model, dataloader, criterion, num_epochs, lr):
    decay = 0.2
    groups = [
        {"params": [p for name, p in model.named_parameters() if "weight" in name], "weight_decay": decay},
        {"params": [p for name, p in model.named_parameters() if "weight" not in name]},
    ]
    optimizer = optim.SGD(groups, lr=lr)
    for _ in range(num_epochs):
        for batch_x, batch_y in dataloader:
            loss = criterion(model(batch_x), batch_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@broken("undeclared-weight-decay")
def penalty_inside_the_model(X, y, epochs=60):
    class Ridge(nn.Module):
        def __init__(self, n_features):
            super().__init__()
            self.linear = nn.Linear(n_features, 1)

        def loss(self, x, target):
            return F.mse_loss(self.linear(x), target) + 0.15 * self.linear.weight.norm() ** 2

    model = Ridge(X.shape[1])
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(epochs):
        for x, target in loader:
            optimizer.zero_grad()
            model.loss(x, target).backward()
            optimizer.step()
    return model.linear


@right()
def loss_inside_the_model(X, y, epochs=60):
    class Regression(nn.Module):
        def __init__(self, n_features):
            super().__init__()
            self.linear = nn.Linear(n_features, 1)

        def loss(self, x, target):
            return F.mse_loss(self.linear(x), target)

    model = Regression(X.shape[1])
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(epochs):
        for x, target in loader:
            optimizer.zero_grad()
            model.loss(x, target).backward()
            optimizer.step()
    return model.linear


@right()
def adamw_with_its_default_decay(model, loader, criterion, epochs):
    optimizer = optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(2 * epochs):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()


@broken("undeclared-weight-decay")
def shrinkage_in_a_hook(model, train_loader, optimizer, loss_fn, num_epochs):
    def shrink(parameter):
        return lambda gradient: gradient + 0.1 * parameter.detach()

    for parameter in model.parameters():
        parameter.register_hook(shrink(parameter))
    for _epoch in range(num_epochs):
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()


@right()
def a_hook_that_reads(model, train_loader, optimizer, loss_fn, num_epochs):
    norms = []
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: norms.append(gradient.norm().item()))
    for _epoch in range(num_epochs):
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            loss_fn(model(inputs), targets).backward()
            optimizer.step()
    return norms
