"""Several trainings in one call: over seeds, folds and stages."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from tests.support.training_loops import broken, right


@broken("state-carried-over")
def over_seeds(X, y):
    model = nn.Linear(X.shape[1], 1)
    out = []
    for seed in range(5):
        torch.manual_seed(seed)
        opt = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(20):
            opt.zero_grad()
            loss = F.mse_loss(model(X), y)
            loss.backward()
            opt.step()
        out.append(loss.item())
    return out


@broken("state-carried-over")
def folds_loaders(X, y, epochs=8):
    ds = TensorDataset(X, y)
    idx = torch.randperm(len(X)).tolist()
    model = nn.Linear(X.shape[1], 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.05)
    for k in range(4):
        val = idx[k::4]
        tr = [i for i in idx if i not in set(val)]
        dl = DataLoader(Subset(ds, tr), batch_size=16, shuffle=True)
        for _ in range(epochs):
            for xb, yb in dl:
                opt.zero_grad()
                F.mse_loss(model(xb), yb).backward()
                opt.step()


@broken("state-carried-over")
def adam_left(X, y):
    model = nn.Linear(X.shape[1], 1)
    start = copy.deepcopy(model.state_dict())
    opt = torch.optim.Adam(model.parameters(), lr=0.05)
    for fold in range(3):
        model.load_state_dict(start)
        for _ in range(20):
            opt.zero_grad()
            F.mse_loss(model(X), y).backward()
            opt.step()


@right()
def folds_fresh(X, y, epochs=8):
    ds = TensorDataset(X, y)
    idx = torch.randperm(len(X)).tolist()
    for k in range(4):
        model = nn.Linear(X.shape[1], 1)
        opt = torch.optim.SGD(model.parameters(), lr=0.05)
        val = idx[k::4]
        tr = [i for i in idx if i not in set(val)]
        dl = DataLoader(Subset(ds, tr), batch_size=16, shuffle=True)
        for _ in range(epochs):
            for xb, yb in dl:
                opt.zero_grad()
                F.mse_loss(model(xb), yb).backward()
                opt.step()


@right()
def finetune(X, y):
    model = nn.Linear(X.shape[1], 1)
    for lr in (0.1, 0.01):
        opt = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(30):
            opt.zero_grad()
            F.mse_loss(model(X), y).backward()
            opt.step()


@right()
def frozen_then_all(X, y):
    model = nn.Sequential(nn.Linear(X.shape[1], 2), nn.Linear(2, 1))
    for p in model[0].parameters():
        p.requires_grad_(False)
    opt = torch.optim.SGD(model[1].parameters(), lr=0.05)
    for _ in range(20):
        opt.zero_grad()
        F.mse_loss(model(X), y).backward()
        opt.step()
    for p in model[0].parameters():
        p.requires_grad_(True)
    opt = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(50):
        opt.zero_grad()
        F.mse_loss(model(X), y).backward()
        opt.step()


@right()
def best_of_three_fresh(X, y):
    best = None
    for seed in range(3):
        torch.manual_seed(seed)
        m = nn.Linear(X.shape[1], 1)
        o = torch.optim.Adam(m.parameters(), lr=0.05)
        for _ in range(30):
            o.zero_grad()
            loss = F.mse_loss(m(X), y)
            loss.backward()
            o.step()
        if best is None or loss.item() < best[0]:
            best = (loss.item(), copy.deepcopy(m.state_dict()))
    m.load_state_dict(best[1])
    return m


@broken("weights-never-move")
def no_backward(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            criterion(model(xb), yb)
            optimizer.step()


@broken("weights-never-move")
def lr_zero(model, loader, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
