"""The runs of a batched program that are going on: their weights side by side, and how a run that is lost leaves the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from squarely.descent.options.options import TrainingOptions
from squarely.descent.sweep.batched_optimizers import FROZEN_LR, LearningRates, RunTensors, Step, new_step

EPOCHS_PER_CHECK = 32  # epochs between two looks at who is lost


@dataclass(eq=False, slots=True, kw_only=True)
class ActiveRuns:
    """The runs that are going on, an array of seeds by places; one that is lost may be parked there: at rest, at zero.

    Attributes
    ----------
    seeds : (S,) of the orders of the rows.
    positions : (S, R) the position of each run among the recipes; `is_active` is whether it is going on.
    tensors, step : W, G and what the optimiser needs; the update.
    rates : the learning rates; `column` (S, R) is where those of each run are, `lr` (S, R, 1) are those of the next update.
    weight_history : (33, S, R, p) the weights at the epochs since the last look, and at the one before.
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
    def begin(cls, recipes: Sequence[TrainingOptions], starts: torch.Tensor, rates: LearningRates) -> ActiveRuns:
        """Begin: recipes in the order of starts (S, R, p)."""
        S, R, p = starts.shape
        W = starts.clone()
        step, remembered = new_step(recipes, W)
        column = torch.tensor([rates.column[recipe.rate] for recipe in recipes], device=W.device).view(S, R)
        return cls(
            seeds=[recipe.seed for recipe in recipes[::R]],
            positions=torch.arange(S * R, device=W.device).view(S, R),
            is_active=np.ones((S, R), dtype=bool),
            tensors={"W": W, "G": torch.zeros_like(W), **remembered},
            step=step,
            rates=rates,
            column=column,
            lr=rates.table[0][column].unsqueeze(-1),
            weight_history=W.new_zeros(EPOCHS_PER_CHECK + 1, S, R, p),
        )

    def flatten(self, name: str) -> torch.Tensor:
        """Give W or G as (S R, p), one row for each run."""
        tensor = self.tensors[name]
        return tensor.view(-1, tensor.shape[-1])

    def set_learning_rates(self, step: int) -> None:
        """Take the learning rates of a step."""
        self.lr = self.rates.table[step][self.column].unsqueeze(-1)

    def update(self, number: int) -> None:
        """Move the weights against the gradients in G."""
        self.step(self.tensors, self.lr, number)

    def drop(self, gone: np.ndarray) -> None:
        """Let runs (S, R) go: seeds and places that only such runs have are cut out, the others are parked."""
        self.is_active &= ~gone
        seeds, places = np.flatnonzero(self.is_active.any(1)), np.flatnonzero(self.is_active.any(0))
        s, r = (torch.from_numpy(kept).to(self.positions.device) for kept in (seeds, places))

        def cut(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.index_select(0, s).index_select(1, r)

        self.is_active = self.is_active[np.ix_(seeds, places)]
        self.seeds = [self.seeds[i] for i in seeds.tolist()]
        self.tensors = {name: cut(tensor) for name, tensor in self.tensors.items()}
        self.positions, self.column, self.lr = cut(self.positions), cut(self.column), cut(self.lr)
        parked = torch.from_numpy(~self.is_active).to(self.positions.device)
        for tensor in self.tensors.values():
            tensor[parked] = 0.0
        self.column[parked] = FROZEN_LR
        self.lr[parked] = 0.0
        self.weight_history = self.weight_history.index_select(1, s).index_select(2, r)
