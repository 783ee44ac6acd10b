"""Steps that are taken twice, and backward passes through earlier losses."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


def train_step(model, batch, optimizer, criterion):
    x, y = batch
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


@broken("double-step")
def train_with_helper(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for batch in loader:
            train_step(model, batch, optimizer, criterion)
            optimizer.step()


@right()
def train_with_helper_corrected(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for batch in loader:
            train_step(model, batch, optimizer, criterion)


@broken("double-step")
def train_bf16(model, train_loader, optimizer, criterion, n_epochs):
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(n_epochs):
        for xb, yb in train_loader:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(xb), yb)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.step()


@right()
def train_bf16_corrected(model, train_loader, optimizer, criterion, n_epochs):
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(n_epochs):
        for xb, yb in train_loader:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(xb), yb)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()


@broken("double-step")
def fit(X, y, lr=0.1, epochs=40):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        for name, param in model.named_parameters():
            if param.grad is None:
                print("no gradient for", name)
            optimizer.step()
    return model


@right()
def fit_corrected(X, y, lr=0.1, epochs=40):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        for name, param in model.named_parameters():
            if param.grad is None:
                print("no gradient for", name)
        optimizer.step()
    return model


@broken("double-step")
class ClosureRegressor:
    def __init__(self, lr=0.05, max_epochs=30):
        self.lr = lr
        self.max_epochs = max_epochs

    def fit(self, X, y):
        X, y = torch.as_tensor(X).float(), torch.as_tensor(y).float().view(-1, 1)
        self.coef_ = nn.Parameter(torch.zeros(X.shape[1], 1))
        self.intercept_ = nn.Parameter(torch.zeros(1))
        opt = optim.SGD([self.coef_, self.intercept_], lr=self.lr)

        def closure():
            opt.zero_grad()
            loss = torch.mean((X @ self.coef_ + self.intercept_ - y) ** 2)
            loss.backward()
            return loss

        self.losses_ = []
        for _ in range(self.max_epochs):
            self.losses_.append(opt.step(closure).item())
            opt.step()
        return self


@right()
class ClosureRegressorCorrected:
    def __init__(self, lr=0.05, max_epochs=30):
        self.lr = lr
        self.max_epochs = max_epochs

    def fit(self, X, y):
        X, y = torch.as_tensor(X).float(), torch.as_tensor(y).float().view(-1, 1)
        self.coef_ = nn.Parameter(torch.zeros(X.shape[1], 1))
        self.intercept_ = nn.Parameter(torch.zeros(1))
        opt = optim.SGD([self.coef_, self.intercept_], lr=self.lr)

        def closure():
            opt.zero_grad()
            loss = torch.mean((X @ self.coef_ + self.intercept_ - y) ** 2)
            loss.backward()
            return loss

        self.losses_ = []
        for _ in range(self.max_epochs):
            self.losses_.append(opt.step(closure).item())
        return self


@broken("double-step")
def train_and_update(model, loader, optimizer, criterion, epochs, lr=0.1):
    for epoch in range(epochs):
        for x, y in loader:
            model.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            with torch.no_grad():
                for param in model.parameters():
                    param -= lr * param.grad
            optimizer.step()
    return model


@broken("backward-on-accumulated-loss")
def train_epoch_loss(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        epoch_loss = 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            epoch_loss += criterion(outputs, targets)
            epoch_loss.backward(retain_graph=True)
            optimizer.step()
        print(f"epoch {epoch + 1}: {epoch_loss.item() / len(loader):.5f}")


@right()
def train_epoch_loss_corrected(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: {evaluate(model, loader):.5f}")


@torch.no_grad()
def evaluate(model, loader):
    squares = rows = 0.0
    for inputs, targets in loader:
        squares += ((model(inputs) - targets) ** 2).sum().item()
        rows += len(inputs)
    return squares / rows


@broken("backward-on-accumulated-loss")
def train_total(X, y, lr=0.05, epochs=40):
    net = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(net.parameters(), lr=lr)
    total_loss = 0.0
    for _ in range(epochs):
        loss = nn.MSELoss()(net(X), y)
        total_loss = total_loss + loss
        optimizer.zero_grad()
        total_loss.backward(retain_graph=True)
        optimizer.step()
        print(loss.item())
    return net


@right()
def train_total_corrected(X, y, lr=0.05, epochs=40):
    net = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(net.parameters(), lr=lr)
    total_loss = 0.0
    for _ in range(epochs):
        loss = nn.MSELoss()(net(X), y)
        total_loss = total_loss + loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(loss.item())
    return net


@broken("backward-on-accumulated-loss")
class LossListRegressor:
    def __init__(self, lr=0.05, n_epochs=15):
        self.lr = lr
        self.n_epochs = n_epochs

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.model = nn.Linear(X.shape[1], 1)
        optimizer = optim.SGD(self.model.parameters(), lr=self.lr)
        loader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)
        for _ in range(self.n_epochs):
            losses = []
            for xb, yb in loader:
                losses.append(F.mse_loss(self.model(xb), yb))
                optimizer.zero_grad()
                sum(losses).backward(retain_graph=True)
                optimizer.step()
        return self


@right()
class LossListRegressorCorrected(LossListRegressor):
    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.model = nn.Linear(X.shape[1], 1)
        optimizer = optim.SGD(self.model.parameters(), lr=self.lr)
        loader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)
        for _ in range(self.n_epochs):
            losses = []
            for xb, yb in loader:
                loss = F.mse_loss(self.model(xb), yb)
                losses.append(loss.item())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self


@broken("backward-on-accumulated-loss")
def train_running(model, train_loader, optimizer, loss_fn, num_epochs):
    running_loss = 0.0
    for _ in range(num_epochs):
        for x, y in train_loader:
            optimizer.zero_grad()
            running_loss += loss_fn(model(x), y)
            running_loss.backward()
            optimizer.step()
    return running_loss


@right()
def train_running_corrected(model, train_loader, optimizer, loss_fn, num_epochs):
    for _ in range(num_epochs):
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
    return evaluate(model, train_loader)
