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
    BY_CHANCE,
    LOSSES,
    Case,
    aim_of,
    is_least_squares,
    joined,
    largest_decay,
    moved_by,
    optimum_of,
    rest_of,
    stalled,
    unit_of,
)
from squarely.errors import pluralize
from squarely.numerics import Array, round_down

_DIED_OUT = 0.01  # of its largest rate: a schedule that ends there hardly moves any more
_STEADY = 0.9  # of the epochs: a loss that falls in so many falls steadily
_WIDE = 100.0  # kappa from which on some direction may be slow while others are noisy
_DRIVEN = 10.0  # times the variance of a batch's gradient: a squared gradient beyond that is no work of batches


def short_of_it(case: Case) -> tuple[str, str]:
    """Judge a run that ended too far away although nothing is wrong with its rows, columns or learning rate."""
    run, recipe, tau = case.run, case.run.recipe, case.tau
    if recipe.average is not None and run.loop.last is not None:
        return _of_average(case)
    prediction = run.prediction
    if prediction is None or recipe.descent is None or not recipe.full_batch:
        known = run.theory.floor is not None and not recipe.full_batch and prediction is not None
        unlike = prediction is not None and case.excess > BY_CHANCE * float(prediction.excess[-1])
        return _expected(case) if known and not unlike else _by_its_losses(case)
    foreseen = largest_gap(prediction.gap, case.fit.standard_errors)
    if foreseen > tau or len(prediction.excess) != len(run.loop.losses):
        return "not converged", _with_schedule(case) if recipe.scheduler is not None else _epochs_needed(case)
    if recipe.dtype == "float32":
        return "float32 floor", (
            f"In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float32. Train with dtype='float64'."
        )
    if case.excess <= stalled(case, recipe.rate, "float64"):
        return "float64 floor", f"In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float64."
    return "disagree", (
        f"Theory predicts {foreseen:.2g} for this run, and neither rows, columns, learning rate nor precision explain "
        "the rest: the loop did something else than its recipe says."
    )


def _of_average(case: Case) -> tuple[str, str]:
    """Judge an average of iterates, which theory has no curve for."""
    run, recipe = case.run, case.run.recipe
    assert run.loop.last is not None  # noqa: S101  # the caller has looked
    last = case.between(run.loop.last, optimum_of(case.fit, run))
    said = f"That is the average of the iterates from epoch {recipe.average:,}; the last iterate is {last:.2g} away."
    if not recipe.full_batch and not recipe.shuffle and not recipe.replacement:
        return "fixed order", f"{said} Averaging does not cure the bias of batches that come in one order: use shuffle=True."
    if last < case.largest:
        return "not converged", f"{said} Begin to average later, or leave average out."
    return "not converged", f"{said} A longer average comes nearer."


def _with_schedule(case: Case) -> str:
    """Advise where an exact curve says that a schedule has left too much."""
    run = case.run
    kept = (
        "" if run.prediction is None else f"The schedule leaves {run.prediction.kept:.2g} of the excess loss, as theory predicts. "
    )
    return f"{kept}{_rates_of(case)} {_at_best(case)}".strip()


def _rates_of(case: Case) -> str:
    """Say where a schedule has taken the learning rate."""
    rates = np.asarray(case.run.loop.log.columns.get("lr", ()), dtype=np.float64)
    if not len(rates):
        return ""
    said = f"The logged learning rate went from at most {rates.max():.3g} to {rates[-1]:.3g}"
    if rates[-1] <= _DIED_OUT * rates.max():
        return f"{said}, at which its last epochs hardly moved it: let the rate fall later."
    return f"{said}."


def _by_its_losses(case: Case) -> tuple[str, str]:
    """Judge a run that no curve is known for, by what it logged."""
    run, recipe = case.run, case.run.recipe
    lbfgs = type(run.optimizer).__name__ == "LBFGS"
    head = "" if recipe.descent else f"Theory has no closed form for {_name(case)}."
    head = head if run.plain else "Theory does not hold for this model."
    rates = np.asarray(run.loop.log.columns.get("lr", ()), dtype=np.float64)
    if len(rates) and rates[-1] <= _DIED_OUT * rates.max():
        return "not converged", joined(head, _rates_of(case), _leads(case), _at_best(case))
    if lbfgs and len(run.loop.losses) > 1 and run.loop.losses[-1] == run.loop.losses[-2]:
        rounding = " or the rounding of float32" if recipe.dtype == "float32" else ""
        return "not converged", (
            f"LBFGS no longer moves: its own tolerances{rounding} end each of its searches, and more epochs change nothing. Set "
            "tolerance_grad and tolerance_change to 0 in optimizer_options, with dtype='float64'."
        )
    worth = 0.5 if is_least_squares(case) else 0.01  # of other losses the least is not known
    trend = "falling" if lbfgs else _trend(_excesses(case), worth=worth)  # the fall of LBFGS is no geometric one
    if trend == "falling":
        longer = f"Its loss was still falling when it ended: more than {pluralize(case.taken, 'epoch')} may bring it nearer."
        return "not converged", joined(head, longer, _leads(case), _at_best(case, within=case.taken))
    if trend == "slow":
        said = "Its loss was falling ever more slowly when it ended: how near more epochs would bring it is not known."
    elif recipe.scheduler is None and _noise_is_near(case):
        said = "Its loss hardly falls any more, so more epochs at this rate need not bring it nearer."
    else:
        said = joined("Its loss does not fall steadily any more.", _rates_of(case))
    verdict, why = _at_rest(case, trend)
    return verdict, joined(head, said, why)


