"""Loops with mistakes in the rows and in their order, and the same loops corrected."""

import torch


def labels_misaligned(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        X = X[torch.randperm(len(X))]
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()


def labels_misaligned_corrected(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        order = torch.randperm(len(X))
        optimizer.zero_grad()
        criterion(model(X[order]), y[order]).backward()
        optimizer.step()


def not_shuffled(model, dataset, criterion, optimizer, epochs, batch_size):
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size)
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()


def not_shuffled_corrected(model, dataset, criterion, optimizer, epochs, batch_size):
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, shuffle=True)
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()


def random_state_fixed_per_epoch(model, X, y, criterion, optimizer, epochs, batch_size, seed):
    for _epoch in range(epochs):
        torch.manual_seed(seed)
        for rows in torch.randperm(len(X)).split(batch_size):
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()


def random_state_fixed_per_epoch_corrected(model, X, y, criterion, optimizer, epochs, batch_size, seed):
    torch.manual_seed(seed)
    for _epoch in range(epochs):
        for rows in torch.randperm(len(X)).split(batch_size):
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()


def rows_dropped(model, X, y, criterion, optimizer, epochs, batch_size):
    X, y = X[:100], y[:100]  # left from a first try
    for _epoch in range(epochs):
        for rows in torch.randperm(len(X)).split(batch_size):
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()


def rows_dropped_corrected(model, X, y, criterion, optimizer, epochs, batch_size):
    for _epoch in range(epochs):
        for rows in torch.randperm(len(X)).split(batch_size):
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()


def rows_repeated(model, X, y, criterion, optimizer, epochs, batch_size):
    for _epoch in range(epochs):
        order = torch.randperm(len(X))
        for i in range(0, len(X), batch_size):
            rows = order[i : i + batch_size + 1]  # the last row is also the first of the next batch
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()


def rows_repeated_corrected(model, X, y, criterion, optimizer, epochs, batch_size):
    for _epoch in range(epochs):
        order = torch.randperm(len(X))
        for i in range(0, len(X), batch_size):
            rows = order[i : i + batch_size]
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()


def trains_on_validation(model, loader, val_loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for batches in (loader, val_loader):
            for X, y in batches:
                optimizer.zero_grad()
                criterion(model(X), y).backward()
                optimizer.step()


def trains_on_validation_corrected(model, loader, val_loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            total = sum(criterion(model(X), y).item() * len(X) for X, y in val_loader)
        print(total / len(val_loader.dataset))
