"""The learning rate that lr="auto" stands for: the best one in theory, or torch's default where theory has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squarely import theory
from squarely.descent.options.options import TrainingOptions
from squarely.descent.run_theory.limits import MAX_REMAINING_ERROR, theory_batches
from squarely.descent.run_theory.theory_inputs import TheoryInputs
from squarely.errors import join_words, pluralize
from squarely.numerics import Array, round_down

_FULL_BATCH_FRACTIONS = np.geomspace(1.0, 0.01, 60)  # of the best rate in the long run: the candidates of lr="auto" for few epochs
_RATE_FRACTIONS = np.geomspace(1e-4, 0.5, 60)  # of the limit: the candidates of lr="auto" with mini-batches


def resolve_learning_rate(
    options: TrainingOptions,
    inputs: TheoryInputs,
    start: Callable[[], Array],
    *,
    is_plain: bool,
    checkpoint_rate: Callable[[], float | None] = lambda: None,
) -> tuple[TrainingOptions, tuple[str, ...]]:
    """Replace lr="auto" by a number, and say why. An optimizer of the user's own keeps its rate.

    `start` returns the coefficients (p,) to start from. A run that continues from a checkpoint keeps the `checkpoint_rate`, because
    the best rate for more epochs may be another one.
    """
    if options.lr != "auto" or not isinstance(options.optimizer, str):
        return options, ()
    rate = checkpoint_rate()
    if rate is not None:
        return replace(options, lr=rate), (f"lr='auto' is {rate:.6g}, the rate of the checkpoint that the run continues from.",)
    if options.optimizer != "sgd" or not is_plain:
        from squarely.descent.options.optimizers import default_rate  # here, because PyTorch takes a second to import

        lr, model = (
            default_rate(options.optimizer),
            "this model" if options.optimizer == "sgd" else f"optimizer={options.optimizer!r}",
        )
        why, assumed = f"torch's default: theory has no best rate for {model}", ""
    elif options.loss in ("l1", "quantile"):
        (lr, why), assumed = _find_subgradient_step(options, inputs, start()), ""
    else:
        (lr, why), assumed = _find_best_rate(options, inputs, start()), _state_assumptions(options, inputs)
    return replace(options, lr=lr), (f"lr='auto' is {round_down(lr, 6)}, {why}.{assumed}",)


def _find_subgradient_step(options: TrainingOptions, inputs: TheoryInputs, start: Array) -> tuple[float, str]:
    """Return the constant step R / (G sqrt(k)) of the subgradient method for k steps, the best in the worst case.

    R is the distance of the start from the optimum, here that of least squares, and G bounds the gradient: a row adds x times a
    number of at most 1, or the larger of q and 1 - q for the quantile q. Source: Nesterov (2004), section 3.2.3.
    """
    problem, lam = inputs.problem, inputs.spectrum
    R = float(np.linalg.norm(start - theory.fixed_point(lam, problem.h))) or 1.0
    slope = 1.0 if options.loss == "l1" else max(options.quantile, 1.0 - options.quantile)
    steps = options.epochs * theory_batches(replace(options, lr=1.0), problem.n).sizes(problem.n)[0]
    step = R / (slope * math.sqrt(0.5 * lam.largest_eigenvalue * steps))
    return step * (1.0 - options.momentum), f"the constant step of the subgradient method for {pluralize(steps, 'step')}"


def _find_best_rate(options: TrainingOptions, inputs: TheoryInputs, start: Array) -> tuple[float, str]:
    """Return the best constant rate for all rows; with mini-batches, the one expected to end lowest after these epochs."""
    problem, lam = inputs.problem, inputs.spectrum
    if options.is_full_batch:
        decay = options.weight_decay or 0.0
        descent = theory.Descent(lr=1.0, momentum=options.momentum, nesterov=options.nesterov, weight_decay=decay)
        return _find_full_batch_rate(inputs, descent, options.epochs, start)
    noise, batches = inputs.gradient_noise(), theory_batches(replace(options, lr=1.0), problem.n)
    limit = theory.batch_lr_limit(noise, batches.batch_size, batches.descent)
    c = lam.vectors.T @ (start - theory.fixed_point(lam, problem.h))
    ends = [theory.expected_excess(noise, c, replace(batches, lr=float(part * limit)))(options.epochs) for part in _RATE_FRACTIONS]
    best = float(_RATE_FRACTIONS[int(np.argmin(ends))] * limit)
    return best, (
        f"which theory expects to end lowest after {pluralize(options.epochs, 'epoch')} of these batches, of the rates up to half "
        "of their limit"
    )


def _find_full_batch_rate(inputs: TheoryInputs, descent: theory.Descent, epochs: int, start: Array) -> tuple[float, str]:
    """Return the best rate in the long run; for fewer epochs than that takes, the rate that ends lowest.

    On a wide spectrum the best rate in the long run is near the limit, where the steepest direction hardly shrinks.
    """
    problem, lam = inputs.problem, inputs.spectrum
    moving = lam.values[lam.flat_directions :]
    best = theory.lr_best(lam, descent)
    if (
        theory.remaining_fraction(theory.Spectrum(moving, np.eye(len(moving))), replace(descent, lr=best), epochs)
        <= MAX_REMAINING_ERROR
    ):
        return best, "the best constant rate for this spectrum"
    rest, optimum = theory.fixed_point(lam, problem.h, descent.weight_decay), theory.fixed_point(lam, problem.h)
    c, offset = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - optimum)
    rates = _FULL_BATCH_FRACTIONS * best
    ends = [theory.excess(lam, theory.modes_after(lam, c, replace(descent, lr=float(rate)), epochs) + offset) for rate in rates]
    lr = float(rates[int(np.argmin(ends))])
    return lr, f"which ends lowest after {pluralize(epochs, 'epoch')} in theory; {round_down(best, 6)} is the best in the long run"


def _state_assumptions(options: TrainingOptions, inputs: TheoryInputs) -> str:
    """State the assumptions of lr='auto' that the options do not meet, in a sentence."""
    by_batches = not options.is_full_batch
    left_out = {
        "a constant rate": options.scheduler is not None,
        "no weight decay": by_batches and bool(options.weight_decay),
        "no average of the iterates": options.average is not None,
        "a new order each epoch": by_batches and not options.shuffle,
        "the same rows in batches of one size": not inputs.has_even_batches,
        "Gaussian columns": by_batches and options.standardize is False,
        "the mean squared error": options.loss != "mse",
        "no clipping": options.clip_grad_norm is not None,
        "torch's usual options": bool(options.optimizer_options),
    }
    assumed = [name for name, holds in left_out.items() if holds]
    return f" This assumes {join_words(assumed)}." if assumed else ""