def _at_rest(case: Case, trend: str) -> tuple[str, str]:
    """Judge a run whose loss falls little, or not steadily."""
    recipe, known = case.run.recipe, case.run.theory
    pulls = f"weight_decay={largest_decay(case):g} pulls its coefficients towards zero: try 0." if largest_decay(case) else ""
    leads, slow = _leads(case) or pulls, ", or it moves slowly in some direction" if known.kappa > _WIDE else ""
    if not recipe.full_batch and not recipe.shuffle and not recipe.replacement:
        order = f"Its batches come in one order, which has a bias of its own{slow}: "
        return "fixed order", joined(f"{order}use shuffle=True, or all rows at once.", leads)
    if trend == "slow":
        return "not converged", joined(leads, _at_best(case))
    if not _noise_is_near(case):
        return "not converged", joined(leads, "Try more epochs, a smaller rate or a schedule.", _at_best(case, within=case.taken))
    coarse = recipe.dtype == "float32" and case.excess <= unit_of(case.run) * (100.0 * np.finfo("float32").eps) ** 2
    rounding = " or the rounding of float32" if coarse else ""
    noise = f"The noise of its batches{rounding} keeps it away{slow}: a smaller rate, a schedule or "
    limit, told = "", known.told_rates
    if told is not None and known.lr_limit is not None and recipe.scheduler is None and recipe.rate >= known.lr_limit:
        limit = f"lr={recipe.rate:g} is not below {told[1]}, the limit {known.named}: try lr={told[0]}."
    return "batch noise", joined(f"{noise}average=True may bring it nearer.", limit, leads)


def _noise_is_near(case: Case) -> bool:
    """Tell whether the gradient of all rows at the end is of the size of what batches add to it, and their noise may keep it up."""
    run, recipe = case.run, case.run.recipe
    if recipe.full_batch or not (recipe.shuffle or recipe.replacement):
        return False
    problem, w, size = run.problem, run.loop.end, recipe.batch_size or run.problem.n
    slope = problem.H @ w - problem.h
    share = 1.0 if recipe.replacement else 1.0 - min(size / problem.n, 1.0)
    variance = 2.0 * problem.loss(w) * float(np.trace(problem.H)) / size * share  # 4 r^2 x'x for a row, and x'x is trace(H) / 2
    return not is_least_squares(case) or float(slope @ slope) <= _DRIVEN * variance


def _leads(case: Case) -> str:
    """Say where more epochs lead, if that is not least squares."""
    if not is_least_squares(case):
        move = case.between(aim_of(case), optimum_of(case.fit, case.run))
        if move <= case.tau:
            return ""
        return f"It is on its way to the optimum of the {LOSSES[case.run.recipe.loss]}, about {move:.2g} from least squares."
    rest = rest_of(case)
    if rest is not None and case.between(rest, optimum_of(case.fit, case.run)) > case.tau:
        return f"{moved_by(case, rest)}: train with weight_decay=0."
    return ""


def _name(case: Case) -> str:
    """Name what keeps theory from knowing the run."""
    recipe = case.run.recipe
    if recipe.loss != "mse":
        return f"loss={recipe.loss!r}"
    if recipe.optimizer == "sgd":
        return "clipped gradients" if recipe.clip_grad_norm is not None else "these options of SGD"
    return recipe.optimizer if isinstance(recipe.optimizer, str) else "this optimiser"


def _excesses(case: Case) -> Array:
    """Give the logged losses above the least, where that is known."""
    losses = case.run.loop.losses
    least = case.run.problem.loss(optimum_of(case.fit, case.run)) if is_least_squares(case) else 0.0
    excesses: Array = losses - least
    return excesses


