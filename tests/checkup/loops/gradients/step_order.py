"""Statements of a step in a wrong order."""

import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from tests.support.training_loops import broken, right


@broken("step-before-backward")
def train_model(model, train_loader, optimizer, criterion, num_epochs, device="cpu"):
    model.to(device)
    for epoch in range(num_epochs):
        model.train()
        for data, target in train_loader:
            data, target = data.to(device), target.to(device)
            optimizer.zero_grad()
            output = model(data)
            loss = criterion(output, target)
            optimizer.step()
            loss.backward()
        print(f"Epoch {epoch}: last batch {loss.item():.6f}")
    return model


@right()
def train_model_corrected(model, train_loader, optimizer, criterion, num_epochs, device="cpu"):
    model.to(device)
    for epoch in range(num_epochs):
        model.train()
        for data, target in train_loader:
            data, target = data.to(device), target.to(device)
            optimizer.zero_grad()
            output = model(data)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
    return model


@broken("step-before-backward")
class TorchLinear:
    def __init__(self, learning_rate=0.05, weight_decay=0.0, n_epochs=30, verbose=False):
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.n_epochs = n_epochs
        self.verbose = verbose

    def fit(self, X, y):
        X, y = torch.as_tensor(X).double(), torch.as_tensor(y).double().view(-1, 1)
        self.net = nn.Linear(X.size(1), 1, dtype=torch.float64)
        self.history = []
        optimizer = optim.AdamW(self.net.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        for epoch in range(self.n_epochs):
            pred = self.net(X)
            loss = F.mse_loss(pred, y)
            optimizer.step()
            loss.backward()
            optimizer.zero_grad()
            self.history.append(loss.detach().item())
            if self.verbose:
                print(epoch, self.history[-1])
        return self


@right()
class TorchLinearCorrected(TorchLinear):
    def fit(self, X, y):
        X, y = torch.as_tensor(X).double(), torch.as_tensor(y).double().view(-1, 1)
        self.net = nn.Linear(X.size(1), 1, dtype=torch.float64)
        self.history = []
        optimizer = optim.AdamW(self.net.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        for epoch in range(self.n_epochs):
            pred = self.net(X)
            loss = F.mse_loss(pred, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            self.history.append(loss.detach().item())
            if self.verbose:
                print(epoch, self.history[-1])
        return self


@broken("step-before-backward")
class ManualModule(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.loss_fn = nn.MSELoss()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        inputs, labels = batch
        loss = self.loss_fn(self.linear(inputs), labels)
        opt.zero_grad()
        opt.step()
        self.manual_backward(loss)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


@right()
class ManualModuleCorrected(ManualModule):
    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        inputs, labels = batch
        loss = self.loss_fn(self.linear(inputs), labels)
        opt.zero_grad()
        self.manual_backward(loss)
        opt.step()


@broken("zero-grad-before-step")
def simple_regression(X_train, y_train, epochs=100):
    model = nn.Sequential(nn.Flatten(), nn.Linear(X_train.shape[1], 1))
    opt = torch.optim.SGD(model.parameters(), lr=1e-1, momentum=0.5)
    loss_fn = nn.MSELoss()
    for t in range(epochs):
        y_hat = model(X_train)
        loss = loss_fn(y_hat, y_train)
        loss.backward()
        opt.zero_grad()
        opt.step()
        if t % 20 == 19:
            print(t, loss.item())
    return model.state_dict()


@right()
def simple_regression_corrected(X_train, y_train, epochs=100):
    model = nn.Sequential(nn.Flatten(), nn.Linear(X_train.shape[1], 1))
    opt = torch.optim.SGD(model.parameters(), lr=1e-1, momentum=0.5)
    loss_fn = nn.MSELoss()
    for t in range(epochs):
        y_hat = model(X_train)
        loss = loss_fn(y_hat, y_train)
        loss.backward()
        opt.step()
        opt.zero_grad()
        if t % 20 == 19:
            print(t, loss.item())
    return model.state_dict()


@broken("zero-grad-before-step")
def train_amp(model, loader, optimizer, loss_fn, epochs):
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(epochs):
        for x, y in loader:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                pred = model(x)
            loss = loss_fn(pred.float(), y)
            scaler.scale(loss).backward()
            optimizer.zero_grad(set_to_none=False)
            scaler.step(optimizer)
            scaler.update()
    return model


@right()
def train_amp_corrected(model, loader, optimizer, loss_fn, epochs):
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad(set_to_none=False)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                pred = model(x)
            loss = loss_fn(pred.float(), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    return model


@broken("zero-grad-before-step")
def gradient_descent(X, y, lr=0.1, steps=80):
    theta = torch.randn(X.shape[1] + 1, 1, dtype=torch.float64).mul_(0.01).requires_grad_()
    A = torch.cat([X.double(), torch.ones(len(X), 1, dtype=torch.float64)], dim=1)
    for _ in range(steps):
        loss = torch.mean((A @ theta - y.double()) ** 2)
        loss.backward()
        with torch.no_grad():
            theta.grad.zero_()
            theta -= lr * theta.grad
    return theta.detach()


@right()
def gradient_descent_corrected(X, y, lr=0.1, steps=80):
    theta = torch.randn(X.shape[1] + 1, 1, dtype=torch.float64).mul_(0.01).requires_grad_()
    A = torch.cat([X.double(), torch.ones(len(X), 1, dtype=torch.float64)], dim=1)
    for _ in range(steps):
        loss = torch.mean((A @ theta - y.double()) ** 2)
        loss.backward()
        with torch.no_grad():
            theta -= lr * theta.grad
            theta.grad.zero_()
    return theta.detach()


@broken("zero-grad-before-step")
def train_accumulating(model, dataloader, optimizer, criterion, epochs, accumulate=4):
    for _ in range(epochs):
        for i, (features, target) in enumerate(dataloader):
            loss = criterion(model(features), target) / accumulate
            loss.backward()
            if (i + 1) % accumulate == 0 or i + 1 == len(dataloader):
                optimizer.zero_grad()
                optimizer.step()


@right()
def train_accumulating_corrected(model, dataloader, optimizer, criterion, epochs, accumulate=4):
    for _ in range(epochs):
        for i, (features, target) in enumerate(dataloader):
            loss = criterion(model(features), target) / accumulate
            loss.backward()
            if (i + 1) % accumulate == 0 or i + 1 == len(dataloader):
                optimizer.step()
                optimizer.zero_grad()


@broken("stale-gradient", "step-before-backward")
def fit_line(X, y, lr=0.1, epochs=50):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr)
    losses = []
    for _ in tqdm(range(epochs)):
        loss = nn.functional.mse_loss(model(X), y)
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()
    return model, losses


@right()
def fit_line_corrected(X, y, lr=0.1, epochs=50):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr)
    losses = []
    for _ in tqdm(range(epochs)):
        loss = nn.functional.mse_loss(model(X), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, losses


@broken("stale-gradient")
def train_retained(model, X, y, optimizer, criterion, epochs=20):
    output = model(X)
    loss = criterion(output, y)
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
        optimizer.step()
        print("epoch", epoch, "loss", loss.item())
    return model


@right()
def train_retained_corrected(model, X, y, optimizer, criterion, epochs=20):
    for epoch in range(epochs):
        output = model(X)
        loss = criterion(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print("epoch", epoch, "loss", loss.item())
    return model


@broken("stale-gradient", "step-before-backward")
class MiniBatchRegression:
    def __init__(self, eta=0.05, epochs=20):
        self.eta, self.epochs = eta, epochs

    def _step(self, xb, yb):
        error = self.model(xb) - yb
        loss = error.pow(2).mean()
        self.opt.step()
        self.opt.zero_grad()
        loss.backward()

    def fit(self, X, y):
        ds = TensorDataset(torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32).reshape(len(y), 1))
        self.model = nn.Linear(ds.tensors[0].shape[1], 1)
        self.opt = torch.optim.SGD(self.model.parameters(), lr=self.eta)
        for _ in range(self.epochs):
            for xb, yb in DataLoader(ds, batch_size=16, shuffle=True):
                self._step(xb, yb)
        return self


@right()
class MiniBatchRegressionCorrected(MiniBatchRegression):
    def _step(self, xb, yb):
        error = self.model(xb) - yb
        loss = error.pow(2).mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()


@broken("stale-gradient")
def manual_updates(inputs, targets, lr=0.05, num_epochs=30):
    w = torch.zeros(inputs.shape[1], 1)
    b = torch.zeros(1)
    residual = inputs @ w + b - targets
    grad_w = 2 * inputs.t() @ residual / len(inputs)
    grad_b = 2 * residual.mean()
    for _ in range(num_epochs):
        w = w - lr * grad_w
        b = b - lr * grad_b
    return w, b


@right()
def manual_updates_corrected(inputs, targets, lr=0.05, num_epochs=30):
    w = torch.zeros(inputs.shape[1], 1)
    b = torch.zeros(1)
    for _ in range(num_epochs):
        residual = inputs @ w + b - targets
        grad_w = 2 * inputs.t() @ residual / len(inputs)
        grad_b = 2 * residual.mean()
        w = w - lr * grad_w
        b = b - lr * grad_b
    return w, b
