"""Right loops with mixed precision, gradient accumulation or clipping, in the style of the notes of PyTorch and Accelerate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import autocast, nn
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from tests.support.training_loops import right


@right()
def amp_notes(model, train_loader, loss_fn, optimizer, epochs):
    """The loop of the notes on mixed precision, on the CPU."""
    scaler = GradScaler("cpu")
    for _epoch in range(epochs):
        for input, target in train_loader:  # noqa: A001
            optimizer.zero_grad()
            with autocast(device_type="cpu", dtype=torch.bfloat16):
                output = model(input)
                loss = loss_fn(output, target)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()


@right()
def bfloat16_without_scaler(model, loader, lr=0.05, num_epochs=25):
    """bfloat16 has the range of float32, so no scaler is needed; the loss is computed in float32."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model.train()
    for epoch in range(num_epochs):
        total = 0.0
        for x, y in loader:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = model(x)
            loss = F.mse_loss(out.float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        print(f"epoch {epoch}: {total / len(loader.dataset):.4f}")


@right()
def amp_with_clipping_of_unscaled_gradients(model, loader, criterion, lr):
    """Unscales before it clips; the norm stays below the bound."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr / 5, weight_decay=1e-3)
    scaler = GradScaler("cpu", init_scale=1024.0)
    max_norm = 5.0
    for _epoch in range(30):
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            with autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            clip_grad_norm_(model.parameters(), max_norm)
            scaler.step(optimizer)
            scaler.update()


@right()
def amp_with_accumulation(model, dataset, criterion, seed):
    """The scaler steps and updates once per group; the last group of an epoch may be short."""
    torch.manual_seed(seed)
    accumulate = 2
    loader = DataLoader(dataset, batch_size=17, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    scaler = torch.amp.GradScaler("cpu")
    for _epoch in range(30):
        for i, (x, y) in enumerate(loader):
            with autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(x), y) / accumulate
            scaler.scale(loss).backward()
            if (i + 1) % accumulate == 0 or i + 1 == len(loader):
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()


@right(fixtures={"accumulation_steps": 3})
def accumulation_with_leftover_group(model, train_loader, criterion, optimizer, accumulation_steps, epochs=30):
    """Seven batches in groups of three; the last group has one batch and also takes a step."""
    optimizer.zero_grad()
    for _epoch in range(epochs):
        for idx, (inputs, labels) in enumerate(train_loader):
            loss = criterion(model(inputs), labels)
            loss = loss / accumulation_steps
            loss.backward()
            if ((idx + 1) % accumulation_steps == 0) or (idx + 1 == len(train_loader)):
                optimizer.step()
                optimizer.zero_grad()


@right()
def accumulation_over_the_end_of_an_epoch(model, loader, opt, n_epochs=60):
    """A counter of micro batches runs on over the epochs, so that no group is left over."""
    k, seen = 4, 0
    for _ in range(n_epochs):
        for x, y in loader:
            (F.mse_loss(model(x), y) / k).backward()
            seen += 1
            if seen % k == 0:
                opt.step()
                opt.zero_grad()


@right()
def accumulation_divides_by_its_group(model, X, y, batch_size=17):
    """The leftover group is divided by the number of batches that it has."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _epoch in range(40):
        batches = torch.randperm(len(X)).split(batch_size)
        for start in range(0, len(batches), 3):
            group = batches[start : start + 3]
            optimizer.zero_grad()
            for rows in group:
                loss = F.mse_loss(model(X[rows]), y[rows]) / len(group)
                loss.backward()
            optimizer.step()


@right()
def accumulation_of_sums_over_rows(model, X, y):
    """The sums of micro batches divided by the rows of the whole batch: the exact gradient of the full batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    n = X.shape[0]
    for epoch in range(100):
        optimizer.zero_grad()
        total = 0.0
        for xb, yb in zip(X.split(17), y.split(17), strict=True):
            loss = F.mse_loss(model(xb), yb, reduction="sum") / n
            loss.backward()
            total += loss.item()
        optimizer.step()
        if epoch % 20 == 0:
            print(f"epoch {epoch}: loss {total:.5f}")


@right()
def clip_by_norm_in_lstm_style(model, loader, criterion, learning_rate):
    """A bound of 10, and the norm in the log."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    log = []
    for _epoch in range(25):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            total_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=10)
            optimizer.step()
            log.append({"loss": loss.item(), "grad_norm": total_norm.item()})
    return log


@right()
def clip_by_value(net, train_loader, loss_fn, lr=0.05):
    optimizer = torch.optim.RMSprop(net.parameters(), lr=lr / 10)
    for _epoch in range(40):
        for data, target in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(net(data), target)
            loss.backward()
            clip_grad_value_(net.parameters(), clip_value=10.0)
            optimizer.step()


@right()
def float64_throughout(X, y, lr=0.1, epochs=120):
    """Data and model in float64, full batch."""
    X, y = X.double(), y.double()
    model = nn.Linear(X.shape[1], 1, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
    return model
