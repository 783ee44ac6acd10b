"""Loops whose loss becomes NaN or infinite, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("nan-loss", "wrong-loss")
def logarithm_of_negative_values(model, loader, optimizer, epochs):
    # RMSLE, as in the competition on house prices
    for epoch in range(epochs):
        for x, y in loader:
            pred = model(x)
            loss = torch.sqrt(F.mse_loss(torch.log(pred + 1), torch.log(y + 1)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"Epoch {epoch}: {loss.item()}")


@right()
def no_logarithm(model, loader, optimizer, epochs):
    for epoch in range(epochs):
        for x, y in loader:
            pred = model(x)
            loss = F.mse_loss(pred, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            mse = sum(F.mse_loss(model(x), y, reduction="sum").item() for x, y in loader) / len(loader.dataset)
        print(f"Epoch {epoch}: {mse}")


@broken("nan-loss")
class StandardizesTheOnes:
    """Adds a column of ones, then divides each column by its standard deviation: 0/0 for the ones."""

    def fit(self, X, y, lr=0.1, epochs=100):
        X = torch.cat([torch.ones(len(X), 1), X], dim=1)
        X = (X - X.mean(0)) / X.std(0)
        w = torch.zeros(X.shape[1], 1, requires_grad=True)
        for _ in range(epochs):
            loss = F.mse_loss(X @ w, y)
            loss.backward()
            with torch.no_grad():
                w -= lr * w.grad
                w.grad.zero_()
        self.w = w.detach()
        return self


@right()
class StandardizesBeforeTheOnes:
    def fit(self, X, y, lr=0.1, epochs=100):
        X = (X - X.mean(0)) / X.std(0)
        X = torch.cat([torch.ones(len(X), 1), X], dim=1)
        w = torch.zeros(X.shape[1], 1, requires_grad=True)
        for _ in range(epochs):
            loss = F.mse_loss(X @ w, y)
            loss.backward()
            with torch.no_grad():
                w -= lr * w.grad
                w.grad.zero_()
        self.w = w.detach()
        return self


@broken("nan-loss")
def scaled_by_batch(dataset, n_epochs):
    # 107 rows: the last batch of 53 has one row, whose standard deviation is NaN
    loader = DataLoader(dataset, batch_size=53, shuffle=True)
    model = nn.Linear(3, 1)
    opt = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(n_epochs):
        for x, y in loader:
            x = (x - x.mean(dim=0)) / x.std(dim=0)
            loss = F.mse_loss(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model


@right()
def scaled_once(dataset, n_epochs):
    rows = torch.stack([x for x, _ in dataset])
    mean, std = rows.mean(dim=0), rows.std(dim=0)
    loader = DataLoader(dataset, batch_size=53, shuffle=True)
    model = nn.Linear(3, 1)
    opt = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(2 * n_epochs):
        for x, y in loader:
            x = (x - mean) / std
            loss = F.mse_loss(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model


@broken("nan-loss", "wrong-device-or-dtype")
def loss_scaled_in_half_precision(net, train_loader, criterion, epochs, lr):
    # a scale of 65536 does not fit in float16
    opt = optim.SGD(net.parameters(), lr=lr)
    scale = 65536.0
    for _ in range(epochs):
        for x, y in train_loader:
            opt.zero_grad()
            loss = criterion(net(x), y).half() * scale
            loss.backward()
            for p in net.parameters():
                p.grad /= scale
            opt.step()


@right()
def loss_scaled_in_single_precision(net, train_loader, criterion, epochs, lr):
    opt = optim.SGD(net.parameters(), lr=lr)
    scale = 65536.0
    for _ in range(epochs):
        for x, y in train_loader:
            opt.zero_grad()
            loss = criterion(net(x), y) * scale
            loss.backward()
            for p in net.parameters():
                p.grad /= scale
            opt.step()


@broken("nan-loss")
def logarithm_of_scaled_targets(X, y, epochs=50):
    y = (y - y.min()) / (y.max() - y.min())
    y = torch.log(y)  # the smallest target is 0 now, and its logarithm is -inf
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    opt = optim.SGD([w, b], lr=0.1)
    for i in range(epochs):
        loss = ((X @ w + b - y) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        print(i, loss.item())
    return w, b


@right()
def scaled_targets(X, y, epochs=50):
    y = (y - y.min()) / (y.max() - y.min())
    w = torch.zeros(X.shape[1], 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    opt = optim.SGD([w, b], lr=0.1)
    for i in range(epochs):
        loss = ((X @ w + b - y) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        print(i, loss.item())
    return w, b


@broken("nan-loss")
def missing_values_read_as_nan(X, y, lr, n_epochs):
    raw = X.numpy().copy()
    raw[::20, 1] = float("nan")  # "?" in the file
    features = torch.from_numpy(raw)
    model = nn.Sequential(nn.Linear(features.shape[1], 1))
    loss_fn = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for epoch in range(n_epochs):
        loss = loss_fn(model(features), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"Epoch {epoch}, Loss: {loss.item():.4f}")
    return model


@right()
def missing_values_dropped(X, y, lr, n_epochs):
    raw = X.numpy().copy()
    complete = ~torch.from_numpy(raw).isnan().any(dim=1)
    features, targets = torch.from_numpy(raw)[complete], y[complete]
    model = nn.Sequential(nn.Linear(features.shape[1], 1))
    loss_fn = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    for epoch in range(n_epochs):
        loss = loss_fn(model(features), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"Epoch {epoch}, Loss: {loss.item():.4f}")
    return model


@broken("nan-loss")
def bfloat16_and_a_wrong_mean(model, dataloader, opt, num_epochs, device):
    # divides by the rows with weight, of which there are none
    for _ in range(num_epochs):
        for inputs, labels in dataloader:
            inputs, labels = inputs.to(device), labels.to(device)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = model(inputs)
            mask = (labels > 1e6).float()
            loss = (mask * (out.float() - labels) ** 2).sum() / mask.sum()
            opt.zero_grad()
            loss.backward()
            opt.step()


@right()
def bfloat16_and_a_right_mean(model, dataloader, opt, num_epochs, device):
    for _ in range(num_epochs):
        for inputs, labels in dataloader:
            inputs, labels = inputs.to(device), labels.to(device)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = model(inputs)
            mask = (labels < 1e6).float()
            loss = (mask * (out.float() - labels) ** 2).sum() / mask.sum()
            opt.zero_grad()
            loss.backward()
            opt.step()


@right()
def rows_in_a_data_loader(X, y, epochs=30):
    loader = DataLoader(TensorDataset(X, y), batch_size=27, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    opt = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for xb, yb in loader:
            loss = F.mse_loss(model(xb), yb)
            if not torch.isfinite(loss):
                raise FloatingPointError("the loss is not finite")
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model
