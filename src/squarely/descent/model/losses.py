"""The losses of a run, each a mean over rows."""

from __future__ import annotations

import torch
from torch import nn

from squarely.descent.options.options import TrainingOptions


class QuantileLoss(nn.Module):
    """The pinball loss: the mean of max(q r, (q - 1) r) with r = label - output, minimal at the q-th quantile.

    Source: Koenker and Bassett (1978), doi:10.2307/1913643.
    """

    def __init__(self, quantile: float, reduction: str = "mean") -> None:
        super().__init__()
        self.quantile, self.reduction = quantile, reduction

    def forward(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of outputs (m, 1) and labels (m, 1), or with reduction="none" that of each row."""
        r = labels - outputs
        losses = torch.maximum(self.quantile * r, (self.quantile - 1.0) * r)
        return losses if self.reduction == "none" else losses.mean()


class WeightedLoss(nn.Module):
    """The mean of weights times losses. With weights of mean one it is the weighted mean of the losses."""

    def __init__(self, losses: nn.Module) -> None:
        super().__init__()
        self.losses = losses

    def forward(self, outputs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the mean for outputs, labels and weights (m, 1)."""
        return (self.losses(outputs, labels) * weights).mean()


def new_criterion(options: TrainingOptions, *, weighted: bool) -> nn.Module:
    """Return the loss of the options, a mean over rows of a function of the residual, as in torch.

    If `weighted`, it takes the relative weights of the rows as its third argument.
    """
    reduction = "none" if weighted else "mean"
    if options.loss == "l1":
        criterion: nn.Module = nn.L1Loss(reduction=reduction)
    elif options.loss == "huber":
        criterion = nn.HuberLoss(delta=options.delta, reduction=reduction)
    elif options.loss == "quantile":
        criterion = QuantileLoss(options.quantile, reduction=reduction)
    else:
        criterion = nn.MSELoss(reduction=reduction)
    return WeightedLoss(criterion) if weighted else criterion
