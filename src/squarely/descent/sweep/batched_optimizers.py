"""The updates of many runs at once: torch's SGD, Adam and AdamW written out, with numbers of its own for each run.

All tensors are (seeds, places, ...), so that a run is one row whatever the optimiser. The rates of a scheduler are torch's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from squarely.descent.options.optimizers import new_optimizer, new_scheduler, step_scheduler, try_schedule
from squarely.descent.options.options import TrainingOptions
from squarely.numerics import Array

RunTensors = dict[str, torch.Tensor]  # "W" and "G" (S, R, p), what the optimiser remembers, and each run's numbers (S, R, 1)
Step = Callable[[RunTensors, torch.Tensor, int], None]  # from these, rates (S, R, 1) and the number of the update; W is moved


def new_step(recipes: Sequence[TrainingOptions], W: torch.Tensor) -> tuple[Step, RunTensors]:
    """Give the update of recipes that differ in their numbers alone, and what it needs beside W (S, R, p), in the same layout."""
    options = defaults_of(recipes[0])
    remembered: RunTensors = {}
    decays = [decay_of(recipe, options) for recipe in recipes]
    if any(decays):
        remembered["decay"] = _to_run_tensor(decays, W)
    if recipes[0].optimizer != "sgd":
        remembered |= {"mean": torch.zeros_like(W), "square": torch.zeros_like(W)}
        return partial(_adam, options), remembered
    momenta = [recipe.momentum for recipe in recipes]
    if any(momenta):
        remembered |= {"momentum": _to_run_tensor(momenta, W), "velocity": torch.zeros_like(W)}
        if options["dampening"]:
            remembered["fresh"] = _to_run_tensor([1.0 - options["dampening"] if beta else 1.0 for beta in momenta], W)
    return partial(_sgd, bool(options["nesterov"])), remembered


def defaults_of(recipe: TrainingOptions) -> dict[str, Any]:
    """Give all options of a recipe's optimiser by torch's names, those included that torch chooses."""
    made: dict[str, Any] = new_optimizer([torch.nn.Parameter(torch.zeros(1))], recipe).defaults
    return made


def decay_of(recipe: TrainingOptions, options: dict[str, Any]) -> float:
    """Give the weight decay of a recipe: its own, or the one that torch chooses."""
    return float(options["weight_decay"]) if recipe.weight_decay is None else recipe.weight_decay


FROZEN_LR = -1  # the column of rates of zero: of runs that are over and still have a place


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LearningRates:
    """The learning rates of runs, step by step, from torch's own scheduler.

    Attributes
    ----------
    exact_table : (steps, D), of which `column` has the one that begins with a rate; a single step where nothing changes.
    table : the same in the type of the weights, with zeros as the last column.
    change : "epoch" or "batch", as a scheduler is told to step; empty without one.
    stride : steps in an epoch.
    """

    exact_table: Array
    column: Mapping[float, int]
    table: torch.Tensor
    change: str
    stride: int


def new_rates(recipes: Sequence[TrainingOptions], batches: int, like: torch.Tensor) -> LearningRates:
    """Work the rates out for recipes that share a scheduler, with so many batches an epoch."""
    first = recipes[0]
    distinct = list(dict.fromkeys(recipe.rate for recipe in recipes))
    change = "" if first.scheduler is None else first.scheduler_per
    stride = batches if change == "batch" else 1
    exact = np.array([distinct]) if not change else _schedule_rates(first, distinct, first.epochs * stride + 1)
    table = torch.from_numpy(np.pad(exact, ((0, 0), (0, 1)))).to(like)
    return LearningRates(
        exact_table=exact, column={rate: i for i, rate in enumerate(distinct)}, table=table, change=change, stride=stride
    )


def _schedule_rates(recipe: TrainingOptions, rates: Sequence[float], steps: int) -> Array:
    """Step torch's scheduler on an optimiser that holds one idle parameter for each rate: (steps, len(rates))."""
    groups: Any = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    idle = new_optimizer(groups, replace(recipe, lr=rates[0]))
    scheduler, table = new_scheduler(idle, recipe), np.empty((steps, len(rates)))
    try_schedule(scheduler, steps - 1, recipe.epochs)
    idle.step()  # torch warns of a scheduler whose optimiser never steps
    for k in range(steps):
        if k:
            step_scheduler(scheduler)
        table[k] = [float(group["lr"]) for group in idle.param_groups]
    return table


def _sgd(nesterov: bool, t: RunTensors, lr: torch.Tensor, number: int) -> None:
    """Update v <- beta v + g, then w <- w - lr v (Nesterov: w - lr (g + beta v)); the first velocity is the gradient."""
    G = t["G"]
    if "decay" in t:
        G.addcmul_(t["W"], t["decay"])
    if "velocity" in t:
        v = t["velocity"]
        if number == 1:
            v.copy_(G)
        elif "fresh" in t:
            v.mul_(t["momentum"]).addcmul_(G, t["fresh"])
        else:
            v.mul_(t["momentum"]).add_(G)
        G = G.addcmul_(v, t["momentum"]) if nesterov else v
    t["W"].addcmul_(G, lr, value=-1)


def _adam(options: dict[str, Any], t: RunTensors, lr: torch.Tensor, number: int) -> None:
    """Update m <- lerp(m, g, 1 - b1), s <- b2 s + (1 - b2) g^2, w <- w - lr / (1 - b1^k) m / (sqrt(s / (1 - b2^k)) + eps).

    Source: Kingma and Ba (2015), arXiv:1412.6980; the decay of AdamW: Loshchilov and Hutter (2019), arXiv:1711.05101.
    """
    W, G, (b1, b2) = t["W"], t["G"], options["betas"]
    if "decay" in t:
        if options["decoupled_weight_decay"]:
            W.mul_(1.0 - lr * t["decay"])
        else:
            G.addcmul_(W, t["decay"])
    t["mean"].lerp_(G, 1.0 - b1)
    t["square"].mul_(b2).addcmul_(G, G, value=1.0 - b2)
    down = t["square"].sqrt().div_(math.sqrt(1.0 - b2**number)).add_(options["eps"])
    W.addcdiv_(t["mean"] * (lr / (1.0 - b1**number)), down, value=-1)


def _to_run_tensor(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    S, R, _ = like.shape
    return torch.tensor(list(values), dtype=torch.float64).to(like).view(S, R, 1)
