"""Rows that samplers, splits and hand-made batches choose, and orders that repeat."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset, WeightedRandomSampler, random_split
from torch.utils.data.distributed import DistributedSampler

from tests.support.training_loops import broken, right


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    F.mse_loss(model(x), y).backward()
    optimizer.step()


@right()
def weighted_sampler(dataset, model, optimizer, epochs):
    weights = torch.ones(len(dataset))
    loader = DataLoader(dataset, batch_size=16, sampler=WeightedRandomSampler(weights, len(dataset)))
    for _ in range(epochs):
        for x, y in loader:
            step(model, optimizer, x, y)


@right()
def get_batch(X, y, model, optimizer):
    for _ in range(300):
        rows = torch.randint(len(X), (16,))
        step(model, optimizer, X[rows], y[rows])


@right()
def batches_without_end(loader, model, optimizer):
    batches = iter(loader)
    for _ in range(150):
        try:
            x, y = next(batches)
        except StopIteration:
            batches = iter(loader)
            x, y = next(batches)
        step(model, optimizer, x, y)


@right()
def held_out_rows(dataset, epochs=30):
    train, test = random_split(dataset, [87, 20], generator=torch.Generator().manual_seed(1))
    loader = DataLoader(train, batch_size=16, shuffle=True)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for x, y in loader:
            step(model, optimizer, x, y)
    return model, test


@right()
def five_folds(X, y, lr=0.1):
    scores = []
    for fold in torch.arange(len(X)).tensor_split(5):
        rows = torch.tensor([row for row in range(len(X)) if row not in set(fold.tolist())])
        model = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(10):
            for batch in rows[torch.randperm(len(rows))].split(20):
                step(model, optimizer, X[batch], y[batch])
        model.eval()
        with torch.no_grad():
            scores.append(F.mse_loss(model(X[fold]), y[fold]).item())
    return scores


@broken("not-shuffled", "random-state-fixed-per-epoch")
def one_permutation(X, y, model, optimizer, epochs):
    order = torch.randperm(len(X))
    for _ in range(epochs):
        for rows in order.split(16):
            step(model, optimizer, X[rows], y[rows])


@broken("random-state-fixed-per-epoch")
def seed_in_the_epoch(X, y, model, optimizer, epochs):
    for _ in range(epochs):
        torch.manual_seed(3)
        for rows in torch.randperm(len(X)).split(16):
            step(model, optimizer, X[rows], y[rows])


@broken("random-state-fixed-per-epoch")
def generator_made_each_epoch(dataset, model, optimizer, epochs):
    for epoch in range(epochs):
        loader = DataLoader(dataset, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(0))
        for x, y in loader:
            step(model, optimizer, x, y)


@broken("random-state-fixed-per-epoch")
def set_epoch_forgotten(dataset, model, optimizer, epochs):
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True)
    loader = DataLoader(dataset, batch_size=16, sampler=sampler)
    for _ in range(epochs):
        for x, y in loader:
            step(model, optimizer, x, y)


@right()
def set_epoch_called(dataset, model, optimizer, epochs):
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True)
    loader = DataLoader(dataset, batch_size=16, sampler=sampler)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for x, y in loader:
            step(model, optimizer, x, y)


@broken("random-state-fixed-per-epoch")
def same_noise_each_epoch(loader, model, optimizer, epochs):
    for _ in range(epochs):
        noise = torch.Generator().manual_seed(5)
        for x, y in loader:
            step(model, optimizer, x + 0.05 * torch.randn(x.shape, generator=noise), y)


@right()
def other_noise_each_epoch(loader, model, optimizer, epochs):
    noise = torch.Generator().manual_seed(5)
    for _ in range(epochs):
        for x, y in loader:
            step(model, optimizer, x + 0.05 * torch.randn(x.shape, generator=noise), y)


@broken("labels-misaligned")
def misaligned_from_the_second_epoch(X, y, model, optimizer, epochs):
    rows = np.arange(len(X))
    for _ in range(epochs):
        order = np.random.permutation(len(X))
        rows = rows[order]
        for start in range(0, len(X), 16):
            step(model, optimizer, X[rows[start : start + 16]], y[order[start : start + 16]])


@broken("labels-misaligned")
def misaligned_last_batch(X, y, model, optimizer, epochs):
    for _ in range(epochs):
        order = torch.randperm(len(X))
        for start in range(0, len(X), 16):
            rows = order[start : start + 16]
            targets = y[rows] if len(rows) == 16 else y[-len(rows) :]
            step(model, optimizer, X[rows], targets)


@broken("labels-misaligned")
def rolled_labels(dataset, model, optimizer, epochs):
    X, y = dataset.tensors
    loader = DataLoader(TensorDataset(X, y.roll(1, 0)), batch_size=16, shuffle=True)
    for _ in range(epochs):
        for x, t in loader:
            step(model, optimizer, x, t)


@broken("rows-dropped")
def loader_of_a_subset(dataset, model, optimizer, epochs):
    loader = DataLoader(Subset(dataset, range(len(dataset) - 2)), batch_size=15, shuffle=True)
    for _ in range(epochs):
        for x, y in loader:
            step(model, optimizer, x, y)
