"""Learning rates that fall once per batch by milestones, plateaus or by hand, and schedules that are right per batch."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.optim import lr_scheduler

from tests.support.training_loops import broken, right


def train(model, loader, optimizer, epochs, *, after_batch=None, after_epoch=None):
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            if after_batch is not None:
                after_batch(loss)
        if after_epoch is not None:
            after_epoch(loss)


@broken("scheduler-per-batch")
def milestones_per_batch(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    scheduler = lr_scheduler.MultiStepLR(optimizer, milestones=[10, 20], gamma=0.1)
    train(model, loader, optimizer, epochs, after_batch=lambda loss: scheduler.step())


@right()
def milestones_in_batches(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    half = epochs * len(loader) // 2
    scheduler = lr_scheduler.MultiStepLR(optimizer, milestones=[half, half + 50], gamma=0.1)
    train(model, loader, optimizer, epochs, after_batch=lambda loss: scheduler.step())


@broken("scheduler-per-batch")
def plateau_per_batch(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    train(model, loader, optimizer, epochs, after_batch=lambda loss: scheduler.step(loss.item()))


@right()
def plateau_per_epoch(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    train(model, loader, optimizer, epochs, after_epoch=lambda loss: scheduler.step(loss.item()))


@broken("scheduler-per-batch")
def factor_by_hand(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)

    def decay(_):
        for group in optimizer.param_groups:
            group["lr"] *= 0.9

    train(model, loader, optimizer, epochs, after_batch=decay)


@right()
def factor_by_hand_per_epoch(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)

    def decay(_):
        for group in optimizer.param_groups:
            group["lr"] *= 0.9

    train(model, loader, optimizer, epochs, after_epoch=decay)


class CosineByHand:
    def __init__(self, optimizer, total, lr):
        self.optimizer, self.total, self.lr, self.count = optimizer, total, lr, 0

    def step(self, _):
        self.count += 1
        lr = self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, self.count / self.total)))
        for group in self.optimizer.param_groups:
            group["lr"] = lr


@broken("scheduler-per-batch")
def cosine_by_hand_counts_epochs(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    train(model, loader, optimizer, epochs, after_batch=CosineByHand(optimizer, epochs, 0.2).step)


@right()
def cosine_by_hand_counts_batches(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    train(model, loader, optimizer, epochs, after_batch=CosineByHand(optimizer, epochs * len(loader), 0.2).step)


@right()
def cyclic_per_batch(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    scheduler = lr_scheduler.CyclicLR(optimizer, base_lr=0.01, max_lr=0.1, step_size_up=20)
    train(model, loader, optimizer, epochs, after_batch=lambda loss: scheduler.step())


@right()
def warm_up_then_cosine_per_batch(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    total = epochs * len(loader)
    warm_up = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=14)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - 14)
    scheduler = lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], milestones=[14])
    train(model, loader, optimizer, epochs, after_batch=lambda loss: scheduler.step())


@right()
def linear_warm_up_per_batch(model, loader, epochs):
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=30)
    train(model, loader, optimizer, epochs, after_batch=lambda loss: scheduler.step())


@right()
def decay_in_full_batches(X, y, lr=0.1, epochs=60):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.5)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.mse_loss(model(X), y).backward()
        optimizer.step()
        scheduler.step()
    return model


@broken("scheduler-before-optimizer")
def top_of_the_epoch_by_hand(X, y, epochs=40):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.98**epoch)
    for _ in range(epochs):
        scheduler.step()
        for rows in torch.randperm(len(X)).split(20):
            optimizer.zero_grad()
            F.mse_loss(model(X[rows]), y[rows]).backward()
            optimizer.step()
    return model
