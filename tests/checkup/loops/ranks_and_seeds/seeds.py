"""Loops that draw the same random numbers in every epoch, with the corrected loop beside each."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, DistributedSampler, RandomSampler, TensorDataset

from tests.support.training_loops import broken, right


@broken("random-state-fixed-per-epoch")
def seed_set_in_the_epoch(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        torch.manual_seed(42)  # for reproducibility
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()


@right()
def seed_set_once(model, loader, optimizer, criterion, epochs):
    torch.manual_seed(42)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()


@broken("random-state-fixed-per-epoch")
def loader_made_in_the_epoch(dataset, batch_size, epochs, seed):
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        generator = torch.Generator().manual_seed(seed)
        for x, y in DataLoader(dataset, batch_size=batch_size, shuffle=True, generator=generator):
            loss = F.mse_loss(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model


@right()
def loader_made_once(dataset, batch_size, epochs, seed):
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, generator=generator)
    for _ in range(epochs):
        for x, y in loader:
            loss = F.mse_loss(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model


@broken("random-state-fixed-per-epoch")
class ShuffledByNumPy:
    """Mini-batches from a permutation by NumPy."""

    def __init__(self, batch_size=13, n_epochs=25, random_state=0):
        self.batch_size, self.n_epochs, self.random_state = batch_size, n_epochs, random_state

    def fit(self, X, y):
        self.w = torch.zeros(X.shape[1], 1)
        self.b = torch.zeros(1)
        for _ in range(self.n_epochs):
            rng = np.random.default_rng(self.random_state)
            order = rng.permutation(len(X))
            for start in range(0, len(X), self.batch_size):
                rows = order[start : start + self.batch_size]
                r = X[rows] @ self.w + self.b - y[rows]
                self.w -= 0.1 * 2 * X[rows].T @ r / len(rows)
                self.b -= 0.1 * 2 * r.mean()
        return self


@right()
class ShuffledByNumPyCorrected:
    def __init__(self, batch_size=13, n_epochs=25, random_state=0):
        self.batch_size, self.n_epochs, self.random_state = batch_size, n_epochs, random_state

    def fit(self, X, y):
        self.w = torch.zeros(X.shape[1], 1)
        self.b = torch.zeros(1)
        rng = np.random.default_rng(self.random_state)
        for _ in range(self.n_epochs):
            order = rng.permutation(len(X))
            for start in range(0, len(X), self.batch_size):
                rows = order[start : start + self.batch_size]
                r = X[rows] @ self.w + self.b - y[rows]
                self.w -= 0.1 * 2 * X[rows].T @ r / len(rows)
                self.b -= 0.1 * 2 * r.mean()
        return self


@broken("random-state-fixed-per-epoch")
def sampler_without_set_epoch(model, dataset, optimizer, criterion, epochs):
    # the script of the cluster, with one process
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True)
    loader = DataLoader(dataset, batch_size=17, sampler=sampler)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()


@right()
def sampler_with_set_epoch(model, dataset, optimizer, criterion, epochs):
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True)
    loader = DataLoader(dataset, batch_size=17, sampler=sampler)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()


class Jittered(Dataset):
    """Adds noise to the inputs; `seeded` draws the same noise for a row each time."""

    def __init__(self, X, y, seeded):
        self.X, self.y, self.seeded = X, y, seeded

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i) if self.seeded else None
        return self.X[i] + 0.05 * torch.randn(self.X.shape[1], generator=generator), self.y[i]


@broken("random-state-fixed-per-epoch")
def augmentation_seeded_by_row(X, y, epochs, lr):
    loader = DataLoader(Jittered(X, y, seeded=True), batch_size=17, shuffle=True)
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        for xb, yb in loader:
            opt.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            opt.step()
    return model


@right()
def augmentation_drawn_each_time(X, y, epochs, lr):
    loader = DataLoader(Jittered(X, y, seeded=False), batch_size=17, shuffle=True)
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        for xb, yb in loader:
            opt.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            opt.step()
    return model


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def train_one_epoch(model, dataset, optimizer, loss_fn, seed):
    seed_everything(seed)
    model.train()
    for x, y in DataLoader(dataset, batch_size=17, sampler=RandomSampler(dataset)):
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@broken("random-state-fixed-per-epoch")
def seed_in_a_helper(model, dataset, optimizer, loss_fn, epochs):
    for _ in range(epochs):
        train_one_epoch(model, dataset, optimizer, loss_fn, seed=1234)


@right()
def seed_of_the_epoch_in_a_helper(model, dataset, optimizer, loss_fn, epochs):
    for epoch in range(epochs):
        train_one_epoch(model, dataset, optimizer, loss_fn, seed=1234 + epoch)


@broken("random-state-fixed-per-epoch")
def rows_shuffled_by_random(X, y, num_epochs):
    model = nn.Sequential(nn.Linear(3, 1))
    opt = optim.Adam(model.parameters(), lr=0.03)
    for _ in range(num_epochs):
        indices = list(range(len(X)))
        random.Random(7).shuffle(indices)
        for k in range(0, len(X), 20):
            batch = indices[k : k + 20]
            loss = F.mse_loss(model(X[batch]), y[batch])
            opt.zero_grad()
            loss.backward()
            opt.step()


@right()
def rows_shuffled_by_one_random(X, y, num_epochs):
    rng = random.Random(7)
    model = nn.Sequential(nn.Linear(3, 1))
    opt = optim.Adam(model.parameters(), lr=0.03)
    for _ in range(num_epochs):
        indices = list(range(len(X)))
        rng.shuffle(indices)
        for k in range(0, len(X), 20):
            batch = indices[k : k + 20]
            loss = F.mse_loss(model(X[batch]), y[batch])
            opt.zero_grad()
            loss.backward()
            opt.step()


@broken("random-state-fixed-per-epoch")
def noise_from_the_same_generator(X, y, epochs):
    model = nn.Linear(3, 1)
    opt = optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True)
    for _ in range(epochs):
        torch.manual_seed(0)
        for xb, yb in loader:
            noisy = xb + 0.02 * torch.randn_like(xb)
            loss = F.mse_loss(model(noisy), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model
