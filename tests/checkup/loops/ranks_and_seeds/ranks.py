"""Loops of two processes (gloo) that sum over ranks where they have to average, with the corrected loop beside each.

Each function runs in every process with its `rank`. A function that starts a process group leaves one alone that is there.
"""

import os

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn, optim
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from tests.support.training_loops import broken, right


def setup(rank, world_size):
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", "12355")
    if not dist.is_initialized():
        dist.init_process_group("gloo", rank=rank, world_size=world_size)


@broken("ranks-summed")
def all_reduce_without_division(rank, world_size, X, y):
    torch.manual_seed(0)
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    X, y = X[rank::world_size], y[rank::world_size]
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        for param in model.parameters():
            dist.all_reduce(param.grad, op=dist.ReduceOp.SUM)
        optimizer.step()
    return model


@right()
def all_reduce_with_division(rank, world_size, X, y):
    torch.manual_seed(0)
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rows = len(X)
    X, y = X[rank::world_size], y[rank::world_size]
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y, reduction="sum") / rows * world_size  # the ranks may differ by a row
        loss.backward()
        for param in model.parameters():
            dist.all_reduce(param.grad, op=dist.ReduceOp.SUM)
            param.grad /= world_size
        optimizer.step()
    return model


@broken("ranks-summed")
def loss_times_world_size(rank, world_size, X, y):
    # the loss was gathered and averaged once; since then it is multiplied for compensation
    setup(rank, world_size)
    torch.manual_seed(0)
    dataset = TensorDataset(X, y)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank)
    loader = DataLoader(dataset, batch_size=9, sampler=sampler)
    model = DistributedDataParallel(nn.Linear(X.shape[1], 1))
    opt = optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb) * dist.get_world_size()
            loss.backward()
            opt.step()


@right()
def loss_as_it_is(rank, world_size, X, y):
    setup(rank, world_size)
    torch.manual_seed(0)
    dataset = TensorDataset(X, y)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank)
    loader = DataLoader(dataset, batch_size=9, sampler=sampler)
    model = DistributedDataParallel(nn.Linear(X.shape[1], 1))
    opt = optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()


def average_gradients(model):
    """Gradient averaging, without the average."""
    for param in model.parameters():
        if param.grad is not None:
            dist.all_reduce(param.grad.data)


@broken("ranks-summed")
def hand_written_ddp(rank, world_size, X, y):
    setup(rank, world_size)
    torch.manual_seed(1234)
    data = TensorDataset(X, y)
    train_set = DataLoader(data, batch_size=17, sampler=DistributedSampler(data, world_size, rank))
    model = nn.Sequential(nn.Linear(3, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    for epoch in range(15):
        train_set.sampler.set_epoch(epoch)
        for batch, target in train_set:
            optimizer.zero_grad()
            loss = F.mse_loss(model(batch), target)
            loss.backward()
            average_gradients(model)
            optimizer.step()
    return [p.detach() for p in model.parameters()]


def average_gradients_over_ranks(model):
    size = float(dist.get_world_size())
    for param in model.parameters():
        if param.grad is not None:
            dist.all_reduce(param.grad.data)
            param.grad.data /= size


@right()
def hand_written_ddp_corrected(rank, world_size, X, y):
    setup(rank, world_size)
    torch.manual_seed(1234)
    data = TensorDataset(X, y)
    train_set = DataLoader(data, batch_size=17, sampler=DistributedSampler(data, world_size, rank))
    model = nn.Sequential(nn.Linear(3, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    for epoch in range(15):
        train_set.sampler.set_epoch(epoch)
        for batch, target in train_set:
            optimizer.zero_grad()
            loss = F.mse_loss(model(batch), target)
            loss.backward()
            average_gradients_over_ranks(model)
            optimizer.step()
    return [p.detach() for p in model.parameters()]


@broken("ranks-summed")
def gradient_by_hand_on_two_ranks(rank, world_size, X, y):
    n = len(X) // world_size
    rows = slice(rank * n, (rank + 1) * n if rank < world_size - 1 else len(X))
    A = torch.cat([X[rows], torch.ones(len(X[rows]), 1)], dim=1)
    theta = torch.zeros(A.shape[1], 1)
    for _ in range(60):
        grad = 2 * A.T @ (A @ theta - y[rows]) / len(A)
        dist.all_reduce(grad)
        theta -= 0.1 * grad
    return theta


@right()
def gradient_by_hand_on_two_ranks_corrected(rank, world_size, X, y):
    n = len(X) // world_size
    rows = slice(rank * n, (rank + 1) * n if rank < world_size - 1 else len(X))
    A = torch.cat([X[rows], torch.ones(len(X[rows]), 1)], dim=1)
    theta = torch.zeros(A.shape[1], 1)
    for _ in range(60):
        grad = 2 * A.T @ (A @ theta - y[rows])
        dist.all_reduce(grad)
        theta -= 0.1 * grad / len(X)
    return theta


def sum_hook(state, bucket):
    return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda future: future.value()[0])


def mean_hook(state, bucket):
    size = dist.get_world_size()
    return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda future: future.value()[0] / size)


@broken("ranks-summed")
def communication_hook(rank, world_size, dataset, batch_size):
    setup(rank, world_size)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank)
    loader = DataLoader(dataset, batch_size=batch_size, sampler=sampler)
    model = DistributedDataParallel(nn.Linear(3, 1))
    model.register_comm_hook(None, sum_hook)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(15):
        sampler.set_epoch(epoch)
        for x, y in loader:
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@right()
def communication_hook_corrected(rank, world_size, dataset, batch_size):
    setup(rank, world_size)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank)
    loader = DataLoader(dataset, batch_size=batch_size, sampler=sampler)
    model = DistributedDataParallel(nn.Linear(3, 1))
    model.register_comm_hook(None, mean_hook)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(15):
        sampler.set_epoch(epoch)
        for x, y in loader:
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@broken("random-state-fixed-per-epoch")
def sampler_of_ranks_without_set_epoch(rank, world_size, X, y):
    setup(rank, world_size)
    dataset = TensorDataset(X, y)
    loader = DataLoader(dataset, batch_size=9, sampler=DistributedSampler(dataset, num_replicas=world_size, rank=rank))
    model = DistributedDataParallel(nn.Sequential(nn.Linear(3, 1)))
    opt = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(20):
        for xb, yb in loader:
            opt.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            opt.step()
    return model.module
