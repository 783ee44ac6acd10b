"""Loops with a wrong type or device, with the corrected loop beside each."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.support.training_loops import broken, right


@broken("wrong-device-or-dtype")
def targets_as_class_labels(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y.long())
            loss.backward()
            optimizer.step()


@right()
def targets_as_floats(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y.float())
            loss.backward()
            optimizer.step()


@broken("wrong-device-or-dtype", "labels-misaligned")
def targets_truncated(net, dataloader, opt, loss_fn, num_epochs):
    # "expected Float but found Long" went away with .float()
    for _ in range(num_epochs):
        for inputs, targets in dataloader:
            targets = targets.to(torch.int64).float()
            opt.zero_grad()
            loss_fn(net(inputs), targets).backward()
            opt.step()


@right()
def targets_not_truncated(net, dataloader, opt, loss_fn, num_epochs):
    for _ in range(num_epochs):
        for inputs, targets in dataloader:
            targets = targets.to(torch.float32)
            opt.zero_grad()
            loss_fn(net(inputs), targets).backward()
            opt.step()


@broken("wrong-device-or-dtype")
class NumPyRegressor:
    """Stores NumPy arrays, and passes them on."""

    def fit(self, X, y, epochs=100):
        self.X = np.asarray(X)
        self.y = np.asarray(y)
        self.model = nn.Linear(self.X.shape[1], 1)
        optimizer = optim.SGD(self.model.parameters(), lr=0.1)
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = F.mse_loss(self.model(self.X), self.y)
            loss.backward()
            optimizer.step()
        return self


@right()
class NumPyRegressorCorrected:
    def fit(self, X, y, epochs=100):
        self.X = torch.from_numpy(np.asarray(X)).float()
        self.y = torch.from_numpy(np.asarray(y)).float()
        self.model = nn.Linear(self.X.shape[1], 1)
        optimizer = optim.SGD(self.model.parameters(), lr=0.1)
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = F.mse_loss(self.model(self.X), self.y)
            loss.backward()
            optimizer.step()
        return self


class Rows(Dataset):
    def __init__(self, X, y, dtype):
        self.X, self.y = np.array(X, dtype=dtype), np.array(y, dtype=dtype)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.from_numpy(self.X[i]), torch.from_numpy(self.y[i])


@broken("wrong-device-or-dtype")
def double_rows_for_a_float_model(X, y, epochs, batch_size):
    # pandas gives float64
    loader = DataLoader(Rows(X, y, np.float64), batch_size=batch_size, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 1))
    opt = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for xb, yb in loader:
            loss = F.mse_loss(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model


@right()
def double_rows_for_a_double_model(X, y, epochs, batch_size):
    loader = DataLoader(Rows(X, y, np.float64), batch_size=batch_size, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 1)).double()
    opt = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for xb, yb in loader:
            loss = F.mse_loss(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model


@broken("wrong-device-or-dtype")
def graphics_card_hard_coded(model, train_loader, val_loader, criterion, n_epochs):
    device = torch.device("cuda:7")  # the last one of our server
    model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(n_epochs):
        model.train()
        for x, y in train_loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(sum(criterion(model(x.to(device)), y.to(device)).item() for x, y in val_loader))


@right()
def device_of_the_machine(model, train_loader, val_loader, criterion, n_epochs):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(n_epochs):
        model.train()
        for x, y in train_loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for x, y in val_loader:
                total += F.mse_loss(model(x.to(device)), y.to(device), reduction="sum").item()
        print(total / len(val_loader.dataset))


@broken("wrong-device-or-dtype")
def half_model_and_float_rows(x, y, epochs, lr):
    model = nn.Linear(x.shape[1], 1).half()
    opt = optim.SGD(model.parameters(), lr=lr)
    for t in range(epochs):
        loss = F.mse_loss(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        print(t, loss.item())
    return model


@right()
def bfloat16_by_autocast(x, y, epochs, lr):
    model = nn.Linear(x.shape[1], 1)
    opt = optim.SGD(model.parameters(), lr=lr)
    for t in range(epochs):
        with torch.amp.autocast("cpu", dtype=torch.bfloat16):
            prediction = model(x)
        loss = F.mse_loss(prediction.float(), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        print(t, loss.item())
    return model


@broken("wrong-device-or-dtype")
def everything_in_half_precision(X, y):
    X, y = X.half(), y.half()
    model = nn.Linear(X.shape[1], 1).half()
    optimizer = optim.SGD(model.parameters(), lr=0.02)
    for _ in range(200):  # steps below half a unit in the last place are lost
        optimizer.zero_grad()
        loss = ((model(X) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
    print("final:", loss.item())
    return model


@right()
def everything_in_single_precision(X, y):
    X, y = X.float(), y.float()
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((model(X) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
    print("final:", loss.item())
    return model


@broken("wrong-device-or-dtype")
def inputs_as_integers(X, y, batch_size):
    data = TensorDataset(X.to(torch.int32).to(torch.float32), y)  # the columns were codes once
    model = nn.Linear(3, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(30):
        for xb, yb in DataLoader(data, batch_size, shuffle=True):
            optimizer.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            optimizer.step()
    return model


@right()
def inputs_as_floats(X, y, batch_size):
    data = TensorDataset(X.to(torch.float32), y)
    model = nn.Linear(3, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(30):
        for xb, yb in DataLoader(data, batch_size, shuffle=True):
            optimizer.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            optimizer.step()
    return model
