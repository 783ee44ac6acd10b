"""The losses and gradients of many runs at once, as products of the rows with all weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from squarely.descent.batches.batch_source import BatchSource
from squarely.descent.batches.in_memory import InMemoryBatches
from squarely.descent.options.options import TrainingOptions
from squarely.moments import StandardizedProblem

_CELLS = 2**20  # residuals at once, which bounds memory

# From weights (K, p) to the mean loss (K,); writes the gradient (K, p) to the second tensor, unless that is None.
Evaluate = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True, slots=True)
class ResidualLoss:
    """The mean squared error, or Huber's loss with `delta`, as functions of the residual r.

    >>> ResidualLoss(None).slope_factor, ResidualLoss(1.0).slope(torch.tensor([0.5, -3.0])).tolist()
    (2.0, [0.5, -1.0])
    """

    delta: float | None

    @property
    def slope_factor(self) -> float:
        """The factor of `slope`: r^2 has the derivative 2 r."""
        return 2.0 if self.delta is None else 1.0

    def slope(self, r: torch.Tensor) -> torch.Tensor:
        """Return the derivative without `slope_factor`: r, clipped to delta for Huber."""
        return r if self.delta is None else r.clamp(-self.delta, self.delta)

    def total(self, r: torch.Tensor, slope: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Sum r^2, or slope (r - slope / 2), over the last axis, times relative weights; overwrites r."""
        losses = r.square_() if self.delta is None else r.sub_(slope, alpha=0.5).mul_(slope)
        return losses.sum(-1) if weights is None else losses.mul_(weights).sum(-1)


@dataclass(eq=False, slots=True)
class RowsEvaluator:
    """The `Evaluate` of all rows, in blocks that bound memory: r = X w - y, g = slope_factor / n X'slope(r).

    `X` (p, n) has the columns as rows, that of the intercept first; `y` is (n,), and so are relative weights, if any.
    """

    X: torch.Tensor
    y: torch.Tensor
    loss: ResidualLoss
    weights: torch.Tensor | None = None
    buffers: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: BatchSource, options: TrainingOptions, *, intercept: bool) -> RowsEvaluator:
        """Transpose rows in memory, with a column of ones for the intercept if there is one."""
        assert isinstance(rows, InMemoryBatches)  # noqa: S101  # runs on streamed rows are trained one by one
        X = rows.X.t()
        X = torch.cat([torch.ones_like(X[:1]), X]) if intercept else X.contiguous()
        weights = None if rows.weights is None else rows.weights.reshape(-1)
        return cls(X, rows.y.reshape(-1), ResidualLoss(options.delta if options.loss == "huber" else None), weights)

    def __call__(self, W: torch.Tensor, G: torch.Tensor | None) -> torch.Tensor:
        """Return the mean loss (K,), and write the gradient (K, p) to G."""
        n, K, total = len(self.y), len(W), torch.zeros(len(W), dtype=W.dtype, device=W.device)
        block = max(_CELLS // K, 1)
        for start in range(0, n, block):
            X, y = self.X[:, start : start + block], self.y[start : start + block]
            r = torch.addmm(y.expand(K, len(y)), W, X, beta=-1, out=self._residual_buffer(K, len(y)))
            slope, weights = self.loss.slope(r), None if self.weights is None else self.weights[start : start + block]
            if G is not None:
                pull = slope if weights is None else slope * weights
                torch.addmm(G, pull, X.t(), beta=1 if start else 0, alpha=self.loss.slope_factor / n, out=G)
            total += self.loss.total(r, slope, weights)
        return total.div_(n)

    def _residual_buffer(self, K: int, m: int) -> torch.Tensor:
        if (K, m) not in self.buffers:
            if len(self.buffers) > 1:  # those of a block of rows and of the last one; others were for more runs
                self.buffers.clear()
            self.buffers[K, m] = self.y.new_empty(K, m)
        return self.buffers[K, m]


def evaluate_on_moments(problem: StandardizedProblem, like: torch.Tensor) -> Evaluate:
    """Return the evaluation on cross-products: L = 1/2 w'H w - h'w + mean(y^2), with the gradient H w - h."""
    H, h = (torch.from_numpy(a).to(like) for a in (problem.H, problem.h))

    def evaluate(W: torch.Tensor, G: torch.Tensor | None) -> torch.Tensor:
        g = torch.addmm(h, W, H, beta=-1, out=G)  # H is its own transpose
        return (g - h).mul_(W).sum(-1).mul_(0.5).add_(problem.y2)

    return evaluate
