"""Right loops of two processes over gloo: gradients averaged by hand, and DistributedDataParallel.

Each function runs in every process. One that needs a process group takes the one that is there.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from tests.support.training_loops import right


@contextmanager
def process_group(rank, world_size):
    """A group for the block; if there is one, that one, which stays."""
    own = not dist.is_initialized()
    if own:
        os.environ.setdefault("MASTER_ADDR", "localhost")
        os.environ.setdefault("MASTER_PORT", "29511")
        dist.init_process_group("gloo", rank=rank, world_size=world_size)
    try:
        yield
    finally:
        if own:
            dist.barrier()
            dist.destroy_process_group()


def average_gradients(model):
    size = float(dist.get_world_size())
    for param in model.parameters():
        dist.all_reduce(param.grad, op=dist.ReduceOp.SUM)
        param.grad /= size


@right()
def gradients_averaged_by_hand(rank, world_size, X, y):
    """The loop of the tutorial on distributed applications: all_reduce, divided by the number of ranks."""
    with process_group(rank, world_size):
        torch.manual_seed(1234)
        dataset = TensorDataset(X, y)
        sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank, shuffle=True)
        loader = DataLoader(dataset, batch_size=17, sampler=sampler)
        model = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for epoch in range(20):
            sampler.set_epoch(epoch)
            epoch_loss = 0.0
            for data, target in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(data), target)
                epoch_loss += loss.item()
                loss.backward()
                average_gradients(model)
                optimizer.step()
            print("Rank", rank, ", epoch", epoch, ":", epoch_loss / len(loader))


def train_ddp(rank, dataset):
    sampler = DistributedSampler(dataset, shuffle=True, seed=0)
    loader = DataLoader(dataset, batch_size=17, sampler=sampler)
    model = DistributedDataParallel(nn.Linear(dataset.tensors[0].shape[1], 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-4)
    loss_fn = nn.MSELoss()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for data, target in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(data), target)
            loss.backward()
            optimizer.step()
    if rank == 0:
        print("final loss", loss.item())


@right()
def distributed_data_parallel(rank, world_size, X, y):
    """DistributedDataParallel averages the gradients; `set_epoch` gives each epoch its own order."""
    with process_group(rank, world_size):
        train_ddp(rank, TensorDataset(X, y))  # frees the model, which may block if it outlives the group


@right()
def sums_over_the_rows_of_all_ranks(rank, world_size, X, y):
    """Each rank divides its sum by the rows of all ranks, so that the sum over the ranks is the gradient of the full batch."""
    w, b = torch.zeros(X.shape[1], 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    Xr, yr = X[rank::world_size], y[rank::world_size]
    for _ in range(100):
        loss = ((Xr @ w + b - yr) ** 2).sum() / len(X)
        loss.backward()
        for p in (w, b):
            dist.all_reduce(p.grad)
        with torch.no_grad():
            for p in (w, b):
                p -= 0.1 * p.grad
                p.grad.zero_()


@right()
def one_script_for_one_or_many_ranks(model, dataset, lr, epochs, batch_size):
    """As under torchrun, which sets the variables; without them, one process trains alone."""
    distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1
    sampler = DistributedSampler(dataset, shuffle=True) if distributed else None
    loader = DataLoader(dataset, batch_size=batch_size, sampler=sampler, shuffle=sampler is None)
    wrapped = DistributedDataParallel(model) if distributed else model
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=lr)
    for epoch in range(epochs):
        if sampler is not None:
            sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            F.mse_loss(wrapped(x), y).backward()
            optimizer.step()


@right()
def accumulation_with_no_sync(rank, world_size, model, dataset):
    """The ranks exchange gradients only in the last batch of a group; each batch is divided by the size of the group."""
    torch.manual_seed(rank)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank, shuffle=True)
    loader = DataLoader(dataset, batch_size=9, sampler=sampler)  # six batches in each rank
    ddp_model = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(ddp_model.parameters(), lr=0.1)
    k = 3
    for epoch in range(40):
        sampler.set_epoch(epoch)
        for i, (x, y) in enumerate(loader):
            last = (i + 1) % k == 0
            with nullcontext() if last else ddp_model.no_sync():
                (F.mse_loss(ddp_model(x), y) / k).backward()
            if last:
                optimizer.step()
                optimizer.zero_grad()


@right()
def broadcast_then_average(rank, world_size, X, y, lr, epochs):
    """Rank 0 sends its first weights; the gradients and the printed loss are averages over the ranks."""
    model = nn.Linear(X.shape[1], 1)
    for param in model.parameters():
        dist.broadcast(param.data, src=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5)
    dataset = TensorDataset(X, y)
    sampler = DistributedSampler(dataset, num_replicas=world_size, rank=rank, seed=7)
    loader = DataLoader(dataset, batch_size=17, sampler=sampler)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for inputs, targets in loader:
            loss = F.mse_loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            average_gradients(model)
            optimizer.step()
        mean_loss = loss.detach().clone()
        dist.all_reduce(mean_loss)
        if rank == 0:
            print(f"epoch {epoch}: loss of the last batch, averaged over ranks {mean_loss.item() / world_size:.4f}")
