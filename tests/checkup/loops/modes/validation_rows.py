"""Loops that train on the rows that they validate with, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset, random_split

from tests.support.training_loops import broken, right


@broken("trains-on-validation")
def step_in_validation(model, loader, val_loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
        model.eval()
        for inputs, targets in val_loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            print(f"epoch {epoch}, val loss {loss.item():.4f}")


@right()
def no_step_in_validation(model, loader, val_loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for inputs, targets in val_loader:
                loss = criterion(model(inputs), targets)
                print(f"epoch {epoch}, val loss {loss.item():.4f}")


def run_epoch(model, loader, loss_fn, opt=None):
    total, n = 0.0, 0
    for xb, yb in loader:
        loss = loss_fn(model(xb), yb)
        if opt is not None:
            loss.backward()
            opt.step()
            opt.zero_grad()
        total += loss.item() * len(xb)
        n += len(xb)
    return total / n


@broken("trains-on-validation")
def optimizer_passed_to_both(net, train_loader, val_loader, opt, loss_fn, n_epochs):
    for _ in range(n_epochs):
        net.train()
        run_epoch(net, train_loader, loss_fn, opt)
        net.eval()
        print("valid", run_epoch(net, val_loader, loss_fn, opt))
    return net


@right()
def optimizer_passed_to_training_only(net, train_loader, val_loader, opt, loss_fn, n_epochs):
    for _ in range(n_epochs):
        net.train()
        run_epoch(net, train_loader, loss_fn, opt)
        net.eval()
        with torch.no_grad():
            print("valid", run_epoch(net, val_loader, loss_fn))
    return net


@broken("trains-on-validation")
def loaders_concatenated(model, loader, val_loader, criterion, lr, epochs):
    # more data is better
    everything = ConcatDataset([loader.dataset, val_loader.dataset])
    train = DataLoader(everything, batch_size=loader.batch_size, shuffle=True)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(sum(((model(x) - y) ** 2).sum().item() for x, y in val_loader) / len(val_loader.dataset))


@right()
def loaders_apart(model, loader, val_loader, criterion, lr, epochs):
    train = DataLoader(loader.dataset, batch_size=loader.batch_size, shuffle=True)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(sum(((model(x) - y) ** 2).sum().item() for x, y in val_loader) / len(val_loader.dataset))


@broken("trains-on-validation")
def split_but_not_used(dataset, epochs, batch_size):
    n_val = int(0.2 * len(dataset))
    train_ds, val_ds = random_split(dataset, [len(dataset) - n_val, n_val])
    train_dl = DataLoader(dataset, batch_size=batch_size, shuffle=True)  # dataset for train_ds
    val_dl = DataLoader(val_ds, batch_size=batch_size)
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        model.train()
        for x, y in train_dl:
            loss = F.mse_loss(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            print(sum(F.mse_loss(model(x), y, reduction="sum").item() for x, y in val_dl) / n_val)
    return model


@right()
def split_and_used(dataset, epochs, batch_size):
    n_val = int(0.2 * len(dataset))
    train_ds, val_ds = random_split(dataset, [len(dataset) - n_val, n_val])
    train_dl = DataLoader(train_ds, batch_size=batch_size, shuffle=True)
    val_dl = DataLoader(val_ds, batch_size=batch_size)
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        model.train()
        for x, y in train_dl:
            loss = F.mse_loss(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            print(sum(F.mse_loss(model(x), y, reduction="sum").item() for x, y in val_dl) / n_val)
    return model


@broken("trains-on-validation")
class EarlyStoppingRegressor:
    """Cuts the validation rows out of rows that it also trains on."""

    def fit(self, X, y, max_epochs=60, patience=5):
        X_val, y_val = X[-20:], y[-20:]
        dl = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        opt = optim.SGD(self.model.parameters(), lr=0.05)
        best, bad = float("inf"), 0
        for _ in range(max_epochs):
            self.model.train()
            for xb, yb in dl:
                opt.zero_grad()
                F.mse_loss(self.model(xb), yb).backward()
                opt.step()
            self.model.eval()
            with torch.no_grad():
                val = F.mse_loss(self.model(X_val), y_val).item()
            best, bad = (val, 0) if val < best else (best, bad + 1)
            if bad >= patience:
                break
        return self


@right()
class EarlyStoppingRegressorCorrected:
    def fit(self, X, y, max_epochs=60, patience=5):
        order = torch.randperm(len(X))
        rows, held_out = order[:-20], order[-20:]
        dl = DataLoader(TensorDataset(X[rows], y[rows]), batch_size=16, shuffle=True)
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        opt = optim.SGD(self.model.parameters(), lr=0.05)
        best, bad = float("inf"), 0
        for _ in range(max_epochs):
            self.model.train()
            for xb, yb in dl:
                opt.zero_grad()
                F.mse_loss(self.model(xb), yb).backward()
                opt.step()
            self.model.eval()
            with torch.no_grad():
                val = F.mse_loss(self.model(X[held_out]), y[held_out]).item()
            best, bad = (val, 0) if val < best else (best, bad + 1)
            if bad >= patience:
                break
        return self
