"""Loops with mistakes in the order of calls and in the graph, and the same loops corrected."""

import torch


def no_zero_grad(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()


def no_zero_grad_corrected(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            loss = criterion(model(X), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def backward_on_accumulated_loss(model, X, y, criterion, optimizer, epochs):
    total = 0.0
    for _epoch in range(epochs):
        optimizer.zero_grad()
        total = total + criterion(model(X), y)
        total.backward(retain_graph=True)
        optimizer.step()


def backward_on_accumulated_loss_corrected(model, X, y, criterion, optimizer, epochs):
    total = 0.0
    for _epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()
        total += loss.item()


def step_before_backward(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        loss = criterion(model(X), y)
        optimizer.zero_grad()
        optimizer.step()
        loss.backward()


def step_before_backward_corrected(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        loss = criterion(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def zero_grad_before_step(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()


def zero_grad_before_step_corrected(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def stale_gradient(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        loss = criterion(model(X), y)
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()


def stale_gradient_corrected(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        loss = criterion(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def double_step(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()
            optimizer.step()


def double_step_corrected(model, loader, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()


def graph_detached(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        optimizer.zero_grad()
        prediction = torch.tensor(model(X).tolist(), requires_grad=True)
        loss = criterion(prediction, y)
        loss.backward()
        optimizer.step()


def graph_detached_corrected(model, X, y, criterion, optimizer, epochs):
    for _epoch in range(epochs):
        optimizer.zero_grad()
        prediction = model(X)
        loss = criterion(prediction, y)
        loss.backward()
        optimizer.step()


def graph_kept(model, loader, criterion, optimizer, epochs):
    losses = []
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()
            losses.append(loss)
    return losses


def graph_kept_corrected(model, loader, criterion, optimizer, epochs):
    losses = []
    for _epoch in range(epochs):
        for X, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def shape_broadcast(model, X, y, optimizer, epochs):
    y = y.reshape(-1, 1)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        prediction = model(X).squeeze()  # (n,), and y is (n, 1)
        loss = ((prediction - y) ** 2).mean()
        loss.backward()
        optimizer.step()


def shape_broadcast_corrected(model, X, y, optimizer, epochs):
    y = y.reshape(-1, 1)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        prediction = model(X)  # (n, 1), as y
        loss = ((prediction - y) ** 2).mean()
        loss.backward()
        optimizer.step()


def wrong_loss(model, X, y, optimizer, epochs):
    criterion = torch.nn.L1Loss()
    for _epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()


def wrong_loss_corrected(model, X, y, optimizer, epochs):
    criterion = torch.nn.MSELoss()
    for _epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()


def nan_loss(model, X, y, optimizer, epochs):
    for _epoch in range(epochs):
        optimizer.zero_grad()
        loss = ((torch.log(model(X)) - torch.log(y)) ** 2).mean()
        loss.backward()
        optimizer.step()


def nan_loss_corrected(model, X, y, optimizer, epochs):
    for _epoch in range(epochs):
        optimizer.zero_grad()
        loss = ((model(X) - y) ** 2).mean()
        loss.backward()
        optimizer.step()


def wrong_device_or_dtype(model, X, y, criterion, optimizer, epochs):
    X = torch.as_tensor(X, dtype=torch.float64)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()


def wrong_device_or_dtype_corrected(model, X, y, criterion, optimizer, epochs):
    X = torch.as_tensor(X, dtype=torch.float32)
    for _epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()
