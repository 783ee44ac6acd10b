"""Loops with mistakes in the update, and the same loops corrected."""

import copy

import torch
import torch.distributed as dist


def optimizer_of_another_model(model, X, y, criterion, lr, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model = copy.deepcopy(model)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()
    return model


def optimizer_of_another_model_corrected(model, X, y, criterion, lr, epochs):
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()
    return model


def parameter_not_trained(model, X, y, criterion, lr, epochs):
    optimizer = torch.optim.SGD([model.weight], lr=lr)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def parameter_not_trained_corrected(model, X, y, criterion, lr, epochs):
    optimizer = torch.optim.SGD([model.weight, model.bias], lr=lr)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def weights_never_move(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()


def weights_never_move_corrected(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()


def state_carried_over(X, y, criterion, lr, epochs, model=torch.nn.Linear(3, 1)):  # noqa: B008
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)  # Python makes a default once, for all calls
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()
    return model


def state_carried_over_corrected(X, y, criterion, lr, epochs):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()
    return model


def sum_for_mean(model, loader, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            loss = ((model(X) - y) ** 2).sum()
            loss.backward()
            optimizer.step()


def sum_for_mean_corrected(model, loader, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            loss = ((model(X) - y) ** 2).mean()
            loss.backward()
            optimizer.step()


def accumulation_not_divided(model, loader, criterion, optimizer, epochs, accumulation_steps=3):
    for _epoch in range(epochs):
        for i, (X, y) in enumerate(loader, start=1):
            loss = criterion(model(X), y)
            loss.backward()
            if i % accumulation_steps == 0 or i == len(loader):
                optimizer.step()
                optimizer.zero_grad()


def accumulation_not_divided_corrected(model, loader, criterion, optimizer, epochs, accumulation_steps=3):
    for _epoch in range(epochs):
        for i, (X, y) in enumerate(loader, start=1):
            loss = criterion(model(X), y) / accumulation_steps
            loss.backward()
            if i % accumulation_steps == 0 or i == len(loader):
                optimizer.step()
                optimizer.zero_grad()


def ranks_summed(model, X, y, criterion, optimizer, epochs, rank, world_size):
    X, y = X[rank::world_size], y[rank::world_size]
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        for p in model.parameters():
            dist.all_reduce(p.grad)
        optimizer.step()


def ranks_summed_corrected(model, X, y, criterion, optimizer, epochs, rank, world_size):
    X, y = X[rank::world_size], y[rank::world_size]
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        for p in model.parameters():
            dist.all_reduce(p.grad)
            p.grad /= world_size
        optimizer.step()


def gradient_clipped(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.01)
        optimizer.step()


def gradient_clipped_corrected(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=100.0)
        optimizer.step()


def undeclared_momentum(model, X, y, criterion, lr, epochs):
    smooth = [torch.zeros_like(p) for p in model.parameters()]
    for _epoch in range(epochs):
        model.zero_grad()
        criterion(model(X), y).backward()
        with torch.no_grad():
            for p, g in zip(model.parameters(), smooth, strict=True):
                g.mul_(0.9).add_(p.grad)  # against the noise of batches
                p -= lr * g


def undeclared_momentum_corrected(model, X, y, criterion, lr, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def undeclared_weight_decay(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()
        with torch.no_grad():
            for p in model.parameters():
                p *= 0.99


def undeclared_weight_decay_corrected(model, X, y, criterion, lr, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=0.1)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def lr_too_high(model, X, y, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.5)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def lr_too_high_corrected(model, X, y, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def lr_too_low(model, X, y, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def lr_too_low_corrected(model, X, y, criterion, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def not_standardised(model, X, y, criterion, optimizer, epochs):
    X = X * torch.tensor([1.0, 100.0, 1000.0])  # m, cm and mm
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def not_standardised_corrected(model, X, y, criterion, optimizer, epochs):
    X = X * torch.tensor([1.0, 100.0, 1000.0])  # m, cm and mm
    X = (X - X.mean(0)) / X.std(0)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def scheduler_per_batch(model, loader, criterion, optimizer, scheduler, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
            scheduler.step()


def scheduler_per_batch_corrected(model, loader, criterion, optimizer, scheduler, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        scheduler.step()


def scheduler_before_optimizer(model, loader, criterion, optimizer, scheduler, epochs):
    for _epoch in range(epochs):
        scheduler.step()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()


def scheduler_before_optimizer_corrected(model, loader, criterion, optimizer, scheduler, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        scheduler.step()
