"""What a run that ended too far away still needs, where nothing else is wrong with it.

Each sentence rests on something that is known: an exact curve, the noise of batches, or what the run logged. Where no curve is
known it says what the loss did, and promises nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squarely import theory
from squarely.certification.certificate import largest_gap
from squarely.certification.evidence import (
    CHANCE_FACTOR,
    LOSS_NAMES,
    Evidence,
    describe_decay,
    is_least_squares,
    join_sentences,
    largest_decay,
    optimum_of,
    other_loss_optimum,
    response_variance,
    resting_point,
    rounding_excess,
)
from squarely.errors import pluralize
from squarely.numerics import Array, round_down

_DECAYED_FRACTION = 0.01  # of its largest rate: a schedule that ends there hardly moves any more
_STEADY_FRACTION = 0.9  # of the epochs: a loss that falls in so many falls steadily
_WIDE_CONDITION = 100.0  # kappa from which on some direction may be slow while others are noisy
_NOISE_FACTOR = 10.0  # times the variance of a batch's gradient: a squared gradient beyond that is no work of batches


def explain_shortfall(case: Evidence) -> tuple[str, str]:
    """Judge a run that ended too far away although nothing is wrong with its rows, columns or learning rate."""
    run, recipe, tau = case.run, case.run.options, case.tau
    if recipe.average is not None and run.result.last_iterate is not None:
        return _judge_average(case)
    prediction = run.prediction
    if prediction is None or recipe.descent is None or not recipe.is_full_batch:
        known = run.theory.floor is not None and not recipe.is_full_batch and prediction is not None
        unlike = prediction is not None and case.excess > CHANCE_FACTOR * float(prediction.excess[-1])
        return _judge_expected(case) if known and not unlike else _judge_losses(case)
    foreseen = largest_gap(prediction.gap, case.fit.standard_errors)
    if foreseen > tau or len(prediction.excess) != len(run.result.losses):
        return "not converged", _advise_on_schedule(case) if recipe.scheduler is not None else _describe_epochs(case)
    if recipe.dtype == "float32":
        return "float32 floor", (
            f"In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float32. Train with dtype='float64'."
        )
    if case.excess <= rounding_excess(case, recipe.rate, "float64"):
        return "float64 floor", f"In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float64."
    return "disagree", (
        f"Theory predicts {foreseen:.2g} for this run, and neither rows, columns, learning rate nor precision explain "
        "the rest: the loop did something else than its recipe says."
    )


def _judge_average(case: Evidence) -> tuple[str, str]:
    """Judge an average of iterates, which theory has no curve for."""
    run, recipe = case.run, case.run.options
    assert run.result.last_iterate is not None  # noqa: S101  # the caller has looked
    last = case.distance(run.result.last_iterate, optimum_of(case.fit, run))
    said = f"That is the average of the iterates from epoch {recipe.average:,}; the last iterate is {last:.2g} away."
    if not recipe.is_full_batch and not recipe.shuffle and not recipe.replacement:
        return "fixed order", f"{said} Averaging does not cure the bias of batches that come in one order: use shuffle=True."
    if last < case.max_gap:
        return "not converged", f"{said} Begin to average later, or leave average out."
    return "not converged", f"{said} A longer average comes nearer."


def _advise_on_schedule(case: Evidence) -> str:
    """Advise where an exact curve says that a schedule has left too much."""
    run = case.run
    kept = (
        ""
        if run.prediction is None
        else f"The schedule leaves {run.prediction.remaining_fraction:.2g} of the excess loss, as theory predicts. "
    )
    return f"{kept}{_describe_rates(case)} {_describe_best_rate(case)}".strip()


def _describe_rates(case: Evidence) -> str:
    """Say where a schedule has taken the learning rate."""
    rates = np.asarray(case.run.result.history.columns.get("lr", ()), dtype=np.float64)
    if not len(rates):
        return ""
    said = f"The logged learning rate went from at most {rates.max():.3g} to {rates[-1]:.3g}"
    if rates[-1] <= _DECAYED_FRACTION * rates.max():
        return f"{said}, at which its last epochs hardly moved it: let the rate fall later."
    return f"{said}."


def _judge_losses(case: Evidence) -> tuple[str, str]:
    """Judge a run that no curve is known for, by what it logged."""
    run, recipe = case.run, case.run.options
    lbfgs = type(run.optimizer).__name__ == "LBFGS"
    head = "" if recipe.descent else f"Theory has no closed form for {_name_obstacle(case)}."
    head = head if run.is_plain else "Theory does not hold for this model."
    rates = np.asarray(run.result.history.columns.get("lr", ()), dtype=np.float64)
    if len(rates) and rates[-1] <= _DECAYED_FRACTION * rates.max():
        return "not converged", join_sentences(head, _describe_rates(case), _describe_limit(case), _describe_best_rate(case))
    if lbfgs and len(run.result.losses) > 1 and run.result.losses[-1] == run.result.losses[-2]:
        rounding = " or the rounding of float32" if recipe.dtype == "float32" else ""
        return "not converged", (
            f"LBFGS no longer moves: its own tolerances{rounding} end each of its searches, and more epochs change nothing. Set "
            "tolerance_grad and tolerance_change to 0 in optimizer_options, with dtype='float64'."
        )
    worth = 0.5 if is_least_squares(case) else 0.01  # of other losses the least is not known
    trend = "falling" if lbfgs else _classify_trend(_logged_excesses(case), worth=worth)  # the fall of LBFGS is no geometric one
    if trend == "falling":
        longer = f"Its loss was still falling when it ended: more than {pluralize(case.epochs, 'epoch')} may bring it nearer."
        return "not converged", join_sentences(head, longer, _describe_limit(case), _describe_best_rate(case, within=case.epochs))
    if trend == "slow":
        said = "Its loss was falling ever more slowly when it ended: how near more epochs would bring it is not known."
    elif recipe.scheduler is None and _is_noise_near(case):
        said = "Its loss hardly falls any more, so more epochs at this rate need not bring it nearer."
    else:
        said = join_sentences("Its loss does not fall steadily any more.", _describe_rates(case))
    verdict, why = _judge_stalled(case, trend)
    return verdict, join_sentences(head, said, why)


def _judge_stalled(case: Evidence, trend: str) -> tuple[str, str]:
    """Judge a run whose loss falls little, or not steadily."""
    recipe, known = case.run.options, case.run.theory
    pulls = f"weight_decay={largest_decay(case):g} pulls its coefficients towards zero: try 0." if largest_decay(case) else ""
    leads, slow = _describe_limit(case) or pulls, ", or it moves slowly in some direction" if known.kappa > _WIDE_CONDITION else ""
    if not recipe.is_full_batch and not recipe.shuffle and not recipe.replacement:
        order = f"Its batches come in one order, which has a bias of its own{slow}: "
        return "fixed order", join_sentences(f"{order}use shuffle=True, or all rows at once.", leads)
    if trend == "slow":
        return "not converged", join_sentences(leads, _describe_best_rate(case))
    if not _is_noise_near(case):
        return "not converged", join_sentences(
            leads, "Try more epochs, a smaller rate or a schedule.", _describe_best_rate(case, within=case.epochs)
        )
    coarse = recipe.dtype == "float32" and case.excess <= response_variance(case.run) * (100.0 * np.finfo("float32").eps) ** 2
    rounding = " or the rounding of float32" if coarse else ""
    noise = f"The noise of its batches{rounding} keeps it away{slow}: a smaller rate, a schedule or "
    limit, told = "", known.rate_and_limit
    if told is not None and known.lr_limit is not None and recipe.scheduler is None and recipe.rate >= known.lr_limit:
        limit = f"lr={recipe.rate:g} is not below {told[1]}, the limit {known.limit_label}: try lr={told[0]}."
    return "batch noise", join_sentences(f"{noise}average=True may bring it nearer.", limit, leads)


def _is_noise_near(case: Evidence) -> bool:
    """Tell whether the gradient of all rows at the end is of the size of what batches add to it, and their noise may keep it up."""
    run, recipe = case.run, case.run.options
    if recipe.is_full_batch or not (recipe.shuffle or recipe.replacement):
        return False
    problem, w, size = run.problem, run.result.end, recipe.batch_size or run.problem.n
    slope = problem.H @ w - problem.h
    share = 1.0 if recipe.replacement else 1.0 - min(size / problem.n, 1.0)
    variance = 2.0 * problem.loss(w) * float(np.trace(problem.H)) / size * share  # 4 r^2 x'x for a row, and x'x is trace(H) / 2
    return not is_least_squares(case) or float(slope @ slope) <= _NOISE_FACTOR * variance


def _describe_limit(case: Evidence) -> str:
    """Say where more epochs lead, if that is not least squares."""
    if not is_least_squares(case):
        move = case.distance(other_loss_optimum(case), optimum_of(case.fit, case.run))
        if move <= case.tau:
            return ""
        return f"It is on its way to the optimum of the {LOSS_NAMES[case.run.options.loss]}, about {move:.2g} from least squares."
    rest = resting_point(case)
    if rest is not None and case.distance(rest, optimum_of(case.fit, case.run)) > case.tau:
        return f"{describe_decay(case, rest)}: train with weight_decay=0."
    return ""


def _name_obstacle(case: Evidence) -> str:
    """Name what keeps theory from knowing the run."""
    recipe = case.run.options
    if recipe.loss != "mse":
        return f"loss={recipe.loss!r}"
    if recipe.optimizer == "sgd":
        return "clipped gradients" if recipe.clip_grad_norm is not None else "these options of SGD"
    return recipe.optimizer if isinstance(recipe.optimizer, str) else "this optimiser"


def _logged_excesses(case: Evidence) -> Array:
    """Give the logged losses above the least, where that is known."""
    losses = case.run.result.losses
    least = case.run.problem.loss(optimum_of(case.fit, case.run)) if is_least_squares(case) else 0.0
    excesses: Array = losses - least
    return excesses


def _classify_trend(excess: Array, *, worth: float) -> str:
    """Say what a loss did in the last half of its epochs: "falling", "slow" (it falls, to a value not far below) or "noisy".

    What a steady fall still comes to is estimated as if it were geometric. Another one counts from a share `worth` of the rest on.
    """
    half = excess[len(excess) // 2 :] if len(excess) > 5 else excess
    if len(half) < 3:
        return "falling" if half[-1] < half[0] else "noisy"
    if not np.isfinite(half).all():
        return "noisy"
    middle = len(half) // 2
    if (np.diff(half) < 0).mean() < _STEADY_FRACTION:
        earlier, later = half[:middle], half[middle:]
        return "falling" if earlier.mean() - later.mean() > max(3.0 * later.std(), worth * later.mean()) else "noisy"
    before, after = half[0] - half[middle], half[middle] - half[-1]
    share = after / before * middle / (len(half) - 1 - middle) if before > 0 else 1.0
    if share >= 1.0 or after * share / (1.0 - share) >= 0.5 * half[-1]:
        return "falling"
    return "slow"


def _judge_expected(case: Evidence) -> tuple[str, str]:
    """Judge a run of batches whose noise has a known size, and is not the cause: say how many epochs are expected to do."""
    run, known, tau = case.run, case.run.theory, case.tau
    assert known.noise is not None  # noqa: S101  # where there is a floor
    assert known.batches is not None  # noqa: S101
    assert known.floor_se is not None  # noqa: S101
    least = "at least " if known.is_floor_rough else ""
    if known.floor_se > tau:
        return "not converged", join_sentences(
            "Its start is not forgotten yet, so more epochs do bring it nearer.",
            f"The noise of batches alone keeps it {least}about {known.floor_se:.2g} away at lr={run.options.rate:g};",
            f"lr={known.rate_for_distance(tau)} would bring that to about {tau:g}.",
            _describe_best_rate(case),
        )
    c = known.spectrum.vectors.T @ (run.result.start - optimum_of(case.fit, run))
    needed = None if known.is_floor_rough else theory.expected_epochs(known.noise, c, known.batches, _target_excess(case))
    if needed is None or needed <= case.epochs:
        return "not converged", join_sentences(
            "By its noise alone it should be nearer on the average; runs differ.", _describe_best_rate(case)
        )
    expected = f"{pluralize(needed, 'epoch')} from the start are expected to do.{_advise_float64(case, run.options.rate)}"
    return "not converged", join_sentences(expected, _describe_best_rate(case))


def _target_excess(case: Evidence) -> float:
    """Give the excess loss at which n (L - L*) / sigma^2 <= tau^2: every combination of coefficients is within tau."""
    problem = case.run.problem
    return case.tau**2 * case.fit.mse_resid / float(problem.scale[-1]) ** 2 / problem.n


def _count_epochs(case: Evidence, descent: theory.Descent) -> int | None:
    """Give the epochs from the start after which steps on all rows are within tau."""
    run, lam, optimum = case.run, case.run.theory.spectrum, optimum_of(case.fit, case.run)
    rest = theory.fixed_point(lam, run.problem.h, descent.weight_decay) if descent.weight_decay else optimum
    c, away = lam.vectors.T @ (run.result.start - rest), lam.vectors.T @ (rest - optimum)
    return theory.epochs_until(lam, c, descent, _target_excess(case), offset=away)


def _advise_float64(case: Evidence, lr: float) -> str:
    """Say so where float32 would lose the steps before a run is near enough."""
    exact = case.run.options.dtype == "float64" or _target_excess(case) > rounding_excess(case, lr, "float32")
    return "" if exact else " float32 may lose the last steps to rounding: use dtype='float64'."


def _describe_best_rate(case: Evidence, *, within: int | None = None) -> str:
    """Say how many epochs plain descent on all rows needs at its best rate; with `within`, only if it is no more than so many."""
    run = case.run
    if not run.is_plain or run.theory.spectrum.flat_directions:
        return ""
    best = round_down(theory.lr_best(run.theory.spectrum, theory.Descent(lr=1.0)))
    needed = _count_epochs(case, theory.Descent(lr=float(best)))
    if needed is None or (within is not None and needed > within):
        return ""
    return (
        f"Plain SGD on all rows (loss='mse', a constant lr={best}, no momentum, decay or clipping) takes "
        f"{pluralize(needed, 'epoch')} from the start.{_advise_float64(case, float(best))}"
    )


def _describe_epochs(case: Evidence) -> str:
    run, recipe = case.run, case.run.options
    descent, told = recipe.descent, run.theory.rate_and_limit
    assert descent is not None  # noqa: S101  # there is a curve, so there is a recurrence
    assert told is not None  # noqa: S101
    rest = resting_point(case)
    if rest is not None and case.distance(rest, optimum_of(case.fit, run)) > case.tau:
        return f"It is not at rest yet, and {describe_decay(case, rest)}: no number of epochs will do. Train with weight_decay=0."
    needed, best = _count_epochs(case, descent), float(told[0])
    at_best = _count_epochs(case, replace(descent, lr=best))
    more = "" if needed is None else f"{pluralize(max(needed - case.epochs, 1), 'more epoch')} at lr={recipe.rate:g} would do."
    more += _advise_float64(case, recipe.rate) if more else ""
    quicker = at_best is not None and (needed is None or at_best < needed)
    said = (
        f"At the best rate, lr={told[0]}, {pluralize(at_best or 0, 'epoch')} from the start.{_advise_float64(case, best)}"
        if quicker
        else ""
    )
    return join_sentences(more, said) or f"No number of epochs brings every combination of coefficients within {case.tau:g}."
