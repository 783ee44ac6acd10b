"""The updates of many runs at once: torch's SGD, Adam and AdamW, with different numbers for each run.

All tensors are (seeds, places, ...), so each run is one row. The rates of a schedule come from torch's scheduler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from squarely.descent.options.optimizers import new_optimizer, schedule_rates, weight_decay_of
from squarely.descent.options.options import TrainingOptions
from squarely.numerics import Array

RunTensors = dict[str, torch.Tensor]  # "W" and "G" (S, R, p), the state of the optimizer, and each run's numbers (S, R, 1)
Step = Callable[[RunTensors, torch.Tensor, int], None]  # takes these, rates (S, R, 1) and the number of the update; updates W


def new_step(options: Sequence[TrainingOptions], W: torch.Tensor) -> tuple[Step, RunTensors]:
    """Return the update of runs that differ in numbers only, and the tensors it needs beside W (S, R, p)."""
    defaults = new_optimizer([torch.nn.Parameter(torch.zeros(1))], options[0]).defaults
    memory: RunTensors = {}
    decays = [weight_decay_of(each) or 0.0 for each in options]
    if any(decays):
        memory["decay"] = _to_run_tensor(decays, W)
    if options[0].optimizer != "sgd":
        memory |= {"mean": torch.zeros_like(W), "square": torch.zeros_like(W)}
        return partial(_adam, defaults), memory
    momenta = [each.momentum for each in options]
    if any(momenta):
        memory |= {"momentum": _to_run_tensor(momenta, W), "velocity": torch.zeros_like(W)}
        if defaults["dampening"]:
            memory["fresh"] = _to_run_tensor([1.0 - defaults["dampening"] if beta else 1.0 for beta in momenta], W)
    return partial(_sgd, bool(defaults["nesterov"])), memory


FROZEN_LR = -1  # the column with rates zero, for ended runs that keep their place


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LearningRates:
    """The learning rates of runs, step by step, from torch's own scheduler."""

    by_epoch: Array  # (epochs + 1, D) in float64, a column for each initial rate; one row if nothing changes
    column: Mapping[float, int]  # initial rate -> its column
    table: torch.Tensor  # (steps, D + 1) in the dtype of the weights, with zeros as the last column
    change: str  # "epoch" or "batch", when the scheduler takes a step; empty without one


def new_rates(options: Sequence[TrainingOptions], batches: int, like: torch.Tensor) -> LearningRates:
    """Compute the rates of runs that share a scheduler, with `batches` batches an epoch."""
    first = options[0]
    distinct = list(dict.fromkeys(each.rate for each in options))
    change = "" if first.scheduler is None else first.scheduler_per
    stride = batches if change == "batch" else 1
    exact = np.array([distinct]) if not change else schedule_rates(first, distinct, first.epochs * stride + 1)[0]
    table = torch.from_numpy(np.pad(exact, ((0, 0), (0, 1)))).to(like)
    columns = {rate: i for i, rate in enumerate(distinct)}
    return LearningRates(by_epoch=exact[::stride], column=columns, table=table, change=change)


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


def _adam(defaults: dict[str, Any], t: RunTensors, lr: torch.Tensor, number: int) -> None:
    """Update m <- lerp(m, g, 1 - b1), s <- b2 s + (1 - b2) g^2, w <- w - lr / (1 - b1^k) m / (sqrt(s / (1 - b2^k)) + eps).

    Source: Kingma and Ba (2015), arXiv:1412.6980; the decay of AdamW: Loshchilov and Hutter (2019), arXiv:1711.05101.
    """
    W, G, (b1, b2) = t["W"], t["G"], defaults["betas"]
    if "decay" in t:
        if defaults["decoupled_weight_decay"]:
            W.mul_(1.0 - lr * t["decay"])
        else:
            G.addcmul_(W, t["decay"])
    t["mean"].lerp_(G, 1.0 - b1)
    t["square"].mul_(b2).addcmul_(G, G, value=1.0 - b2)
    down = t["square"].sqrt().div_(math.sqrt(1.0 - b2**number)).add_(defaults["eps"])
    W.addcdiv_(t["mean"] * (lr / (1.0 - b1**number)), down, value=-1)


def _to_run_tensor(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    S, R, _ = like.shape
    return torch.tensor(list(values), dtype=torch.float64).to(like).view(S, R, 1)
