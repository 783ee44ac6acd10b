"""Loops that train a model in evaluation mode, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim

from tests.support.training_loops import broken, right


@broken("no-train-mode")
def train_called_once(model, loader, val_loader, optimizer, criterion, epochs):
    model.train()
    for epoch in range(epochs):
        for x, y in loader:
            pred = model(x)
            loss = criterion(pred, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            error = sum(((model(x) - y) ** 2).sum().item() for x, y in val_loader)
        print(epoch, error / len(val_loader.dataset))


@right()
def train_called_every_epoch(model, loader, val_loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            pred = model(x)
            loss = criterion(pred, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            error = sum(((model(x) - y) ** 2).sum().item() for x, y in val_loader)
        print(epoch, error / len(val_loader.dataset))


class DropoutRegression(nn.Module):
    def __init__(self, in_features=3):
        super().__init__()
        self.fc = nn.Linear(in_features, 1)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        return self.fc(self.drop(x))


def validate(net, loader):
    net.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in loader:
            total += F.mse_loss(net(x), y, reduction="sum").item()
    return total / len(loader.dataset)


@broken("no-train-mode")
def validate_leaves_eval_mode(train_loader, val_loader, lr, n_epochs):
    net = DropoutRegression()
    opt = optim.SGD(net.parameters(), lr=lr)
    history = {"val": []}
    for _ in range(n_epochs):
        for x, y in train_loader:
            opt.zero_grad()
            F.mse_loss(net(x), y).backward()
            opt.step()
        history["val"].append(validate(net, val_loader))
    return history


@right()
def validate_then_train(train_loader, val_loader, lr, n_epochs):
    net = DropoutRegression()
    opt = optim.SGD(net.parameters(), lr=lr)
    history = {"val": []}
    for _ in range(n_epochs):
        net.train()
        for x, y in train_loader:
            opt.zero_grad()
            F.mse_loss(net(x), y).backward()
            opt.step()
        history["val"].append(validate(net, val_loader))
    return history


@broken("no-train-mode")
class FinetunedRegressor:
    """The model comes out of a loading function, which calls eval()."""

    def load(self, n_features):
        model = nn.Sequential(nn.Dropout(0.1), nn.Linear(n_features, 1))
        return model.eval()

    def fit(self, X, y, lr=0.1, epochs=60):
        self.model = self.load(X.shape[1])
        opt = optim.SGD(self.model.parameters(), lr=lr)
        for _ in range(epochs):
            opt.zero_grad()
            loss = F.mse_loss(self.model(X), y)
            loss.backward()
            opt.step()
        return self


@right()
class FinetunedRegressorCorrected:
    def load(self, n_features):
        model = nn.Sequential(nn.Dropout(0.1), nn.Linear(n_features, 1))
        return model.eval()

    def fit(self, X, y, lr=0.1, epochs=60):
        self.model = self.load(X.shape[1])
        opt = optim.SGD(self.model.parameters(), lr=lr)
        self.model.train()
        for _ in range(epochs):
            opt.zero_grad()
            loss = F.mse_loss(self.model(X), y)
            loss.backward()
            opt.step()
        self.model.eval()
        return self


@broken("no-train-mode")
def mode_by_flag(model, loader, val_loader, opt, loss_fn, epochs, device):
    model = model.to(device)
    for _ in range(epochs):
        for phase in ("train", "val"):
            model.train(phase == "training")  # never equal
            running, seen = 0.0, 0
            for inputs, labels in loader if phase == "train" else val_loader:
                inputs, labels = inputs.to(device), labels.to(device)
                opt.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    loss = loss_fn(model(inputs), labels)
                    if phase == "train":
                        loss.backward()
                        opt.step()
                running += loss.item() * inputs.size(0)
                seen += inputs.size(0)
            if phase == "val":
                print(f"{phase} loss: {running / seen:.4f}")
    return model


@right()
def mode_by_phase(model, loader, val_loader, opt, loss_fn, epochs, device):
    model = model.to(device)
    for _ in range(epochs):
        for phase in ("train", "val"):
            model.train(phase == "train")
            running, seen = 0.0, 0
            for inputs, labels in loader if phase == "train" else val_loader:
                inputs, labels = inputs.to(device), labels.to(device)
                opt.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    loss = loss_fn(model(inputs), labels)
                    if phase == "train":
                        loss.backward()
                        opt.step()
                running += loss.item() * inputs.size(0)
                seen += inputs.size(0)
            if phase == "val":
                print(f"{phase} loss: {running / seen:.4f}")
    return model


@broken("no-train-mode")
def validation_inside_the_epoch(net, train_loader, val_loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        net.train()
        for step, (x, y) in enumerate(train_loader):
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()
            if step == 2:  # all steps after this one run in eval mode
                net.eval()
                with torch.no_grad():
                    xv, yv = next(iter(val_loader))
                    print("val", criterion(net(xv), yv).item())


@right()
def validation_inside_the_epoch_corrected(net, train_loader, val_loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        net.train()
        for step, (x, y) in enumerate(train_loader):
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()
            if step == 2:
                net.eval()
                with torch.no_grad():
                    xv, yv = next(iter(val_loader))
                    print("val", criterion(net(xv), yv).item())
                net.train()
