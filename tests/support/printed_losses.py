"""Training loops in plain PyTorch, for the losses that they print. Each has one mistake, or none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

ROWS = 107


def make_rows(seed: int, columns: int = 3, rsquared: float = 0.7) -> tuple[torch.Tensor, torch.Tensor]:
    """Return standardized columns (107, p) and a standardized response (107, 1)."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(ROWS, columns, generator=generator)
    X = (X - X.mean(0)) / X.std(0, unbiased=False)
    signal = X @ torch.randn(columns, 1, generator=generator)
    noise = torch.randn(ROWS, 1, generator=generator) * signal.std() * np.sqrt((1 - rsquared) / rsquared)
    y = signal + noise
    return X, (y - y.mean()) / y.std(unbiased=False)


def print_losses(
    mistake: str = "", *, seed: int, lr: float = 0.1, epochs: int = 23, momentum: float = 0.0, nesterov: bool = False,
    batch: int | None = None, optimizer: str = "sgd", scheduler: str = "", weight_decay: float = 0.0, clip: float | None = None,
    after: bool = False, columns: int = 3, rsquared: float = 0.7,
) -> list[float]:  # fmt: skip
    """Run a loop and return the losses that it prints, one for each epoch."""
    X, y = make_rows(seed, columns, rsquared)
    torch.manual_seed(seed)
    model = nn.Linear(columns, 1)
    chosen = nn.Linear(columns, 1) if mistake == "optimizer-of-another-model" else model
    if optimizer == "adam":
        optim: Any = torch.optim.Adam(chosen.parameters(), lr=lr)
    else:
        optim = torch.optim.SGD(chosen.parameters(), lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    schedule = make_schedule(scheduler, optim, epochs)
    X = X * 50 + 200 if mistake == "not-standardised" else X
    y = y[:, 0] if mistake == "shape-broadcast" else y[torch.randperm(ROWS)] if mistake == "labels-misaligned" else y
    criterion = nn.MSELoss(reduction="sum" if mistake == "sum-for-mean" else "mean")
    losses = []
    for _ in range(epochs):
        order = torch.randperm(ROWS) if batch else torch.arange(ROWS)
        printed, last = 0.0, 0.0
        for rows in order.split(batch or ROWS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # torch warns of the shapes of one of the mistakes
                last = update(mistake, model, optim, criterion=criterion, X=X[rows], y=y[rows], clip=clip)
                if after:
                    last = criterion(model(X[rows]), y[rows]).item()
            printed += last * len(rows) / ROWS
        if schedule is not None:
            schedule.step()
        losses.append(last if mistake == "last-batch-loss" else printed)
    return losses


def update(
    mistake: str, model: nn.Module, optim: Any, *, criterion: nn.Module, X: torch.Tensor, y: torch.Tensor, clip: float | None
) -> float:
    """Make one step, or what the loop does instead of it, and return the loss."""
    if mistake not in ("no-zero-grad", "stale-gradient", "stale sums", "zero-grad-before-step"):
        optim.zero_grad()
    loss = criterion(model(X), y)
    if mistake in ("stale-gradient", "stale sums", "step-before-backward"):
        optim.step()
        if mistake == "stale-gradient":
            optim.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    if mistake == "zero-grad-before-step":
        optim.zero_grad()
    if mistake not in ("stale-gradient", "stale sums", "step-before-backward"):
        optim.step()
    if mistake == "double-step":
        optim.step()
    return float(loss.item())


def make_schedule(name: str, optim: Any, epochs: int) -> Any:
    """Return a scheduler of an optimizer, None for no name."""
    schedules = torch.optim.lr_scheduler
    makers = {
        "step": lambda: schedules.StepLR(optim, 8, 0.5),
        "cosine": lambda: schedules.CosineAnnealingLR(optim, epochs),
        "exponential": lambda: schedules.ExponentialLR(optim, 0.95),
        "warm-up": lambda: schedules.LinearLR(optim, 0.1, 1.0, 5),
        "one cycle": lambda: schedules.OneCycleLR(optim, 0.3, total_steps=epochs),
    }
    return makers[name]() if name else None
