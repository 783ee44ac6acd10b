"""Loops that step the schedule before the optimizer, with the corrected loop beside each."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("scheduler-before-optimizer")
def as_before_torch_1_1(model, loader, optimizer, scheduler, criterion, epochs):
    for _ in range(epochs):
        scheduler.step()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()


@right()
def as_since_torch_1_1(model, loader, optimizer, scheduler, criterion, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        scheduler.step()


@broken("scheduler-before-optimizer")
def train_model(model, train_loader, val_loader, criterion, optimizer, scheduler, num_epochs):
    """The transfer learning tutorial of 2017."""
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            if phase == "train":
                scheduler.step()
                model.train()
            else:
                model.eval()
            dataloader = train_loader if phase == "train" else val_loader
            running_loss = 0.0
            for inputs, labels in dataloader:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    loss = criterion(model(inputs), labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
            if phase == "val":
                print(f"Epoch {epoch} val loss {running_loss / len(dataloader.dataset):.4f}")
    return model


@right()
def train_model_corrected(model, train_loader, val_loader, criterion, optimizer, scheduler, num_epochs):
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            model.train(phase == "train")
            dataloader = train_loader if phase == "train" else val_loader
            running_loss = 0.0
            for inputs, labels in dataloader:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    loss = criterion(model(inputs), labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
            if phase == "train":
                scheduler.step()
            else:
                print(f"Epoch {epoch} val loss {running_loss / len(dataloader.dataset):.4f}")
    return model


@broken("scheduler-before-optimizer")
def one_cycle_before_each_step(X, y):
    epochs = 30
    dl = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
    model = nn.Sequential(nn.Linear(X.shape[1], 1))
    opt = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    sched = lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=epochs * len(dl) + 1)
    for _ in range(epochs):
        for xb, yb in dl:
            loss = F.mse_loss(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            sched.step()
            opt.step()
    return model


@right()
def one_cycle_after_each_step(X, y):
    epochs = 30
    dl = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
    model = nn.Sequential(nn.Linear(X.shape[1], 1))
    opt = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    sched = lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=epochs * len(dl))
    for _ in range(epochs):
        for xb, yb in dl:
            loss = F.mse_loss(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
    return model


@broken("scheduler-before-optimizer")
class Estimator:
    def __init__(self, lr=0.2, epochs=100):
        self.lr, self.epochs = lr, epochs

    def fit(self, X, y):
        self.coef_ = nn.Parameter(torch.zeros(X.shape[1], 1))
        self.intercept_ = nn.Parameter(torch.zeros(1))
        optimizer = optim.SGD([self.coef_, self.intercept_], lr=self.lr)
        scheduler = lr_scheduler.MultiStepLR(optimizer, milestones=[60, 80], gamma=0.5)
        for _ in range(self.epochs):
            scheduler.step()
            optimizer.zero_grad()
            loss = F.mse_loss(X @ self.coef_ + self.intercept_, y)
            loss.backward()
            optimizer.step()
        return self


@right()
class EstimatorCorrected:
    def __init__(self, lr=0.2, epochs=100):
        self.lr, self.epochs = lr, epochs

    def fit(self, X, y):
        self.coef_ = nn.Parameter(torch.zeros(X.shape[1], 1))
        self.intercept_ = nn.Parameter(torch.zeros(1))
        optimizer = optim.SGD([self.coef_, self.intercept_], lr=self.lr)
        scheduler = lr_scheduler.MultiStepLR(optimizer, milestones=[60, 80], gamma=0.5)
        for _ in range(self.epochs):
            optimizer.zero_grad()
            loss = F.mse_loss(X @ self.coef_ + self.intercept_, y)
            loss.backward()
            optimizer.step()
            scheduler.step()
        return self


@broken("scheduler-before-optimizer")
def closures_and_a_schedule(net, loader, loss_fn, lr, n_epochs):
    opt = optim.SGD(net.parameters(), lr=lr)
    sched = lr_scheduler.ExponentialLR(opt, 0.95)
    for _ in range(n_epochs):
        sched.step()
        for xb, yb in loader:

            def closure():
                opt.zero_grad()
                loss = loss_fn(net(xb), yb)
                loss.backward()
                return loss

            opt.step(closure)


@right()
def closures_and_a_schedule_corrected(net, loader, loss_fn, lr, n_epochs):
    opt = optim.SGD(net.parameters(), lr=lr)
    sched = lr_scheduler.ExponentialLR(opt, 0.95)
    for _ in range(n_epochs):
        for xb, yb in loader:

            def closure():
                opt.zero_grad()
                loss = loss_fn(net(xb), yb)
                loss.backward()
                return loss

            opt.step(closure)
        sched.step()
