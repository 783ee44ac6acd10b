"""Optimizers that do not hold the parameters of the model."""

import copy

import lightning as L
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


class LinearModel(nn.Module):
    def __init__(self, n_in=3):
        super().__init__()
        self.linear = nn.Linear(n_in, 1)

    def forward(self, x):
        return self.linear(x)


model = LinearModel()
optimizer = optim.SGD(model.parameters(), lr=0.1)
criterion = nn.MSELoss()


@broken("optimizer-of-another-model")
def train_new_net(X, y, epochs=40):
    net = LinearModel(X.shape[1])
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(net(X), y)
        loss.backward()
        optimizer.step()
        if epoch % 10 == 0:
            print(f"{epoch}: {loss.item():.4f}")
    return net


@right()
def train_new_net_corrected(X, y, epochs=40):
    net = LinearModel(X.shape[1])
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(net(X), y)
        loss.backward()
        optimizer.step()
        if epoch % 10 == 0:
            print(f"{epoch}: {loss.item():.4f}")
    return net


@broken("optimizer-of-another-model")
def train_copy(model, loader, optimizer, criterion, epochs):
    model = copy.deepcopy(model)
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@right()
def train_and_keep_best(model, loader, optimizer, criterion, epochs):
    best_loss, best_state = float("inf"), None
    for _ in range(epochs):
        model.train()
        for xb, yb in loader:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            X, y = loader.dataset.tensors
            epoch_loss = criterion(model(X), y).item()
        if epoch_loss < best_loss:
            best_loss, best_state = epoch_loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return model


@broken("optimizer-of-another-model")
class Regressor:
    """An estimator that starts from new weights in every fit."""

    def __init__(self, n_features=3, lr=0.1, n_epochs=45):
        self.n_features = n_features
        self.n_epochs = n_epochs
        self.net = nn.Linear(n_features, 1)
        self.optimizer = optim.SGD(self.net.parameters(), lr=lr, momentum=0.9)
        self.loss = nn.MSELoss()

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).view(-1, 1)
        self.net = nn.Linear(self.n_features, 1)
        for _ in range(self.n_epochs):
            self.optimizer.zero_grad()
            loss = self.loss(self.net(X), y)
            loss.backward()
            self.optimizer.step()
        return self


@right()
class RegressorCorrected:
    def __init__(self, n_features=3, lr=0.1, n_epochs=45):
        self.n_features = n_features
        self.n_epochs = n_epochs
        self.lr = lr
        self.loss = nn.MSELoss()

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).view(-1, 1)
        self.net = nn.Linear(self.n_features, 1)
        self.optimizer = optim.SGD(self.net.parameters(), lr=self.lr, momentum=0.9)
        for _ in range(self.n_epochs):
            self.optimizer.zero_grad()
            loss = self.loss(self.net(X), y)
            loss.backward()
            self.optimizer.step()
        return self


def init_weights(layer):
    layer.weight = nn.Parameter(torch.zeros_like(layer.weight))
    layer.bias = nn.Parameter(torch.zeros_like(layer.bias))


def init_weights_in_place(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


@broken("optimizer-of-another-model")
def fit_from_zero(X, y, lr=0.05):
    layer = nn.Linear(X.shape[1], 1)
    opt = torch.optim.Adam(layer.parameters(), lr=lr)
    init_weights(layer)
    dl = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(25):
        for xb, yb in dl:
            opt.zero_grad()
            F.mse_loss(layer(xb), yb).backward()
            opt.step()
    return layer


@right()
def fit_from_zero_corrected(X, y, lr=0.05):
    layer = nn.Linear(X.shape[1], 1)
    opt = torch.optim.Adam(layer.parameters(), lr=lr)
    init_weights_in_place(layer)
    dl = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(25):
        for xb, yb in dl:
            opt.zero_grad()
            F.mse_loss(layer(xb), yb).backward()
            opt.step()
    return layer


@broken("optimizer-of-another-model")
def best_of_three(X, y, lr=0.1, epochs=30):
    net = nn.Linear(X.shape[1], 1)
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    best, best_loss = None, np.inf
    for seed in range(3):
        torch.manual_seed(seed)
        net = nn.Linear(X.shape[1], 1)
        for _ in range(epochs):
            opt.zero_grad()
            loss = ((net(X) - y) ** 2).mean()
            loss.backward()
            opt.step()
        if loss.item() < best_loss:
            best, best_loss = net, loss.item()
    return best


@right()
def best_of_three_corrected(X, y, lr=0.1, epochs=30):
    best, best_loss = None, np.inf
    for seed in range(3):
        torch.manual_seed(seed)
        net = nn.Linear(X.shape[1], 1)
        opt = torch.optim.SGD(net.parameters(), lr=lr)
        for _ in range(epochs):
            opt.zero_grad()
            loss = ((net(X) - y) ** 2).mean()
            loss.backward()
            opt.step()
        if loss.item() < best_loss:
            best, best_loss = net, loss.item()
    return best


class LitBase(L.LightningModule):
    def __init__(self, p=3):
        super().__init__()
        self.net = nn.Linear(p, 1)

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=0.1)


@broken("optimizer-of-another-model")
class LitReset(LitBase):
    def on_fit_start(self):
        self.net = nn.Linear(self.net.in_features, 1)


@right()
class LitResetCorrected(LitBase):
    def on_fit_start(self):
        self.net.reset_parameters()
