"""Loops whose weights never move, with the corrected loop beside each."""

import copy

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("weights-never-move")
def step_without_parentheses(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step
        with torch.no_grad():
            total = sum(criterion(model(data), target).item() * len(data) for data, target in loader)
        print(f"Epoch {epoch}: {total / len(loader.dataset)}")


@right()
def step_with_parentheses(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            total = sum(criterion(model(data), target).item() * len(data) for data, target in loader)
        print(f"Epoch {epoch}: {total / len(loader.dataset)}")


@broken("weights-never-move")
def loop_variable_rebound(X, y, lr, epochs):
    model = nn.Linear(X.shape[1], 1)
    for _ in range(epochs):
        loss = F.mse_loss(model(X), y)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p = p - lr * p.grad
        print(loss.item())
    return model


@right()
def parameter_changed_in_place(X, y, lr, epochs):
    model = nn.Linear(X.shape[1], 1)
    for _ in range(epochs):
        loss = F.mse_loss(model(X), y)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= lr * p.grad
        print(loss.item())
    return model


@broken("weights-never-move")
def backward_forgotten(net, train_loader, opt, loss_fn, n_epochs, device):
    net.to(device)
    for _ in range(n_epochs):
        net.train()
        for inputs, labels in train_loader:
            inputs, labels = inputs.to(device), labels.to(device)
            opt.zero_grad()
            outputs = net(inputs)
            loss = loss_fn(outputs, labels)
            opt.step()
    print("Finished Training", loss.shape)


@right()
def backward_called(net, train_loader, opt, loss_fn, n_epochs, device):
    net.to(device)
    for _ in range(n_epochs):
        net.train()
        for inputs, labels in train_loader:
            inputs, labels = inputs.to(device), labels.to(device)
            opt.zero_grad()
            outputs = net(inputs)
            loss = loss_fn(outputs, labels)
            loss.backward()
            opt.step()
    print("Finished Training", loss.shape)


@broken("weights-never-move")
class AccumulatesForEver:
    """The batches of an epoch are fewer than the steps of accumulation."""

    def __init__(self, accumulate=16, lr=0.2):
        self.accumulate, self.lr = accumulate, lr

    def fit(self, X, y, epochs=25):
        loader = DataLoader(TensorDataset(X, y), batch_size=9, shuffle=True)  # 12 batches
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        optimizer = optim.SGD(self.model.parameters(), lr=self.lr)
        for _ in range(epochs):
            optimizer.zero_grad()
            for i, (xb, yb) in enumerate(loader, 1):
                loss = F.mse_loss(self.model(xb), yb) / self.accumulate
                loss.backward()
                if i % self.accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
        return self


@right()
class AccumulatesThreeBatches:
    def __init__(self, accumulate=3, lr=0.2):
        self.accumulate, self.lr = accumulate, lr

    def fit(self, X, y, epochs=25):
        loader = DataLoader(TensorDataset(X, y), batch_size=9, shuffle=True)  # 12 batches
        self.model = nn.Sequential(nn.Linear(X.shape[1], 1))
        optimizer = optim.SGD(self.model.parameters(), lr=self.lr)
        for _ in range(epochs):
            optimizer.zero_grad()
            for i, (xb, yb) in enumerate(loader, 1):
                loss = F.mse_loss(self.model(xb), yb) / self.accumulate
                loss.backward()
                if i % self.accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
        return self


@broken("weights-never-move", "lr-too-low")
def schedule_of_integer_division(model, dataloader, criterion, num_epochs):
    opt = optim.SGD(model.parameters(), lr=0.1)
    warmup = LambdaLR(opt, lambda epoch: min(1, epoch // 100))  # 0 in the first 100 epochs
    for _ in range(num_epochs):
        for x, y in dataloader:
            opt.zero_grad()
            criterion(model(x), y).backward()
            opt.step()
        warmup.step()


@right()
def schedule_of_true_division(model, dataloader, criterion, num_epochs):
    opt = optim.SGD(model.parameters(), lr=0.1)
    warmup = LambdaLR(opt, lambda epoch: min(1, (epoch + 1) / 5))
    for _ in range(num_epochs):
        for x, y in dataloader:
            opt.zero_grad()
            criterion(model(x), y).backward()
            opt.step()
        warmup.step()


@broken("weights-never-move")
def best_weights_restored_every_epoch(model, loader, val_loader, optimizer, criterion, epochs):
    best_state, best = copy.deepcopy(model.state_dict()), 0.0
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val = sum(((model(x) - y) ** 2).sum().item() for x, y in val_loader) / len(val_loader.dataset)
        if val < best:  # never below 0: best should start at infinity
            best, best_state = val, copy.deepcopy(model.state_dict())
        model.load_state_dict(best_state)
    return model


@right()
def best_weights_restored_at_the_end(model, loader, val_loader, optimizer, criterion, epochs):
    best_state, best = copy.deepcopy(model.state_dict()), float("inf")
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val = sum(((model(x) - y) ** 2).sum().item() for x, y in val_loader) / len(val_loader.dataset)
        if val < best:
            best, best_state = val, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return model
