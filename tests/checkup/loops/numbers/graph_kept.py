"""Loops that keep the graph of every batch in memory, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("graph-kept")
def losses_appended_as_tensors(model, loader, optimizer, criterion, epochs):
    losses = []
    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss)
    return losses


@right()
def losses_appended_as_numbers(model, loader, optimizer, criterion, epochs):
    losses = []
    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


@broken("graph-kept")
def total_of_tensors(X, y, epochs=50):
    model = nn.Linear(X.shape[1], 1)
    opt = optim.SGD(model.parameters(), lr=0.1)
    total_loss = 0
    for _ in range(epochs):
        loss = F.mse_loss(model(X), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total_loss += loss  # RAM grows with every epoch
    print("average loss over training:", total_loss / epochs)
    return model


@right()
def total_of_numbers(X, y, epochs=50):
    model = nn.Linear(X.shape[1], 1)
    opt = optim.SGD(model.parameters(), lr=0.1)
    total_loss = 0
    for _ in range(epochs):
        loss = F.mse_loss(model(X), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total_loss += loss.detach()
    print("average loss over training:", total_loss / epochs)
    return model


@broken("graph-kept")
class RegressorWithPredictions:
    """Keeps all predictions for a plot."""

    def fit(self, X, y, epochs=20):
        loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        self.predictions = []
        optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        for _ in range(epochs):
            for xb, yb in loader:
                pred = self.model(xb)
                optimizer.zero_grad()
                F.mse_loss(pred, yb).backward()
                optimizer.step()
                self.predictions.append(pred)
        return self


@right()
class RegressorWithDetachedPredictions:
    def fit(self, X, y, epochs=20):
        loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        self.predictions = []
        optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        for _ in range(epochs):
            for xb, yb in loader:
                pred = self.model(xb)
                optimizer.zero_grad()
                F.mse_loss(pred, yb).backward()
                optimizer.step()
                self.predictions.append(pred.detach().numpy())
        return self


@broken("graph-kept", "grad-in-validation")
def validation_losses_as_tensors(net, train_loader, val_loader, opt, loss_fn, n_epochs):
    val_history = []
    for _ in range(n_epochs):
        net.train()
        for x, y in train_loader:
            opt.zero_grad()
            loss_fn(net(x), y).backward()
            opt.step()
        net.eval()
        val_loss = 0
        for x, y in val_loader:
            val_loss = val_loss + loss_fn(net(x), y) * len(x)
        val_history.append(val_loss / len(val_loader.dataset))
    return val_history


@right()
def validation_losses_as_numbers(net, train_loader, val_loader, opt, loss_fn, n_epochs):
    val_history = []
    for _ in range(n_epochs):
        net.train()
        for x, y in train_loader:
            opt.zero_grad()
            loss_fn(net(x), y).backward()
            opt.step()
        net.eval()
        val_loss = 0
        with torch.no_grad():
            for x, y in val_loader:
                val_loss = val_loss + loss_fn(net(x), y) * len(x)
        val_history.append(float(val_loss / len(val_loader.dataset)))
    return val_history


class AverageMeter:
    def __init__(self):
        self.sum, self.count = 0, 0

    def update(self, value, n):
        self.sum += value * n
        self.count += n

    @property
    def avg(self):
        return self.sum / self.count


@broken("graph-kept")
def meter_of_tensors(model, dataloader, optimizer, criterion, num_epochs):
    meter = AverageMeter()
    for _ in range(num_epochs):
        for images, labels in dataloader:
            loss = criterion(model(images), labels)
            meter.update(loss, len(images))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return meter


@right()
def meter_of_numbers(model, dataloader, optimizer, criterion, num_epochs):
    meter = AverageMeter()
    for _ in range(num_epochs):
        for images, labels in dataloader:
            loss = criterion(model(images), labels)
            meter.update(loss.item(), len(images))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return meter


@broken("graph-kept")
def accumulated_and_logged(model, loader, criterion, epochs, lr):
    optimizer = optim.SGD(model.parameters(), lr=lr)
    log = {"loss": []}
    for _ in range(epochs):
        for i, (x, y) in enumerate(loader):
            loss = criterion(model(x), y) / len(loader)
            loss.backward()
            log["loss"].append(len(loader) * loss)
            if i + 1 == len(loader):
                optimizer.step()
                optimizer.zero_grad()
    return log


@right()
def accumulated_and_logged_corrected(model, loader, criterion, epochs, lr):
    optimizer = optim.SGD(model.parameters(), lr=lr)
    log = {"loss": []}
    for _ in range(epochs):
        for i, (x, y) in enumerate(loader):
            loss = criterion(model(x), y) / len(loader)
            loss.backward()
            log["loss"].append(len(loader) * float(loss))
            if i + 1 == len(loader):
                optimizer.step()
                optimizer.zero_grad()
    return log
