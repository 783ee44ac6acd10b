"""The losses of a run, each a mean over rows."""

from __future__ import annotations

import torch
from torch import nn

from squarely.descent.options.options import TrainingOptions


class QuantileLoss(nn.Module):
    """The pinball loss: the mean of max(q r, (q - 1) r) with r = label - output, minimal at the q-th quantile.

    Source: Koenker and Bassett (1978), doi:10.2307/1913643.
    """

    def __init__(self, quantile: float) -> None:
        super().__init__()
        self.quantile = quantile

    def forward(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of outputs (m, 1) and labels (m, 1)."""
        r = labels - outputs
        return torch.maximum(self.quantile * r, (self.quantile - 1.0) * r).mean()


def new_criterion(options: TrainingOptions) -> nn.Module:
    """Return the loss of the options, a mean over rows of a function of the residual, as in torch."""
    if options.loss == "l1":
        return nn.L1Loss()
    if options.loss == "huber":
        return nn.HuberLoss(delta=options.delta)
    if options.loss == "quantile":
        return QuantileLoss(options.quantile)
    return nn.MSELoss()
