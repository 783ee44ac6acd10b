"""Batches in a fixed order, without some rows, or with some rows twice."""

import os
from itertools import islice

import lightning as L
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from skorch import NeuralNetRegressor
from torch import optim
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, RandomSampler, SequentialSampler, Subset, TensorDataset

from tests.support.training_loops import broken, right


def train_epochs(model, loader, optimizer, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
    return model


@broken("not-shuffled")
def train_in_order(X, y, lr=0.05, epochs=30):
    loader = DataLoader(TensorDataset(X, y), batch_size=32)
    model = nn.Linear(X.shape[1], 1)
    return train_epochs(model, loader, optim.SGD(model.parameters(), lr=lr), epochs)


@right()
def train_shuffled(X, y, lr=0.05, epochs=30):
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    return train_epochs(model, loader, optim.SGD(model.parameters(), lr=lr), epochs)


@broken("not-shuffled")
def train_slices(x_train, y_train, bs=16, lr=0.05, epochs=25):
    weights = torch.zeros(x_train.shape[1], 1, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    n = x_train.shape[0]
    for _ in range(epochs):
        for i in range((n - 1) // bs + 1):
            xb = x_train[i * bs : (i + 1) * bs]
            yb = y_train[i * bs : (i + 1) * bs]
            loss = (xb @ weights + bias - yb).pow(2).mean()
            loss.backward()
            with torch.no_grad():
                weights -= weights.grad * lr
                bias -= bias.grad * lr
                weights.grad.zero_()
                bias.grad.zero_()
    return weights, bias


@right()
def train_permuted(x_train, y_train, bs=16, lr=0.05, epochs=25):
    weights = torch.zeros(x_train.shape[1], 1, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    n = x_train.shape[0]
    for _ in range(epochs):
        order = torch.randperm(n)
        for i in range((n - 1) // bs + 1):
            batch = order[i * bs : (i + 1) * bs]
            loss = (x_train[batch] @ weights + bias - y_train[batch]).pow(2).mean()
            loss.backward()
            with torch.no_grad():
                weights -= weights.grad * lr
                bias -= bias.grad * lr
                weights.grad.zero_()
                bias.grad.zero_()
    return weights, bias


@broken("not-shuffled")
def skorch_default_order(X, y):
    net = NeuralNetRegressor(
        nn.Linear,
        module__in_features=X.shape[1],
        module__out_features=1,
        optimizer=optim.SGD,
        lr=0.05,
        max_epochs=20,
        batch_size=16,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y)


@right()
def skorch_shuffled(X, y):
    net = NeuralNetRegressor(
        nn.Linear,
        module__in_features=X.shape[1],
        module__out_features=1,
        optimizer=optim.SGD,
        lr=0.05,
        max_epochs=20,
        batch_size=16,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y)


class LitLinear(L.LightningModule):
    def __init__(self, n_inputs):
        super().__init__()
        self.fc = nn.Linear(n_inputs, 1)

    def forward(self, x):
        return self.fc(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x), y)

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.05)


def lightning_fit(dataset, loader):
    model = LitLinear(dataset[0][0].shape[0])
    trainer = L.Trainer(
        max_epochs=20,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)
    return model


@broken("not-shuffled")
def lightning_sampler(dataset):
    sampler = BatchSampler(SequentialSampler(dataset), batch_size=16, drop_last=False)
    return lightning_fit(dataset, DataLoader(dataset, batch_sampler=sampler))


@right()
def lightning_sampler_corrected(dataset):
    sampler = BatchSampler(RandomSampler(dataset), batch_size=16, drop_last=False)
    return lightning_fit(dataset, DataLoader(dataset, batch_sampler=sampler))


@broken("rows-dropped")
def train_drop_last(dataset, lr, epochs):
    loader = DataLoader(dataset, batch_size=20, shuffle=True, drop_last=True)
    model = nn.Linear(dataset.tensors[0].size(1), 1)
    return train_epochs(model, loader, torch.optim.SGD(model.parameters(), lr=lr), epochs)


@right()
def train_keep_last(dataset, lr, epochs):
    loader = DataLoader(dataset, batch_size=20, shuffle=True)
    model = nn.Linear(dataset.tensors[0].size(1), 1)
    return train_epochs(model, loader, torch.optim.SGD(model.parameters(), lr=lr), epochs)


@broken("rows-dropped")
class MiniBatchSGD:
    def __init__(self, lr=0.05, epochs=20, batch_size=25):
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size

    def n_batches(self, n):
        return n // self.batch_size

    def fit(self, X, y):
        X, y = torch.as_tensor(X).float(), torch.as_tensor(y).float().reshape(-1, 1)
        self.model = nn.Linear(X.shape[1], 1)
        optimizer = optim.SGD(self.model.parameters(), lr=self.lr, momentum=0.9)
        for _ in range(self.epochs):
            perm = torch.randperm(len(X))
            for b in range(self.n_batches(len(X))):
                idx = perm[b * self.batch_size : (b + 1) * self.batch_size]
                optimizer.zero_grad()
                F.mse_loss(self.model(X[idx]), y[idx]).backward()
                optimizer.step()
        return self


@right()
class MiniBatchSGDCorrected(MiniBatchSGD):
    def n_batches(self, n):
        return (n + self.batch_size - 1) // self.batch_size


@broken("rows-dropped")
def debug_run(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for i, (x, y) in enumerate(loader):
            if i == 5:
                break
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()


@broken("rows-dropped")
def train_steps(model, loader, optimizer, criterion, epochs):
    steps_per_epoch = len(loader.dataset) // loader.batch_size
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(epochs):
        for x, y in islice(loader, steps_per_epoch):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()


@broken("rows-dropped")
def off_by_one(X, y, lr=0.1, epochs=40):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    n, size = len(X), 20
    for _ in range(epochs):
        order = torch.randperm(n)
        for start in range(0, n, size):
            idx = order[start : start + size - 1]
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(X[idx]), y[idx])
            loss.backward()
            optimizer.step()
    return model


def init_gloo(rank, world_size):
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", "29533")
    dist.init_process_group(backend="gloo", rank=rank, world_size=world_size)


def distributed_train(x, y, lr, epochs):
    torch.manual_seed(0)
    model = nn.Linear(x.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    rows = torch.tensor(float(len(x)))
    dist.all_reduce(rows)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).sum() / rows
        loss.backward()
        for param in model.parameters():
            dist.all_reduce(param.grad, op=dist.ReduceOp.SUM)
        optimizer.step()
    dist.destroy_process_group()
    return model


@broken("rows-dropped")
def shard_floor(rank, world_size, X, y, lr=0.1, epochs=30):
    init_gloo(rank, world_size)
    per_rank = len(X) // world_size
    part = slice(rank * per_rank, (rank + 1) * per_rank)
    return distributed_train(X[part], y[part], lr, epochs)


@right()
def shard_all(rank, world_size, X, y, lr=0.1, epochs=30):
    init_gloo(rank, world_size)
    x, t = X.tensor_split(world_size)[rank], y.tensor_split(world_size)[rank]
    return distributed_train(x, t, lr, epochs)


@broken("rows-repeated")
def shard_padded(rank, world_size, X, y, lr=0.1, epochs=30):
    init_gloo(rank, world_size)
    missing = -len(X) % world_size
    X, y = torch.cat([X, X[:missing]]), torch.cat([y, y[:missing]])
    return distributed_train(X[rank::world_size], y[rank::world_size], lr, epochs)


@broken("rows-repeated")
def pad_last_batch(X, y, batch_size=32, epochs=30):
    pad = -len(X) % batch_size
    X, y = torch.cat((X, X[:pad])), torch.cat((y, y[:pad]))
    loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    return train_epochs(model, loader, optim.SGD(model.parameters(), lr=0.05), epochs)


@broken("rows-repeated")
class OverlappingBatches:
    stop = 1

    def fit(self, X, y, lr=0.05, epochs=30, batch_size=18):
        X, y = torch.as_tensor(X).float(), torch.as_tensor(y).float().reshape(-1, 1)
        self.model = nn.Linear(X.shape[1], 1)
        optimizer = optim.SGD(self.model.parameters(), lr=lr)
        for _ in range(epochs):
            order = torch.randperm(len(X))
            for start in range(0, len(X), batch_size):
                rows = order[start : start + batch_size + self.stop]
                loss = F.mse_loss(self.model(X[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self


@right()
class SeparateBatches(OverlappingBatches):
    stop = 0


@broken("rows-repeated")
def last_batch_again(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for features, labels in loader:
            loss = criterion(model(features), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        optimizer.zero_grad()
        criterion(model(features), labels).backward()
        optimizer.step()


@broken("rows-repeated")
def train_with_extra_rows(dataset, epochs=20):
    extra = Subset(dataset, range(40))
    loader = DataLoader(ConcatDataset([dataset, extra]), batch_size=32, shuffle=True)
    net = nn.Linear(dataset[0][0].shape[0], 1)
    return train_epochs(net, loader, optim.Adam(net.parameters(), lr=0.05), epochs)


@broken("rows-repeated", "rows-dropped")
def train_replacement(dataset, lr=0.05, epochs=20):
    sampler = RandomSampler(dataset, replacement=True)
    loader = DataLoader(dataset, batch_size=16, sampler=sampler)
    net = nn.Linear(dataset[0][0].shape[0], 1)
    return train_epochs(net, loader, optim.SGD(net.parameters(), lr=lr), epochs)
