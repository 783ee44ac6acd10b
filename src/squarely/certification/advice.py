"""What a run that ended too far away still needs, if nothing else is wrong with it.

Each sentence rests on something known: an exact curve, the noise of batches, or what the run logged. Without a curve it says what
the loss did, and promises nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squarely import theory
from squarely.certification.certificate import largest_gap
from squarely.certification.discrepancy import CHANCE_FACTOR, LOSS_NAMES, Discrepancy, join_sentences
from squarely.certification.rounding import rounding_gap
from squarely.errors import pluralize
from squarely.numerics import Array, round_down
from squarely.types import Verdict

_DECAYED_FRACTION = 0.01  # of its largest rate: a schedule that ends there hardly moves the coefficients
_STEADY_FRACTION = 0.9  # of the epochs: a loss that falls in so many falls steadily
_WIDE_CONDITION = 100.0  # kappa above which some direction may be slow while others are noisy
_NOISE_FACTOR = 10.0  # times the variance of a batch's gradient: batches do not make a squared gradient larger than that


def explain_shortfall(case: Discrepancy) -> tuple[Verdict, str]:
    """Judge a run that ended too far away although rows, columns and learning rate are right."""
    run, options, tau = case.run, case.run.options, case.tau
    if options.average is not None and run.result.last_iterate is not None:
        return _judge_average(case, run.result.last_iterate)
    prediction = run.prediction
    if prediction is None or options.descent is None or not options.is_full_batch:
        has_curve = run.theory.floor is not None and not options.is_full_batch and prediction is not None
        is_unlikely = prediction is not None and case.excess > CHANCE_FACTOR * float(prediction.excess[-1])
        return _judge_expected(case) if has_curve and not is_unlikely else _judge_losses(case)
    predicted = largest_gap(prediction.gap, case.fit.standard_errors)
    if predicted > tau or len(prediction.excess) != len(run.result.losses):
        if options.scheduler is None:
            needed = _describe_epochs(case)
        else:
            remains = f"The schedule leaves {prediction.remaining_fraction:.2g} of the excess loss, as theory predicts."
            needed = join_sentences(remains, _describe_rates(case), _describe_best_rate(case))
        return "not converged", needed
    reach, rest = rounding_gap(case), case.unpredicted_gap
    exact = f"Theory predicts {predicted:.2g}"
    if rest <= reach:
        remedy = " Train with dtype='float64'." if options.dtype == "float32" else ""
        return (
            "float32 floor" if options.dtype == "float32" else "float64 floor",
            f"{exact}; the rest is rounding of {options.dtype}, which can reach {reach:.2g} here.{remedy}",
        )
    return "disagree", (
        f"{exact}, and rounding of {options.dtype} reaches only {reach:.2g}. Rows, columns and learning rate do not explain the "
        "rest: the loop did something other than its options say."
    )


def _judge_average(case: Discrepancy, last_iterate: Array) -> tuple[Verdict, str]:
    last = case.distance(last_iterate)
    average = f"That is the average of the iterates from epoch {case.run.options.average:,}; the last iterate is {last:.2g} away."
    if case.has_fixed_order:
        return "fixed order", f"{average} Averaging does not cure the bias of batches in a fixed order: use shuffle=True."
    advice = "Start to average later, or leave average out." if last < case.max_gap else "A longer average comes nearer."
    return "not converged", f"{average} {advice}"


def _logged_rates(case: Discrepancy) -> Array:
    return np.asarray(case.run.result.history.columns.get("lr", ()), dtype=np.float64)


def _has_decayed(rates: Array) -> bool:
    return bool(len(rates)) and bool(rates[-1] <= _DECAYED_FRACTION * rates.max())


def _describe_rates(case: Discrepancy) -> str:
    rates = _logged_rates(case)
    if not len(rates):
        return ""
    end = ", at which its last epochs hardly moved it: let the rate fall later." if _has_decayed(rates) else "."
    return f"The logged learning rate went from at most {rates.max():.3g} to {rates[-1]:.3g}{end}"


def _judge_losses(case: Discrepancy) -> tuple[Verdict, str]:
    """Judge a run without a known curve by what it logged."""
    run, options = case.run, case.run.options
    lbfgs = type(run.optimizer).__name__ == "LBFGS"
    obstacle = f"Theory has no closed form for {_name_obstacle(case)}." if run.is_plain else "Theory does not hold for this model."
    head = "" if run.is_plain and options.descent else obstacle
    if _has_decayed(_logged_rates(case)):
        return "not converged", join_sentences(head, _describe_rates(case), _describe_limit(case), _describe_best_rate(case))
    if lbfgs and len(run.result.losses) > 1 and run.result.losses[-1] == run.result.losses[-2]:
        rounding = " or the rounding of float32" if options.dtype == "float32" else ""
        return "not converged", (
            f"LBFGS no longer moves: its own tolerances{rounding} end each of its searches, and more epochs change nothing. Set "
            "tolerance_grad and tolerance_change to 0 in optimizer_options=, with dtype='float64'."
        )
    trend = "falling" if lbfgs else _classify_trend(case)  # the loss of LBFGS does not fall geometrically
    if trend == "falling":
        longer = f"Its loss was still falling when it ended: more than {pluralize(case.epochs, 'epoch')} may bring it nearer."
        return "not converged", join_sentences(head, longer, _describe_limit(case), _describe_best_rate(case, within=case.epochs))
    if trend == "slow":
        course = "Its loss was falling ever more slowly when it ended: how near more epochs would bring it is not known."
    elif options.scheduler is None and _has_noisy_gradient(case):
        course = "Its loss hardly falls any more, so more epochs at this rate need not bring it nearer."
    else:
        course = join_sentences("Its loss does not fall steadily any more.", _describe_rates(case))
    verdict, why = _judge_stalled(case, trend)
    return verdict, join_sentences(head, course, why)


def _judge_stalled(case: Discrepancy, trend: str) -> tuple[Verdict, str]:
    options, facts = case.run.options, case.run.theory
    pulls = f"weight_decay={case.largest_decay:g} pulls its coefficients towards zero: try 0." if case.largest_decay else ""
    leads = _describe_limit(case) or pulls
    slow = ", or it moves slowly in some direction" if facts.kappa > _WIDE_CONDITION else ""
    if case.has_fixed_order:
        order = f"Its batches come in a fixed order, which has a bias{slow}: "
        return "fixed order", join_sentences(f"{order}use shuffle=True, or all rows at once.", leads)
    if trend == "slow":
        return "not converged", join_sentences(leads, _describe_best_rate(case))
    if not _has_noisy_gradient(case):
        more = "Try more epochs, a smaller rate or a schedule."
        return "not converged", join_sentences(leads, more, _describe_best_rate(case, within=case.epochs))
    rounding = " or the rounding of float32" if options.dtype == "float32" and case.is_rounding("float32") else ""
    noise = f"Mini-batch noise{rounding} keeps it away{slow}: a smaller rate, a schedule or "
    limit, advised = "", facts.rate_and_limit
    if advised is not None and facts.lr_limit is not None and options.scheduler is None and options.rate >= facts.lr_limit:
        limit = f"lr={options.rate:g} is not below {advised[1]}, the limit {facts.limit_label}: try lr={advised[0]}."
    return "batch noise", join_sentences(f"{noise}average=True may bring it nearer.", limit, leads)


def _has_noisy_gradient(case: Discrepancy) -> bool:
    """Return whether the gradient of all rows at the end is as small as the noise of batches, which may sustain it."""
    run, options = case.run, case.run.options
    if options.is_full_batch or case.has_fixed_order:
        return False
    problem, w, size = run.problem, run.result.end, options.batch_size or run.problem.n
    slope = problem.H @ w - problem.h
    fraction = 1.0 if options.replacement else 1.0 - min(size / problem.n, 1.0)
    # For a row the variance is 4 r^2 x'x, and the mean of x'x is trace(H) / 2.
    variance = 2.0 * problem.loss(w) * float(np.trace(problem.H)) / size * fraction
    return not case.is_least_squares or float(slope @ slope) <= _NOISE_FACTOR * variance


def _describe_limit(case: Discrepancy) -> str:
    """Say where more epochs lead, if that is not least squares."""
    if not case.is_least_squares:
        move = case.distance(case.estimate_optimum())
        if move <= case.tau:
            return ""
        return f"It is on its way to the optimum of the {LOSS_NAMES[case.run.options.loss]}, about {move:.2g} from least squares."
    decay = _describe_pull(case)
    return f"{decay}: train with weight_decay=0." if decay else ""


def _describe_pull(case: Discrepancy) -> str:
    """Say where weight decay comes to rest, if that is more than tau from least squares."""
    rest = case.resting_point
    return "" if rest is None or case.distance(rest) <= case.tau else case.describe_decay(rest)


def _name_obstacle(case: Discrepancy) -> str:
    """Name the option for which theory has no closed form."""
    options = case.run.options
    if options.loss != "mse":
        return f"loss={options.loss!r}"
    if options.optimizer == "sgd":
        return "clipped gradients" if options.clip_grad_norm is not None else "these options of SGD"
    return options.optimizer if isinstance(options.optimizer, str) else "this optimizer"


def _classify_trend(case: Discrepancy) -> str:
    """Classify the last half of the epochs: "falling", "slow" (the loss falls, to a value not far below) or "noisy".

    The rest of a steady fall is estimated as if it were geometric. An unsteady fall counts if it is at least half of what remains;
    for a loss whose minimum is unknown, and counts as zero, a hundredth.
    """
    least, min_drop = (case.run.problem.loss(case.optimum), 0.5) if case.is_least_squares else (0.0, 0.01)
    excess = case.run.result.losses - least
    half = excess[len(excess) // 2 :] if len(excess) > 5 else excess
    if len(half) < 3:
        return "falling" if half[-1] < half[0] else "noisy"
    if not np.isfinite(half).all():
        return "noisy"
    middle = len(half) // 2
    if (np.diff(half) < 0).mean() < _STEADY_FRACTION:
        earlier, later = half[:middle], half[middle:]
        return "falling" if earlier.mean() - later.mean() > max(3.0 * later.std(), min_drop * later.mean()) else "noisy"
    before, after = half[0] - half[middle], half[middle] - half[-1]
    ratio = after / before * middle / (len(half) - 1 - middle) if before > 0 else 1.0
    return "falling" if ratio >= 1.0 or after * ratio / (1.0 - ratio) >= 0.5 * half[-1] else "slow"


def _judge_expected(case: Discrepancy) -> tuple[Verdict, str]:
    """Judge a run of batches whose noise has a known size and is not the cause: say how many epochs are expected to suffice."""
    run, facts, tau = case.run, case.run.theory, case.tau
    assert facts.noise is not None and facts.batches is not None and facts.floor_se is not None  # noqa: S101, PT018  # with a floor
    best = _describe_best_rate(case)
    if facts.floor_se > tau:
        least = "at least " if facts.is_floor_rough else ""
        return "not converged", join_sentences(
            "The start still matters, so more epochs bring it nearer.",
            f"Mini-batch noise alone keeps it {least}about {facts.floor_se:.2g} away at lr={run.options.rate:g};",
            f"lr={facts.rate_for_distance(tau)} would bring that to about {tau:g}.",
            best,
        )
    c = facts.spectrum.vectors.T @ (run.result.start - case.optimum)
    required = None if facts.is_floor_rough else theory.expected_epochs(facts.noise, c, facts.batches, _target_excess(case))
    if required is None or required <= case.epochs:
        return "not converged", join_sentences("Mini-batch noise alone would leave it nearer on average; single runs differ.", best)
    expected = f"{pluralize(required, 'epoch')} from the start are expected to suffice.{_advise_float64(case, run.options.rate)}"
    return "not converged", join_sentences(expected, best)


def _target_excess(case: Discrepancy) -> float:
    """Return the excess loss at which n (L - L*) / sigma^2 <= tau^2: every combination of coefficients is within tau.

    With weights, n is their sum.
    """
    problem = case.run.problem
    return case.tau**2 * case.fit.mse_resid / float(problem.scale[-1]) ** 2 / problem.weight


def _count_epochs(case: Discrepancy, descent: theory.Descent) -> int | None:
    """Count the epochs from the start after which steps on all rows are within tau."""
    run, lam, optimum = case.run, case.run.theory.spectrum, case.optimum
    rest = theory.fixed_point(lam, run.problem.h, descent.weight_decay) if descent.weight_decay else optimum
    c, away = lam.vectors.T @ (run.result.start - rest), lam.vectors.T @ (rest - optimum)
    return theory.epochs_until(lam, c, descent, _target_excess(case), offset=away)


def _advise_float64(case: Discrepancy, lr: float) -> str:
    """Advise float64 if float32 would lose the steps before a run is near enough."""
    exact = case.run.options.dtype == "float64" or _target_excess(case) > case.rounding_excess(lr, "float32")
    return "" if exact else " float32 may lose the last steps to rounding: use dtype='float64'."


def _describe_best_rate(case: Discrepancy, *, within: int | None = None) -> str:
    """Say how many epochs plain descent on all rows needs at its best rate, unless these are more than `within`."""
    run = case.run
    if not run.is_plain or run.theory.spectrum.flat_directions:
        return ""
    best = round_down(theory.lr_best(run.theory.spectrum, theory.Descent(lr=1.0)))
    required = _count_epochs(case, theory.Descent(lr=float(best)))
    if required is None or (within is not None and required > within):
        return ""
    return (
        f"Plain SGD on all rows (loss='mse', a constant lr={best}, no momentum, decay or clipping) takes "
        f"{pluralize(required, 'epoch')} from the start.{_advise_float64(case, float(best))}"
    )


def _describe_epochs(case: Discrepancy) -> str:
    """Say how many more epochs suffice at this rate, and how many at the best one."""
    options, advised = case.run.options, case.run.theory.rate_and_limit
    assert options.descent is not None and advised is not None  # noqa: S101, PT018  # there is a curve, so there is a recurrence
    if decay := _describe_pull(case):
        return f"It is not at rest yet, and {decay}: no number of epochs will do. Train with weight_decay=0."
    required, best = _count_epochs(case, options.descent), float(advised[0])
    at_best = _count_epochs(case, replace(options.descent, lr=best))
    if required is None and at_best is None:
        return f"No number of epochs brings every combination of coefficients within {case.tau:g}."
    needed = 0 if required is None else max(required - case.epochs, 1)
    longer = f"Train {pluralize(needed, 'more epoch')} at lr={options.rate:g}"
    if at_best is None or (required is not None and at_best >= needed):  # to go on is quicker
        return f"{longer}.{_advise_float64(case, options.rate)}"
    enough = f"tart over with lr={advised[0]}: {pluralize(at_best, 'epoch')} {'is' if at_best == 1 else 'are'} enough."
    float64 = _advise_float64(case, min(options.rate, best))  # the smaller rate loses more steps
    return f"S{enough}{_advise_float64(case, best)}" if required is None else f"{longer}, or s{enough}{float64}"
