"""Losses of an epoch that are those of its last batch, or of weights that no longer exist."""

import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from tests.support.training_loops import broken, right


@broken("last-batch-loss")
def train_model(model, train_loader, optimizer, criterion, num_epochs):
    for epoch in range(num_epochs):
        for inputs, targets in train_loader:
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("epoch {}/{}, loss={:.6f}".format(epoch + 1, num_epochs, loss.item()))


@right()
def train_model_corrected(model, train_loader, optimizer, criterion, num_epochs):
    for epoch in range(num_epochs):
        for inputs, targets in train_loader:
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            inputs, targets = train_loader.dataset.tensors
            loss = criterion(model(inputs), targets)
        print("epoch {}/{}, loss={:.6f}".format(epoch + 1, num_epochs, loss.item()))


@broken("last-batch-loss")
def fit_adam(X, y, epochs=40, lr=0.03):
    dataset = TensorDataset(X, y)
    data_iter = DataLoader(dataset, batch_size=10, shuffle=True)
    net = nn.Sequential(nn.Linear(X.shape[1], 1))
    net[0].weight.data.normal_(0, 0.01)
    net[0].bias.data.fill_(0)
    trainer = optim.Adam(net.parameters(), lr=lr)
    losses = []
    for _ in tqdm(range(epochs)):
        for xb, yb in data_iter:
            loss = F.mse_loss(net(xb), yb)
            trainer.zero_grad()
            loss.backward()
            trainer.step()
        losses.append(loss.item())
    return losses


@right()
def fit_adam_corrected(X, y, epochs=40, lr=0.03):
    dataset = TensorDataset(X, y)
    data_iter = DataLoader(dataset, batch_size=10, shuffle=True)
    net = nn.Sequential(nn.Linear(X.shape[1], 1))
    net[0].weight.data.normal_(0, 0.01)
    net[0].bias.data.fill_(0)
    trainer = optim.Adam(net.parameters(), lr=lr)
    losses = []
    for _ in tqdm(range(epochs)):
        for xb, yb in data_iter:
            loss = F.mse_loss(net(xb), yb)
            trainer.zero_grad()
            loss.backward()
            trainer.step()
        with torch.no_grad():
            losses.append(F.mse_loss(net(X), y).item())
    return losses


@broken("last-batch-loss")
class EstimatorWithCurve:
    def __init__(self, learning_rate=0.05, n_epochs=20, batch_size=16, dtype=torch.float64):
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.dtype = dtype

    def fit(self, X, y):
        X = torch.as_tensor(X).to(self.dtype)
        y = torch.as_tensor(y).to(self.dtype).reshape(-1, 1)
        self.net_ = nn.Linear(X.shape[1], 1).to(self.dtype)
        self.loss_curve_ = []
        opt = optim.SGD(self.net_.parameters(), lr=self.learning_rate)
        for epoch in range(self.n_epochs):
            for idx in torch.randperm(len(X)).split(self.batch_size):
                residuals = y[idx] - self.net_(X[idx])
                loss = residuals.square().mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
            self.loss_curve_.append(self._epoch_loss(loss, X, y))
            print(f"Epoch {epoch}: MSE {self.loss_curve_[-1]:.5f}")
        return self

    def _epoch_loss(self, loss, X, y):
        return loss.item()


@right()
class EstimatorWithCurveCorrected(EstimatorWithCurve):
    @torch.no_grad()
    def _epoch_loss(self, loss, X, y):
        return (y - self.net_(X)).square().mean().item()


@broken("last-batch-loss")
def train_and_validate(model, loader, val_loader, optimizer, loss_fn, epochs):
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for x, y in val_loader:
                val_loss = loss_fn(model(x), y)
        print(f"epoch {epoch}: val_loss {val_loss:.4f}")


@right()
def train_and_validate_corrected(model, loader, val_loader, optimizer, loss_fn, epochs):
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        val_loss = 0.0
        with torch.no_grad():
            for x, y in val_loader:
                val_loss += loss_fn(model(x), y) * len(x)
        print(f"epoch {epoch}: val_loss {val_loss / len(val_loader.dataset):.4f}")


@broken("loss-while-moving")
def train_weighted(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        running_loss = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * inputs.size(0)
        epoch_loss = running_loss / len(loader.dataset)
        print(f"Train Loss: {epoch_loss:.4f}")


class AverageMeter:
    """Computes and stores the average and current value."""

    def __init__(self):
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count


@broken("loss-while-moving")
def train_with_meter(X, y, lr=0.02, epochs=25, batch_size=16):
    loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    log = []
    for _ in range(epochs):
        losses = AverageMeter()
        for features, target in loader:
            loss = F.mse_loss(model(features), target)
            losses.update(loss.item(), features.size(0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        log.append(losses.avg)
    return model, log


@right()
def train_with_meter_corrected(X, y, lr=0.02, epochs=25, batch_size=16):
    loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    log = []
    for _ in range(epochs):
        for features, target in loader:
            loss = F.mse_loss(model(features), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses = AverageMeter()
        with torch.no_grad():
            for features, target in loader:
                losses.update(F.mse_loss(model(features), target).item(), features.size(0))
        log.append(losses.avg)
    return model, log


@broken("loss-while-moving")
class SquaredErrorRegressor:
    def fit(self, X, y, alpha=0.05, epochs=20):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).view(-1, 1)
        self.w = torch.zeros(X.shape[1], 1)
        self.b = torch.zeros(1)
        self.errors_ = []
        for _ in range(epochs):
            sse = 0.0
            for idx in torch.randperm(len(X)).split(12):
                error = X[idx] @ self.w + self.b - y[idx]
                sse += (error**2).sum().item()
                self._update(X[idx], error, alpha)
            self.errors_.append(sse / len(X))
            print(self.errors_[-1])
        return self

    def _update(self, xb, error, alpha):
        self.w -= alpha * 2 * xb.T @ error / len(xb)
        self.b -= alpha * 2 * error.mean()


@right()
class SquaredErrorRegressorCorrected(SquaredErrorRegressor):
    def fit(self, X, y, alpha=0.05, epochs=20):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).view(-1, 1)
        self.w = torch.zeros(X.shape[1], 1)
        self.b = torch.zeros(1)
        self.errors_ = []
        for _ in range(epochs):
            for idx in torch.randperm(len(X)).split(12):
                self._update(X[idx], X[idx] @ self.w + self.b - y[idx], alpha)
            self.errors_.append(((X @ self.w + self.b - y) ** 2).mean().item())
            print(self.errors_[-1])
        return self


@broken("loss-while-moving")
class LitRunningLoss(L.LightningModule):
    def __init__(self, num_features=3):
        super().__init__()
        self.linear = nn.Linear(num_features, 1)
        self.squares, self.rows = 0.0, 0

    def forward(self, x):
        return self.linear(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.squares += loss.item() * len(x)
        self.rows += len(x)
        return loss

    def on_train_epoch_end(self):
        print(f"epoch {self.current_epoch}: train_loss={self.squares / self.rows:.6f}")
        self.squares, self.rows = 0.0, 0

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.1)
