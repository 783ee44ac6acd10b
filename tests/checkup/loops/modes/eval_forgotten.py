"""Loops that validate a model in training mode, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Subset, TensorDataset

from tests.support.training_loops import broken, right


@broken("no-eval-mode")
def fixtures_of_a_template(model, loader, val_loader, optimizer, scheduler, criterion, epochs):
    best = float("inf")
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
        scheduler.step()
        val_loss, n = 0.0, 0
        with torch.no_grad():
            for inputs, targets in val_loader:
                val_loss += criterion(model(inputs), targets).item() * inputs.size(0)
                n += inputs.size(0)
        best = min(best, val_loss / n)
        print(f"{epoch=} val={val_loss / n:.5f}")
    return best


@right()
def fixtures_of_a_template_corrected(model, loader, val_loader, optimizer, scheduler, criterion, epochs):
    best = float("inf")
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        val_loss, n = 0.0, 0
        with torch.no_grad():
            for inputs, targets in val_loader:
                val_loss += criterion(model(inputs), targets).item() * inputs.size(0)
                n += inputs.size(0)
        best = min(best, val_loss / n)
        print(f"{epoch=} val={val_loss / n:.5f}")
    return best


class Net(nn.Module):
    def __init__(self, n_features, p=0.1):
        super().__init__()
        self.dropout = nn.Dropout(p)
        self.linear = nn.Linear(n_features, 1)

    def forward(self, x):
        return self.linear(self.dropout(x))


@broken("no-eval-mode")
def dropout_left_on(train_loader, val_loader, n_epochs):
    net = Net(3)
    opt = optim.Adam(net.parameters(), lr=0.03)
    val_losses = []
    for _ in range(n_epochs):
        for xb, yb in train_loader:
            loss = F.mse_loss(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            se = sum(((net(xv) - yv) ** 2).sum().item() for xv, yv in val_loader)
        val_losses.append(se / len(val_loader.dataset))
    return val_losses


@right()
def dropout_switched_off(train_loader, val_loader, n_epochs):
    net = Net(3)
    opt = optim.Adam(net.parameters(), lr=0.03)
    val_losses = []
    for _ in range(n_epochs):
        net.train()
        for xb, yb in train_loader:
            loss = F.mse_loss(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            se = sum(((net(xv) - yv) ** 2).sum().item() for xv, yv in val_loader)
        val_losses.append(se / len(val_loader.dataset))
    return val_losses


def train_one_epoch(model, loader, optimizer, loss_fn):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss_fn(model(data), target).backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model, loader, loss_fn):
    return sum(loss_fn(model(data), target).item() * len(data) for data, target in loader) / len(loader.dataset)


@broken("no-eval-mode")
def helpers_without_eval(model, loader, val_loader, optimizer, loss_fn, epochs):
    for epoch in range(1, epochs + 1):
        train_one_epoch(model, loader, optimizer, loss_fn)
        print(f"Epoch {epoch}: validation loss {evaluate(model, val_loader, loss_fn):.6f}")


@torch.no_grad()
def evaluate_in_eval_mode(model, loader, loss_fn):
    was_training = model.training
    model.eval()
    loss = sum(loss_fn(model(data), target).item() * len(data) for data, target in loader) / len(loader.dataset)
    model.train(was_training)
    return loss


@right()
def helpers_with_eval(model, loader, val_loader, optimizer, loss_fn, epochs):
    for epoch in range(1, epochs + 1):
        train_one_epoch(model, loader, optimizer, loss_fn)
        print(f"Epoch {epoch}: validation loss {evaluate_in_eval_mode(model, val_loader, loss_fn):.6f}")


@broken("no-eval-mode")
class BatchNormRegressor:
    """Holds out the last fifth of the rows."""

    def fit(self, X, y, epochs=30):
        n = len(X)
        cut = int(0.8 * n)
        data = TensorDataset(X, y)
        train_dl = DataLoader(Subset(data, range(cut)), batch_size=17, shuffle=True)
        valid_dl = DataLoader(Subset(data, range(cut, n)), batch_size=n)
        self.model = nn.Sequential(nn.BatchNorm1d(X.shape[1]), nn.Linear(X.shape[1], 1))
        opt = optim.SGD(self.model.parameters(), lr=0.05)
        for epoch in range(epochs):
            self.model.train()
            for xb, yb in train_dl:
                loss = F.mse_loss(self.model(xb), yb)
                loss.backward()
                opt.step()
                opt.zero_grad()
            # the running statistics of BatchNorm take in the validation rows here
            with torch.no_grad():
                valid_loss = [F.mse_loss(self.model(xb), yb).item() for xb, yb in valid_dl][0]
            print(epoch, valid_loss)
        return self


@right()
class BatchNormRegressorCorrected:
    def fit(self, X, y, epochs=30):
        n = len(X)
        cut = int(0.8 * n)
        data = TensorDataset(X, y)
        train_dl = DataLoader(Subset(data, range(cut)), batch_size=17, shuffle=True)
        valid_dl = DataLoader(Subset(data, range(cut, n)), batch_size=n)
        self.model = nn.Sequential(nn.BatchNorm1d(X.shape[1]), nn.Linear(X.shape[1], 1))
        opt = optim.SGD(self.model.parameters(), lr=0.05)
        for epoch in range(epochs):
            self.model.train()
            for xb, yb in train_dl:
                loss = F.mse_loss(self.model(xb), yb)
                loss.backward()
                opt.step()
                opt.zero_grad()
            self.model.eval()
            with torch.no_grad():
                valid_loss = [F.mse_loss(self.model(xb), yb).item() for xb, yb in valid_dl][0]
            print(epoch, valid_loss)
        return self


@broken("no-eval-mode")
def eval_without_parentheses(model, dataloader, val_loader, opt, criterion, num_epochs):
    for _ in range(num_epochs):
        model.train()
        for X, y in dataloader:
            opt.zero_grad()
            criterion(model(X), y).backward()
            opt.step()
        model.eval
        with torch.inference_mode():
            for X, y in val_loader:
                print(criterion(model(X), y).item())


@right()
def eval_with_parentheses(model, dataloader, val_loader, opt, criterion, num_epochs):
    for _ in range(num_epochs):
        model.train()
        for X, y in dataloader:
            opt.zero_grad()
            criterion(model(X), y).backward()
            opt.step()
        model.eval()
        with torch.inference_mode():
            for X, y in val_loader:
                print(criterion(model(X), y).item())
