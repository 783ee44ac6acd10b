"""Loops that train on another loss than the mean of squared errors, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("wrong-loss")
def absolute_error_trained_and_squared_error_validated(model, loader, val_loader, optimizer, criterion, epochs):
    l1 = nn.L1Loss()
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = l1(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            mse = sum(criterion(model(x), y).item() * len(x) for x, y in val_loader) / len(val_loader.dataset)
        print(epoch, mse)


@right()
def squared_error_trained_and_absolute_error_validated(model, loader, val_loader, optimizer, criterion, epochs):
    l1 = nn.L1Loss()
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            mae = sum(l1(model(x), y).item() * len(x) for x, y in val_loader) / len(val_loader.dataset)
        print(epoch, mae)


@broken("wrong-loss")
def square_of_the_mean(X, y, lr, epochs):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for _ in range(4 * epochs):
        loss = torch.mean(X @ w + b - y) ** 2
        loss.backward()
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad.zero_()
        b.grad.zero_()
    return w, b


@right()
def mean_of_the_squares(X, y, lr, epochs):
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for _ in range(4 * epochs):
        loss = torch.mean((X @ w + b - y) ** 2)
        loss.backward()
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad.zero_()
        b.grad.zero_()
    return w, b


@broken("wrong-loss")
def logits_of_a_classifier(net, train_loader, opt, n_epochs):
    loss_fn = nn.BCEWithLogitsLoss()
    for _ in range(n_epochs):
        net.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = loss_fn(net(xb), yb)
            loss.backward()
            opt.step()
    return net


@right()
def squared_error_of_a_regression(net, train_loader, opt, n_epochs):
    loss_fn = nn.MSELoss()
    for _ in range(n_epochs):
        net.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = loss_fn(net(xb), yb)
            loss.backward()
            opt.step()
    return net


@broken("wrong-loss")
class RobustByAccident:
    def fit(self, X, y, epochs=60):
        loader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)
        self.layer = nn.Linear(X.shape[1], 1)
        optimizer = optim.Adam(self.layer.parameters(), lr=0.02)
        for _ in range(epochs):
            for inputs, targets in loader:
                loss = F.smooth_l1_loss(self.layer(inputs), targets, beta=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self


@right()
class LeastSquares:
    def fit(self, X, y, epochs=60):
        loader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)
        self.layer = nn.Linear(X.shape[1], 1)
        optimizer = optim.Adam(self.layer.parameters(), lr=0.02)
        for _ in range(epochs):
            for inputs, targets in loader:
                loss = F.mse_loss(self.layer(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self


@broken("wrong-loss")
def fourth_power(model, dataloader, opt, num_epochs):
    for _ in range(num_epochs):
        for x, y in dataloader:
            error = (model(x) - y) ** 2
            loss = (error**2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@right()
def second_power(model, dataloader, opt, num_epochs):
    for _ in range(num_epochs):
        for x, y in dataloader:
            error = model(x) - y
            loss = (error**2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@broken("wrong-loss", "weights-never-move")
def cross_entropy_of_one_output(net, loader, optimizer, epochs):
    # one output: its softmax is always 1, so the loss is 0
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), targets)
            loss.backward()
            optimizer.step()
            print(loss.item())


@broken("wrong-loss")
def square_of_the_target_only(net, loader, optimizer, epochs):
    for _ in range(epochs):
        for inputs, targets in loader:
            loss = torch.mean(net(inputs) ** 2 - targets**2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@right()
def square_of_the_difference(net, loader, optimizer, epochs):
    for _ in range(epochs):
        for inputs, targets in loader:
            loss = torch.mean((net(inputs) - targets) ** 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
