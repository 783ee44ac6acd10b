"""Losses that are reported at the end, every few epochs, in dictionaries or objects, and their corrections."""

from dataclasses import dataclass, field

import torch
import torch.nn as nn
import torch.nn.functional as F

from tests.support.training_loops import broken, right


@broken("last-batch-loss")
def one_number_at_the_end(model, loader, optimizer, criterion, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
    print(f"final loss: {loss.item():.6f}")


@right()
def one_number_at_the_end_corrected(model, loader, X, y, optimizer, criterion, epochs):
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        print(f"final loss: {criterion(model(X), y).item():.6f}")


@broken("last-batch-loss")
def each_fifth_epoch(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        if (epoch + 1) % 5 == 0:
            print("epoch", epoch + 1, "loss", round(loss.item(), 5))


@broken("mean-of-batch-means", "loss-while-moving")
def history_of_dictionaries(model, loader, optimizer, criterion, epochs):
    history = []
    for epoch in range(epochs):
        losses = []
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        history.append({"epoch": epoch, "train": {"loss": sum(losses) / len(losses)}})
    return model, history


@dataclass
class History:
    loss: list = field(default_factory=list)


@broken("loss-while-moving")
def history_object(model, loader, optimizer, epochs):
    history = History()
    for _ in range(epochs):
        total = torch.zeros(())
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y, reduction="sum")
            (loss / len(x)).backward()
            optimizer.step()
            total += loss.detach()
        history.loss.append(total / len(loader.dataset))
    return history


@broken("mean-of-batch-means")
def divided_by_the_rows(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        running_loss = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        print(f"Epoch {epoch}: {running_loss / len(loader.dataset):.6f}")


@broken("loss-while-moving")
def never_reset(model, loader, optimizer, criterion, epochs):
    total, count = 0.0, 0
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
            count += len(x)
        print(f"epoch {epoch} loss {total / count:.6f}")


@right()
def full_batch_prints(X, y, lr=0.1, epochs=50):
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
        if epoch % 10 == 9:
            print(f"{epoch + 1} {loss.item():.6f}")
    return model
