"""The active runs of a batched program: their weights side by side, and how diverged runs are removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from squarely.descent.options.options import TrainingOptions
from squarely.descent.sweep.batched_optimizers import FROZEN_LR, LearningRates, RunTensors, Step, new_step

EPOCHS_PER_CHECK = 32  # epochs between two checks for diverged runs


@dataclass(eq=False, slots=True, kw_only=True)
class ActiveRuns:
    """The active runs, an array of S seeds by R places. A diverged run may keep its place, with weights and learning rate zero.

    Attributes
    ----------
    seeds : (S,) of the orders of the rows.
    positions : (S, R) the position of each run among all options; `is_active` : whether it is active.
    tensors, step : W, G and the tensors of the optimizer; the update.
    rates : the learning rates; `column` (S, R) : the column of each run; `lr` (S, R, 1) : the rates of the next update.
    weight_history : (33, S, R, p) the weights at the epochs since the last check, and at the one before.
    """

    seeds: list[int]
    positions: torch.Tensor
    is_active: np.ndarray
    tensors: RunTensors
    step: Step
    rates: LearningRates
    column: torch.Tensor
    lr: torch.Tensor
    weight_history: torch.Tensor

    @classmethod
    def start(cls, options: Sequence[TrainingOptions], starts: torch.Tensor, rates: LearningRates) -> ActiveRuns:
        """Start runs from starts (S, R, p), with options (S R) in the same order."""
        S, R, p = starts.shape
        W = starts.clone()
        step, memory = new_step(options, W)
        column = torch.tensor([rates.column[each.rate] for each in options], device=W.device).view(S, R)
        return cls(
            seeds=[each.seed for each in options[::R]],
            positions=torch.arange(S * R, device=W.device).view(S, R),
            is_active=np.ones((S, R), dtype=bool),
            tensors={"W": W, "G": torch.zeros_like(W), **memory},
            step=step,
            rates=rates,
            column=column,
            lr=rates.table[0][column].unsqueeze(-1),
            weight_history=W.new_zeros(EPOCHS_PER_CHECK + 1, S, R, p),
        )

    def flatten(self, name: str) -> torch.Tensor:
        """Return W or G as (S R, p), one row for each run."""
        tensor = self.tensors[name]
        return tensor.view(-1, tensor.shape[-1])

    def set_learning_rates(self, step: int) -> None:
        """Set the learning rates of a step."""
        self.lr = self.rates.table[step][self.column].unsqueeze(-1)

    def update(self, number: int) -> None:
        """Move the weights against the gradients in G."""
        self.step(self.tensors, self.lr, number)

    def drop(self, ended: np.ndarray) -> None:
        """Remove runs (S, R): cut out the seeds and places without an active run, and freeze the other ended runs."""
        self.is_active &= ~ended
        seeds, places = np.flatnonzero(self.is_active.any(1)), np.flatnonzero(self.is_active.any(0))
        s, r = (torch.from_numpy(selected).to(self.positions.device) for selected in (seeds, places))

        def select(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.index_select(0, s).index_select(1, r)

        self.is_active = self.is_active[np.ix_(seeds, places)]
        self.seeds = [self.seeds[i] for i in seeds.tolist()]
        self.tensors = {name: select(tensor) for name, tensor in self.tensors.items()}
        self.positions, self.column, self.lr = select(self.positions), select(self.column), select(self.lr)
        frozen = torch.from_numpy(~self.is_active).to(self.positions.device)
        for tensor in self.tensors.values():
            tensor[frozen] = 0.0
        self.column[frozen] = FROZEN_LR
        self.lr[frozen] = 0.0
        self.weight_history = self.weight_history.index_select(1, s).index_select(2, r)
