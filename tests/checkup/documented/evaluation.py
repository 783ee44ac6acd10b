"""Loops with mistakes in what they report and in how they evaluate, and the same loops corrected."""

import torch


def mean_of_batch_means(model, loader, val_loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            total = sum(criterion(model(X), y).item() for X, y in val_loader)
        print(total / len(val_loader))


def mean_of_batch_means_corrected(model, loader, val_loader, criterion, optimizer, epochs):
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


def last_batch_loss(model, loader, criterion, optimizer, epochs):
    for epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item()}")


def last_batch_loss_corrected(model, loader, criterion, optimizer, epochs):
    for epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        with torch.no_grad():
            total = sum(criterion(model(X), y).item() * len(X) for X, y in loader)
        print(f"epoch {epoch}: loss {total / len(loader.dataset)}")


def loss_while_moving(model, loader, criterion, optimizer, epochs):
    for epoch in range(epochs):
        total = 0.0
        for X, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(X)
        print(f"epoch {epoch}: loss {total / len(loader.dataset)}")


def loss_while_moving_corrected(model, loader, X_train, y_train, criterion, optimizer, epochs):
    for epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        with torch.no_grad():
            loss = criterion(model(X_train), y_train)
        print(f"epoch {epoch}: loss {loss.item()}")


def no_eval_mode(model, loader, X_val, y_val, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        with torch.no_grad():
            print(criterion(model(X_val), y_val).item())


def no_eval_mode_corrected(model, loader, X_val, y_val, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(criterion(model(X_val), y_val).item())


def no_train_mode(model, loader, X_val, y_val, criterion, optimizer, epochs):
    model.train()
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(criterion(model(X_val), y_val).item())


def no_train_mode_corrected(model, loader, X_val, y_val, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(criterion(model(X_val), y_val).item())


def grad_in_validation(model, loader, X_val, y_val, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        print(criterion(model(X_val), y_val).item())


def grad_in_validation_corrected(model, loader, X_val, y_val, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        model.train()
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(criterion(model(X_val), y_val).item())
