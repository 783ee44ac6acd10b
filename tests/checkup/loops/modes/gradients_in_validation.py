"""Loops that validate with gradients switched on, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim

from tests.support.training_loops import broken, right


@broken("grad-in-validation")
def no_grad_forgotten(model, loader, val_loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        val_loss = 0.0
        for data, target in val_loader:
            val_loss += criterion(model(data), target).item() * len(target)
        print(f"[{epoch}] val: {val_loss / len(val_loader.dataset):.4f}")


@right()
def no_grad_there(model, loader, val_loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        val_loss = 0.0
        with torch.no_grad():
            for data, target in val_loader:
                val_loss += criterion(model(data), target).item() * len(target)
        print(f"[{epoch}] val: {val_loss / len(val_loader.dataset):.4f}")


@broken("grad-in-validation")
def no_grad_called_but_not_entered(net, train_loader, val_loader, opt, loss_fn, n_epochs):
    for _ in range(n_epochs):
        net.train()
        for xb, yb in train_loader:
            loss = loss_fn(net(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
        net.eval()
        torch.no_grad()
        mse = sum(((net(xb) - yb) ** 2).sum().item() for xb, yb in val_loader) / len(val_loader.dataset)
        print(mse)
    return net


@right()
def no_grad_entered(net, train_loader, val_loader, opt, loss_fn, n_epochs):
    for _ in range(n_epochs):
        net.train()
        for xb, yb in train_loader:
            loss = loss_fn(net(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
        net.eval()
        with torch.no_grad():
            mse = sum(((net(xb) - yb) ** 2).sum().item() for xb, yb in val_loader) / len(val_loader.dataset)
        print(mse)
    return net


class Trainer:
    """The base of the two classes below."""

    def __init__(self, model, optimizer, criterion):
        self.model, self.optimizer, self.criterion = model, optimizer, criterion

    def train_epoch(self, loader):
        self.model.train()
        for x, y in loader:
            self.optimizer.zero_grad()
            self.criterion(self.model(x), y).backward()
            self.optimizer.step()


class TrainerWithGradients(Trainer):
    def validate(self, loader):
        self.model.eval()
        losses = [self.criterion(self.model(x), y).detach() * len(x) for x, y in loader]
        return float(sum(losses)) / len(loader.dataset)


class TrainerWithoutGradients(Trainer):
    @torch.no_grad()
    def validate(self, loader):
        self.model.eval()
        losses = [self.criterion(self.model(x), y) * len(x) for x, y in loader]
        return float(sum(losses)) / len(loader.dataset)


@broken("grad-in-validation")
def trainer_class(model, loader, val_loader, optimizer, criterion, epochs):
    trainer = TrainerWithGradients(model, optimizer, criterion)
    scores = []
    for _ in range(epochs):
        trainer.train_epoch(loader)
        scores.append(trainer.validate(val_loader))
    return scores


@right()
def trainer_class_corrected(model, loader, val_loader, optimizer, criterion, epochs):
    trainer = TrainerWithoutGradients(model, optimizer, criterion)
    scores = []
    for _ in range(epochs):
        trainer.train_epoch(loader)
        scores.append(trainer.validate(val_loader))
    return scores


@broken("grad-in-validation", "trains-on-validation")
def backward_in_validation(model, loader, val_loader, optimizer, criterion, epochs):
    # copied from the training loop, only optimizer.step() was removed
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        for x, y in val_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            print("val loss", loss.item())


@right()
def no_backward_in_validation(model, loader, val_loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for x, y in val_loader:
                loss = criterion(model(x), y)
                print("val loss", loss.item())


@broken("grad-in-validation")
class HoldoutRegressor:
    def fit(self, X, y, epochs=80):
        cut = len(X) - 21
        X_train, y_train, X_test, y_test = X[:cut], y[:cut], X[cut:], y[cut:]
        self.net = nn.Sequential(nn.Dropout(0.05), nn.Linear(X.shape[1], 1))
        opt = optim.SGD(self.net.parameters(), lr=0.1)
        self.test_losses = []
        for _ in range(epochs):
            self.net.train()
            loss = F.mse_loss(self.net(X_train), y_train)
            opt.zero_grad()
            loss.backward()
            opt.step()
            self.net.eval()
            self.test_losses.append(F.mse_loss(self.net(X_test), y_test).item())
        return self


@right()
class HoldoutRegressorCorrected:
    def fit(self, X, y, epochs=80):
        cut = len(X) - 21
        X_train, y_train, X_test, y_test = X[:cut], y[:cut], X[cut:], y[cut:]
        self.net = nn.Sequential(nn.Dropout(0.05), nn.Linear(X.shape[1], 1))
        opt = optim.SGD(self.net.parameters(), lr=0.1)
        self.test_losses = []
        for _ in range(epochs):
            self.net.train()
            loss = F.mse_loss(self.net(X_train), y_train)
            opt.zero_grad()
            loss.backward()
            opt.step()
            self.net.eval()
            with torch.inference_mode():
                self.test_losses.append(F.mse_loss(self.net(X_test), y_test).item())
        return self