def _trend(excess: Array, *, worth: float) -> str:
    """Say what a loss did in the last half of its epochs: "falling", "slow" (it falls, to a value not far below) or "noisy".

    What a steady fall still comes to is estimated as if it were geometric. Another one counts from a share `worth` of the rest on.
    """
    half = excess[len(excess) // 2 :] if len(excess) > 5 else excess
    if len(half) < 3:
        return "falling" if half[-1] < half[0] else "noisy"
    if not np.isfinite(half).all():
        return "noisy"
    middle = len(half) // 2
    if (np.diff(half) < 0).mean() < _STEADY:
        earlier, later = half[:middle], half[middle:]
        return "falling" if earlier.mean() - later.mean() > max(3.0 * later.std(), worth * later.mean()) else "noisy"
    before, after = half[0] - half[middle], half[middle] - half[-1]
    share = after / before * middle / (len(half) - 1 - middle) if before > 0 else 1.0
    if share >= 1.0 or after * share / (1.0 - share) >= 0.5 * half[-1]:
        return "falling"
    return "slow"


def _expected(case: Case) -> tuple[str, str]:
    """Judge a run of batches whose noise has a known size, and is not the cause: say how many epochs are expected to do."""
    run, known, tau = case.run, case.run.theory, case.tau
    assert known.noise is not None  # noqa: S101  # where there is a floor
    assert known.batches is not None  # noqa: S101
    assert known.floor_se is not None  # noqa: S101
    least = "at least " if known.rough else ""
    if known.floor_se > tau:
        return "not converged", joined(
            "Its start is not forgotten yet, so more epochs do bring it nearer.",
            f"The noise of batches alone keeps it {least}about {known.floor_se:.2g} away at lr={run.recipe.rate:g};",
            f"lr={known.quiet_rate(tau)} would bring that to about {tau:g}.",
            _at_best(case),
        )
    c = known.spectrum.vectors.T @ (run.loop.start - optimum_of(case.fit, run))
    needed = None if known.rough else theory.expected_epochs(known.noise, c, known.batches, _target(case))
    if needed is None or needed <= case.taken:
        return "not converged", joined("By its noise alone it should be nearer on the average; runs differ.", _at_best(case))
    expected = f"{pluralize(needed, 'epoch')} from the start are expected to do.{_in_float64(case, run.recipe.rate)}"
    return "not converged", joined(expected, _at_best(case))


def _target(case: Case) -> float:
    """Give the excess loss at which n (L - L*) / sigma^2 <= tau^2: every combination of coefficients is within tau."""
    problem = case.run.problem
    return case.tau**2 * case.fit.mse_resid / float(problem.scale[-1]) ** 2 / problem.n


def _needed(case: Case, descent: theory.Descent) -> int | None:
    """Give the epochs from the start after which steps on all rows are within tau."""
    run, lam, optimum = case.run, case.run.theory.spectrum, optimum_of(case.fit, case.run)
    rest = theory.fixed_point(lam, run.problem.h, descent.weight_decay) if descent.weight_decay else optimum
    c, away = lam.vectors.T @ (run.loop.start - rest), lam.vectors.T @ (rest - optimum)
    return theory.epochs_until(lam, c, descent, _target(case), away=away)


def _in_float64(case: Case, lr: float) -> str:
    """Say so where float32 would lose the steps before a run is near enough."""
    exact = case.run.recipe.dtype == "float64" or _target(case) > stalled(case, lr, "float32")
    return "" if exact else " float32 may lose the last steps to rounding: use dtype='float64'."


def _at_best(case: Case, *, within: int | None = None) -> str:
    """Say how many epochs plain descent on all rows needs at its best rate; with `within`, only if it is no more than so many."""
    run = case.run
    if not run.plain or run.theory.spectrum.flat:
        return ""
    best = round_down(theory.lr_best(run.theory.spectrum, theory.Descent(lr=1.0)))
    needed = _needed(case, theory.Descent(lr=float(best)))
    if needed is None or (within is not None and needed > within):
        return ""
    return (
        f"Plain SGD on all rows (loss='mse', a constant lr={best}, no momentum, decay or clipping) takes "
        f"{pluralize(needed, 'epoch')} from the start.{_in_float64(case, float(best))}"
    )


def _epochs_needed(case: Case) -> str:
    run, recipe = case.run, case.run.recipe
    descent, told = recipe.descent, run.theory.told_rates
    assert descent is not None  # noqa: S101  # there is a curve, so there is a recurrence
    assert told is not None  # noqa: S101
    rest = rest_of(case)
    if rest is not None and case.between(rest, optimum_of(case.fit, run)) > case.tau:
        return f"It is not at rest yet, and {moved_by(case, rest)}: no number of epochs will do. Train with weight_decay=0."
    needed, best = _needed(case, descent), float(told[0])
    at_best = _needed(case, replace(descent, lr=best))
    more = "" if needed is None else f"{pluralize(max(needed - case.taken, 1), 'more epoch')} at lr={recipe.rate:g} would do."
    more += _in_float64(case, recipe.rate) if more else ""
    quicker = at_best is not None and (needed is None or at_best < needed)
    said = (
        f"At the best rate, lr={told[0]}, {pluralize(at_best or 0, 'epoch')} from the start.{_in_float64(case, best)}"
        if quicker
        else ""
    )
    return joined(more, said) or f"No number of epochs brings every combination of coefficients within {case.tau:g}."
