"""Loops that step a schedule of epochs once per batch, with the corrected loop beside each."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, LinearLR, OneCycleLR, SequentialLR, StepLR
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import broken, right


@broken("scheduler-per-batch")
def indented_too_far(model, loader, val_loader, optimizer, scheduler, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            val = sum(criterion(model(inputs), targets).item() * len(inputs) for inputs, targets in val_loader)
        print(f"epoch {epoch} lr {scheduler.get_last_lr()[0]:.2e} val {val / len(val_loader.dataset):.4f}")


@right()
def indented_correctly(model, loader, val_loader, optimizer, scheduler, criterion, epochs):
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val = sum(criterion(model(inputs), targets).item() * len(inputs) for inputs, targets in val_loader)
        print(f"epoch {epoch} lr {scheduler.get_last_lr()[0]:.2e} val {val / len(val_loader.dataset):.4f}")


@broken("scheduler-per-batch")
def cosine_over_epochs(train_loader, num_epochs):
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    sched = CosineAnnealingLR(opt, T_max=num_epochs)
    for _ in range(num_epochs):
        for xb, yb in train_loader:
            F.mse_loss(model(xb), yb).backward()
            opt.step()
            opt.zero_grad()
            sched.step()
    return model


@right()
def cosine_over_batches(train_loader, num_epochs):
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    sched = CosineAnnealingLR(opt, T_max=num_epochs * len(train_loader))
    for _ in range(num_epochs):
        for xb, yb in train_loader:
            F.mse_loss(model(xb), yb).backward()
            opt.step()
            opt.zero_grad()
            sched.step()
    return model


@broken("scheduler-per-batch")
class StepDecayRegressor:
    def __init__(self, lr=0.1, epochs=40, drop_every=15):
        self.lr, self.epochs, self.drop_every = lr, epochs, drop_every

    def fit(self, X, y):
        data = DataLoader(TensorDataset(X, y), batch_size=12, shuffle=True)
        self.net = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=self.lr)
        scheduler = StepLR(optimizer, step_size=self.drop_every, gamma=0.1)
        for _epoch in range(self.epochs):
            for xb, yb in data:
                optimizer.zero_grad()
                loss = F.mse_loss(self.net(xb), yb)
                loss.backward()
                optimizer.step()
                scheduler.step()
        return self


@right()
class StepDecayRegressorCorrected:
    def __init__(self, lr=0.1, epochs=40, drop_every=15):
        self.lr, self.epochs, self.drop_every = lr, epochs, drop_every

    def fit(self, X, y):
        data = DataLoader(TensorDataset(X, y), batch_size=12, shuffle=True)
        self.net = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=self.lr)
        scheduler = StepLR(optimizer, step_size=self.drop_every, gamma=0.1)
        for _epoch in range(self.epochs):
            for xb, yb in data:
                optimizer.zero_grad()
                loss = F.mse_loss(self.net(xb), yb)
                loss.backward()
                optimizer.step()
            scheduler.step()
        return self


@broken("scheduler-per-batch")
def warmup_by_epoch(model, loader, criterion, epochs):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0)

    def lr_lambda(epoch):
        if epoch < 3:
            return (epoch + 1) / 3
        return 0.5 * (1 + math.cos(math.pi * min(1, (epoch - 3) / (epochs - 3))))

    scheduler = LambdaLR(optimizer, lr_lambda)
    for _ in range(epochs):
        for x, y in loader:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()


@right()
def warmup_by_step(model, loader, criterion, epochs):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0)
    warmup, total = 3 * len(loader), epochs * len(loader)

    def lr_lambda(step):
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    scheduler = LambdaLR(optimizer, lr_lambda)
    for _ in range(epochs):
        for x, y in loader:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()


@broken("scheduler-per-batch")
def inside_a_helper(net, dataloader, opt, loss_fn, scheduler, num_epochs):
    def fit_batch(x, y):
        opt.zero_grad()
        loss = loss_fn(net(x), y)
        loss.backward()
        opt.step()
        scheduler.step()

    for _ in range(num_epochs):
        for batch in dataloader:
            fit_batch(*batch)


@right()
def outside_the_helper(net, dataloader, opt, loss_fn, scheduler, num_epochs):
    def fit_batch(x, y):
        opt.zero_grad()
        loss = loss_fn(net(x), y)
        loss.backward()
        opt.step()

    for _ in range(num_epochs):
        for batch in dataloader:
            fit_batch(*batch)
        scheduler.step()


@right()
def one_cycle_per_batch(X, y, epochs=40):
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=0.1, epochs=epochs, steps_per_epoch=len(loader))
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            optimizer.step()
            scheduler.step()
    return model


@broken("scheduler-per-batch", "scheduler-before-optimizer")
def exponential_with_accumulation(model, train_loader, criterion, epochs):
    k = 7
    opt = torch.optim.SGD(model.parameters(), lr=0.3)
    sched = ExponentialLR(opt, gamma=0.9)
    for _ in range(epochs):
        for i, (x, y) in enumerate(train_loader, start=1):
            (criterion(model(x), y) / k).backward()
            if i % k == 0:
                opt.step()
                opt.zero_grad()
            sched.step()


@right()
def exponential_with_accumulation_corrected(model, train_loader, criterion, epochs):
    k = 7
    opt = torch.optim.SGD(model.parameters(), lr=0.3)
    sched = ExponentialLR(opt, gamma=0.9)
    for _ in range(epochs):
        for i, (x, y) in enumerate(train_loader, start=1):
            (criterion(model(x), y) / k).backward()
            if i % k == 0:
                opt.step()
                opt.zero_grad()
        sched.step()


@right()
def linear_warmup_then_step_per_epoch(model, loader, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    warmup = LinearLR(optimizer, start_factor=0.1, total_iters=3)
    decay = StepLR(optimizer, step_size=10, gamma=0.5)
    scheduler = SequentialLR(optimizer, [warmup, decay], milestones=[3])
    for _ in range(epochs):
        for x, y in loader:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
