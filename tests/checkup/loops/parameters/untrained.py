"""Parameters that no step changes, and graphs that are cut."""

import lightning as L
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("parameter-not-trained")
def train_weight(X, y, lr=0.1, epochs=60):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD([model.weight], lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
    return model


@right()
def train_weight_and_bias(X, y, lr=0.1, epochs=60):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD([model.weight, model.bias], lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
    return model


class LinReg(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.w = nn.Parameter(torch.randn(p, 1) * 0.1)
        self.b = torch.zeros(1, requires_grad=True)

    def forward(self, x):
        return x @ self.w + self.b


class LinRegRegistered(LinReg):
    def __init__(self, p):
        super().__init__(p)
        self.b = nn.Parameter(torch.zeros(1))


class LinRegEstimator:
    module = LinReg

    def __init__(self, lr=0.1, max_iter=40):
        self.lr = lr
        self.max_iter = max_iter

    def fit(self, X, y):
        X, y = torch.as_tensor(X).float(), torch.as_tensor(y).float().reshape(-1, 1)
        self.module_ = self.module(X.shape[1])
        optimizer = optim.SGD(self.module_.parameters(), lr=self.lr)
        loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
        for _ in range(self.max_iter):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = (self.module_(xb) - yb).pow(2).mean()
                loss.backward()
                optimizer.step()
        return self


@broken("parameter-not-trained")
class PlainTensorBias(LinRegEstimator):
    module = LinReg


@right()
class RegisteredBias(LinRegEstimator):
    module = LinRegRegistered


@broken("parameter-not-trained")
def finetune(model, loader, criterion, lr, epochs):
    for name, param in model.named_parameters():
        if "weight" not in name:
            param.requires_grad = False
    optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=lr)
    for _ in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()


@broken("parameter-not-trained")
def numpy_style(X, y, alpha=0.1, iterations=50):
    W = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.ones(1, requires_grad=True)
    for it in range(iterations):
        cost = torch.sum((X.matmul(W) + b - y) ** 2) / X.shape[0]
        cost.backward()
        with torch.no_grad():
            W -= alpha * W.grad
            W.grad.zero_()
            b.grad.zero_()
        if it % 10 == 0:
            print(f"cost after iteration {it}: {cost.item()}")
    return W, b


@right()
def numpy_style_corrected(X, y, alpha=0.1, iterations=50):
    W = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.ones(1, requires_grad=True)
    for it in range(iterations):
        cost = torch.sum((X.matmul(W) + b - y) ** 2) / X.shape[0]
        cost.backward()
        with torch.no_grad():
            W -= alpha * W.grad
            b -= alpha * b.grad
            W.grad.zero_()
            b.grad.zero_()
        if it % 10 == 0:
            print(f"cost after iteration {it}: {cost.item()}")
    return W, b


class LitGroups(L.LightningModule):
    def __init__(self, dim=3):
        super().__init__()
        self.layer = nn.Linear(dim, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self.layer(x), y)


@broken("parameter-not-trained")
class LitWeightGroup(LitGroups):
    def configure_optimizers(self):
        decay = [p for n, p in self.named_parameters() if "bias" not in n]
        return optim.AdamW([{"params": decay, "weight_decay": 0.0}], lr=0.05)


@right()
class LitTwoGroups(LitGroups):
    def configure_optimizers(self):
        decay = [p for n, p in self.named_parameters() if "bias" not in n]
        no_decay = [p for n, p in self.named_parameters() if "bias" in n]
        return optim.AdamW([{"params": decay, "weight_decay": 0.0}, {"params": no_decay, "weight_decay": 0.0}], lr=0.05)


@broken("graph-detached")
def train_variable(X, y, lr=0.1, epochs=50):
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss = torch.tensor(loss.item(), requires_grad=True)
        loss.backward()
        optimizer.step()
        if epoch % 10 == 9:
            print("Epoch:", epoch + 1, "Loss:", loss.item())
    return model


@broken("graph-detached")
def train_numpy_predictions(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        total = 0.0
        for data, target in loader:
            optimizer.zero_grad()
            pred = torch.from_numpy(model(data).detach().numpy())
            loss = criterion(pred, target)
            loss.requires_grad = True
            loss.backward()
            optimizer.step()
            total += loss.item() * len(data)
        print(total / len(loader.dataset))
    return model


@right()
def train_numpy_predictions_corrected(model, loader, optimizer, criterion, epochs):
    predictions = None
    for _ in range(epochs):
        for data, target in loader:
            optimizer.zero_grad()
            pred = model(data)
            loss = criterion(pred, target)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            predictions = np.concatenate([model(data).numpy() for data, _ in loader])
    return predictions.std()


@broken("graph-detached")
class PredictAndFit:
    """`predict` serves both the user and the loop."""

    def __init__(self, lr=0.1, epochs=20):
        self.lr = lr
        self.epochs = epochs

    @torch.no_grad()
    def predict(self, X):
        return self.linear(torch.as_tensor(X, dtype=torch.float32))

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.linear = nn.Linear(X.shape[1], 1)
        opt = torch.optim.SGD(self.linear.parameters(), lr=self.lr)
        for _ in range(self.epochs):
            loss = F.mse_loss(self.predict(X), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        return self


@right()
class PredictAndFitCorrected(PredictAndFit):
    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.linear = nn.Linear(X.shape[1], 1)
        opt = torch.optim.SGD(self.linear.parameters(), lr=self.lr)
        for _ in range(self.epochs):
            loss = F.mse_loss(self.linear(X), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        return self


@broken("graph-detached", "parameter-not-trained")
def train_detached_bias(x, y, lr=0.1, epochs=30):
    w = torch.zeros(x.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    opt = torch.optim.SGD([w, b], lr=lr)
    for _ in range(epochs):
        opt.zero_grad()
        y_hat = x @ w + b.data
        loss = torch.mean((y_hat - y) ** 2)
        loss.backward()
        opt.step()
    return w, b


@broken("graph-detached")
def train_list_of_losses(model, X, y, optimizer, epochs=25):
    for epoch in range(epochs):
        losses = []
        for xi, yi in zip(X, y):
            losses.append(((model(xi) - yi) ** 2).item())
        loss = torch.tensor(losses, requires_grad=True).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(epoch, loss.item())


@right()
def train_list_of_losses_corrected(model, X, y, optimizer, epochs=25):
    for epoch in range(epochs):
        losses = []
        for xi, yi in zip(X, y):
            losses.append((model(xi) - yi) ** 2)
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(epoch, loss.item())
