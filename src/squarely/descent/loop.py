"""The training loop of the tutorial, from standardised rows to a trained nn.Linear. It reads from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from squarely.data import Source, scanning
from squarely.descent.recipe import DTYPES, Recipe
from squarely.design import rows
from squarely.errors import DataError, OptionError
from squarely.moments import Moments, Standardised
from squarely.numerics import Array

_GRAIN = 32_768  # torch itself does not share out work smaller than this
_BEYOND_ALL_BOUNDS = 1e12  # times the first loss; a stable run with momentum may grow, but by far less


class LinearRegression(nn.Module):
    """A linear layer and nothing else: weight times input plus bias, that is slope times x plus intercept."""

    def __init__(self, features: int, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1, bias=bias, device="cpu", dtype=torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict: x (m, features) to (m, 1)."""
        out: torch.Tensor = self.linear(x)
        return out


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Loop:
    """What the loop leaves behind.

    Attributes
    ----------
    model, optimizer : the torch objects, as trained.
    losses : the loss at epochs 0, 1, ... as logged, each before the update that follows it.
    start, end : standardised coefficients (p,) before and after, the intercept first.
    diverged : whether the loss grew past all bounds and the loop stopped.
    """

    model: LinearRegression
    optimizer: torch.optim.Optimizer
    losses: Array
    start: Array
    end: Array
    diverged: bool


@scanning("training rows")
def standardised_rows(moments: Moments, problem: Standardised, source: Source, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the rows and standardise them in float64: X (n, features) and y (n, 1) in the recipe's dtype, on its device."""
    values = [block.values for block in rows(moments.design, source)]
    met = sum(map(len, values))
    if met != moments.n:
        raise DataError(f"{source.label} changed while it was read: {moments.n:,} complete rows at first, then {met:,}. Run again.")
    table = problem.columns(np.concatenate(values))  # (n, k)
    with torch.inference_mode(False):  # else the tensors could not take part in a gradient
        tensor = torch.from_numpy(table).to(device=recipe.device, dtype=DTYPES[recipe.dtype])
        return tensor[:, :-1].contiguous(), tensor[:, -1:].contiguous()


def run_loop(X: torch.Tensor, y: torch.Tensor, recipe: Recipe, *, bias: bool) -> Loop:
    """Train a newly made model with a newly made optimiser on all rows at once."""
    losses: list[float] = []
    with torch.inference_mode(False), torch.enable_grad(), _threads_for(X):
        model = _new_model(X.shape[1], recipe, bias=bias)
        criterion = nn.MSELoss()
        optimizer = _new_optimizer(model, recipe)
        start = coefficients(model)
        for epoch in range(recipe.epochs + 1):
            optimizer.zero_grad()  # clear the gradients of the epoch before
            outputs = model(X)  # (n, 1)
            loss = criterion(outputs, y)  # mean over the n rows
            losses.append(loss.item())
            diverged = not losses[-1] <= _BEYOND_ALL_BOUNDS * (losses[0] + 1.0)  # NaN too
            if diverged or epoch == recipe.epochs:
                break  # the last loss is logged, and no update follows it
            loss.backward()  # gradients of the loss with respect to weight and bias
            optimizer.step()  # move them against the gradient, lr times as far
    return Loop(
        model=model,
        optimizer=optimizer,
        losses=np.array(losses),
        start=start,
        end=coefficients(model),
        diverged=diverged,
    )


def coefficients(model: LinearRegression) -> Array:
    """Give the model's coefficients (p,) in float64, the bias first if there is one."""
    bias: torch.Tensor | None = model.linear.bias
    parts = [model.linear.weight] if bias is None else [bias, model.linear.weight]
    # A copy: on the CPU in float64 the array would otherwise be the model's own memory and follow the training.
    return np.concatenate([part.detach().double().cpu().numpy().ravel() for part in parts])


def on_one_thread(size: int) -> bool:
    """Tell whether a table of so many numbers is trained on one thread."""
    return size <= _GRAIN


@contextmanager
def _threads_for(X: torch.Tensor) -> Iterator[None]:
    """Run small problems on one thread: a second only waits, and fights the spinning threads of NumPy's BLAS (2 x slower)."""
    before = torch.get_num_threads()
    if on_one_thread(X.numel()):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _new_model(features: int, recipe: Recipe, *, bias: bool) -> LinearRegression:
    with torch.random.fork_rng(devices=[]):  # the user's own random state stays as it is
        model = LinearRegression(features, bias)
    # What nn.Linear itself draws from a newly seeded generator, whatever defaults the user has set for torch.
    generator = torch.Generator().manual_seed(recipe.seed)
    nn.init.kaiming_uniform_(model.linear.weight, a=math.sqrt(5), generator=generator)
    if bias:
        nn.init.uniform_(model.linear.bias, -1 / math.sqrt(features), 1 / math.sqrt(features), generator=generator)
    model.to(device=recipe.device, dtype=DTYPES[recipe.dtype])
    if recipe.start is not None:
        _set(model, np.asarray(recipe.start, dtype=np.float64))
    return model


def _set(model: LinearRegression, values: Array) -> None:
    bias: torch.Tensor | None = model.linear.bias
    expected = model.linear.weight.numel() + (bias is not None)
    if values.shape != (expected,):
        raise OptionError(
            f"start={values.tolist()!r} has {values.size} values; this model has {expected} coefficients"
            f"{', the intercept first' if bias is not None else ''}. Give one number for each."
        )
    with torch.no_grad():
        if bias is not None:
            bias.fill_(float(values[0]))
        model.linear.weight.copy_(torch.from_numpy(values[-model.linear.weight.numel() :]))


def _new_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=recipe.lr)
    return torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)
