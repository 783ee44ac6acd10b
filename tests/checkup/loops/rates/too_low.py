"""Loops whose learning rate is far too low for their epochs, with the corrected loop beside each."""

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("lr-too-low")
def rate_of_a_tutorial_on_vision(model, loader, val_loader, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for epoch in range(epochs):
        model.train()
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for data, target in val_loader:
                total += criterion(model(data), target).item() * len(data)
                count += len(data)
        print(f"Epoch {epoch + 1}/{epochs} - val loss {total / count:.4f}")
    return model


@right()
def rate_of_a_tutorial_corrected(model, loader, val_loader, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(epochs):
        model.train()
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for data, target in val_loader:
                total += criterion(model(data), target).item() * len(data)
                count += len(data)
        print(f"Epoch {epoch + 1}/{epochs} - val loss {total / count:.4f}")
    return model


@broken("lr-too-low")
class Regressor:
    """Hand-written gradient descent with scikit-learn's interface."""

    def __init__(self, lr=1e-5, epochs=300):
        self.lr = lr
        self.epochs = epochs

    def fit(self, X, y):
        self.w_ = torch.zeros(X.shape[1], 1)
        self.b_ = torch.zeros(1)
        for _ in range(self.epochs):
            residual = X @ self.w_ + self.b_ - y
            self.w_ -= self.lr * 2 * X.T @ residual / len(X)
            self.b_ -= self.lr * 2 * residual.mean()
        return self


@right()
class RegressorCorrected:
    def __init__(self, lr=0.1, epochs=300):
        self.lr = lr
        self.epochs = epochs

    def fit(self, X, y):
        self.w_ = torch.zeros(X.shape[1], 1)
        self.b_ = torch.zeros(1)
        for _ in range(self.epochs):
            residual = X @ self.w_ + self.b_ - y
            self.w_ -= self.lr * 2 * X.T @ residual / len(X)
            self.b_ -= self.lr * 2 * residual.mean()
        return self


@broken("lr-too-low")
def adam_fine_tuning_rate(X, y):
    model = nn.Sequential(nn.Linear(X.shape[1], 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-5)
    dl = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(50):
        for xb, yb in dl:
            optimizer.zero_grad(set_to_none=True)
            loss = mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        print("final loss", mse_loss(model(X), y).item())
    return model


@right()
def adam_corrected(X, y):
    model = nn.Sequential(nn.Linear(X.shape[1], 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    dl = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(50):
        for xb, yb in dl:
            optimizer.zero_grad(set_to_none=True)
            loss = mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        print("final loss", mse_loss(model(X), y).item())
    return model


@broken("lr-too-low")
def thousand_epochs_that_crawl(x, y):
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=1e-5)
    for t in range(1000):
        y_pred = model(x)
        loss = mse_loss(y_pred, y)
        if t % 100 == 99:
            print(t, loss.item())
        opt.zero_grad()
        loss.backward()
        opt.step()
    return model.weight, model.bias


@right()
def thousand_epochs_corrected(x, y):
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.05)
    for t in range(1000):
        y_pred = model(x)
        loss = mse_loss(y_pred, y)
        if t % 100 == 99:
            print(t, loss.item())
        opt.zero_grad()
        loss.backward()
        opt.step()
    return model.weight, model.bias


@broken("lr-too-low")
def rate_decays_to_nothing(model, train_loader, loss_fn, n_epochs):
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    sched = ExponentialLR(opt, gamma=0.1)
    for _ in range(n_epochs):
        for inputs, labels in train_loader:
            opt.zero_grad()
            loss = loss_fn(model(inputs), labels)
            loss.backward()
            opt.step()
        sched.step()
    return model


@right()
def rate_decays_corrected(model, train_loader, loss_fn, n_epochs):
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    sched = ExponentialLR(opt, gamma=0.95)
    for _ in range(n_epochs):
        for inputs, labels in train_loader:
            opt.zero_grad()
            loss = loss_fn(model(inputs), labels)
            loss.backward()
            opt.step()
        sched.step()
    return model


@broken("lr-too-low")
def bfloat16_with_a_tiny_rate(net, loader, criterion, epochs, device):
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-6, weight_decay=0.0)
    schedule = CosineAnnealingLR(optimizer, T_max=epochs)
    net.to(device)
    for _ in range(epochs):
        net.train()
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                loss = criterion(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()


@right()
def bfloat16_corrected(net, loader, criterion, epochs, device):
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05, weight_decay=0.0)
    schedule = CosineAnnealingLR(optimizer, T_max=epochs)
    net.to(device)
    for _ in range(epochs):
        net.train()
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                loss = criterion(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
