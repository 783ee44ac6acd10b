"""Why a run ended away from least squares: another aim, parameters that stay, rounding, noise, a fixed order, or too few epochs.

Each sentence rests on something that is known: an exact curve, the point at which a penalty or another loss comes to rest, or what
the run logged. Where nothing is known, it says what the loss did, and promises nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely import theory
from squarely.certification.aims import other_optimum
from squarely.certification.certificate import largest_gap
from squarely.errors import counted, listed
from squarely.inference import Fit
from squarely.numerics import ROUNDOFF, Array, rounded_down

if TYPE_CHECKING:
    from squarely.descent import Training

_ROUNDINGS = 100.0  # how many roundings of a standardised coefficient a converged run may be off
_FEW_ROUNDINGS = 10.0  # so near that rounding moves the coefficients as much as the gradient does
_BY_CHANCE = 30.0  # times its mean: an excess that the noise of batches reaches less than once in ten million runs
_EXPLAINED = 0.5  # of the gap: a cause that leaves more of it open is not named
_DIED_OUT = 0.01  # of its largest rate: a schedule that ends there hardly moves any more
_STEADY = 0.9  # of the epochs: a loss that falls in so many falls steadily
_WIDE = 100.0  # kappa from which on some direction may be slow while others are noisy
_LOSSES = {"l1": "mean absolute error", "huber": "Huber loss", "quantile": "quantile loss"}
_DECOUPLED = {"AdamW", "Adafactor"}  # whose decay does not go through the gradient


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Case:
    """A run that is more than tau standard errors away: `largest` of them, at a loss `excess` above the minimum."""

    fit: Fit
    run: Training
    excess: float
    tau: float
    largest: float

    @property
    def far(self) -> str:
        """The distance in a sentence."""
        return f"The largest gap is {self.largest:.2g} standard errors."

    @property
    def taken(self) -> int:
        """The epochs that were taken."""
        return len(self.run.loop.losses) - 1

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of the optimiser, none of a closed form."""
        return [] if self.run.optimizer is None else self.run.optimizer.param_groups

    def between(self, w: Array, v: Array) -> float:
        """Measure two points (p,) in standardised columns against each other, in standard errors."""
        with np.errstate(over="ignore", invalid="ignore"):
            return largest_gap(self.run.problem.to_units(w) - self.run.problem.to_units(v), self.fit.standard_errors)

    def each(self, value: Any) -> Array | None:
        """Give what `value` says of a parameter and its group, for each coefficient (p,); None where that cannot be told.

        The group is None for a parameter that the optimiser does not hold.
        """
        group_of = {id(parameter): group for group in self.groups for parameter in group["params"]}
        parameters = list(self.run.model.parameters())
        values = [float(value(parameter, group_of.get(id(parameter)))) for parameter in parameters]
        p = len(self.run.loop.end)
        if len(set(values)) == 1:
            return np.full(p, values[0])
        layer: Any = getattr(self.run.model, "linear", self.run.model)
        if type(layer).__name__ != "Linear" or len(parameters) != 2 or layer.bias is not parameters[1]:
            return None
        return np.array([values[1], *[values[0]] * (p - 1)])


def cause_of(fit: Fit, run: Training, *, excess: float, tau: float, largest: float) -> tuple[str, str]:
    """Give the verdict and its cause in sentences, for a run that is more than tau standard errors away."""
    case = Case(fit=fit, run=run, excess=excess, tau=tau, largest=largest)
    for cause in (_frozen, _other_loss, _rounding, _decay, _batches):
        found = cause(case)
        if found is not None:
            verdict, said = found
            return verdict, said if verdict in {"agree", "float32 floor", "float64 floor"} else f"{case.far} {said}"
    verdict, said = _short_of_it(case)
    return verdict, f"{case.far} {said}"


def optimum_of(fit: Fit, run: Training) -> Array:
    """Give the least squares solution (p,) in the standardised columns of the training, with all its digits."""
    return run.problem.from_scaled(fit.solution.b[0], fit.design)


def _frozen(case: Case) -> tuple[str, str] | None:
    """Judge a run some of whose parameters no step moves, where the best of the others is too far away."""
    run = case.run
    if run.optimizer is None:
        return None
    steady = run.recipe.scheduler is None

    def stays(parameter: Any, group: dict[str, Any] | None) -> bool:
        return not parameter.requires_grad or group is None or (steady and float(group["lr"]) == 0.0)

    held = {id(parameter): group for group in case.groups for parameter in group["params"]}
    names = [repr(name) for name, parameter in run.model.named_parameters() if stays(parameter, held.get(id(parameter)))]
    if not names:
        return None
    what = f"No step moves the parameters {listed(names)}: they are frozen, not in the optimiser, or have a rate of zero."
    mask = case.each(stays)
    if mask is None or not _is_least_squares(case):
        return "frozen", f"{what} Let all parameters be trained."
    free, w = mask == 0.0, run.loop.end.copy()
    H, h = run.problem.H, run.problem.h
    w[free] = np.linalg.lstsq(H[np.ix_(free, free)], h[free] - H[np.ix_(free, ~free)] @ w[~free], rcond=None)[0]
    kept = case.between(w, optimum_of(case.fit, run))
    if not kept > case.tau:
        return None
    return (
        "frozen",
        f"{what} The best of the others is {kept:.2g} standard errors from least squares. Let all parameters be trained.",
    )


def _is_least_squares(case: Case) -> bool:
    """Tell whether the loss of the training has its optimum where least squares has it."""
    return case.run.recipe.loss == "mse"


def _other_loss(case: Case) -> tuple[str, str] | None:
    """Judge a run that had another aim than least squares, and has come near it."""
    if _is_least_squares(case):
        return None
    fit, run = case.fit, case.run
    aim = _aim(case)
    away, move = case.between(run.loop.end, aim), case.between(aim, optimum_of(fit, run))
    if not away <= _EXPLAINED * case.largest:
        return None
    least = fit.ssr / fit.nobs
    ratio = 1.0 + case.excess * float(run.problem.scale[-1]) ** 2 / least if least > 0 else np.inf
    near = f", and the run is within {away:.2g} of it" if away > case.tau else ""
    return "other loss", (
        f"The training minimised the {_LOSSES[run.recipe.loss]}, whose optimum is about {move:.2g} standard errors from that of "
        f"least squares{near}: the gap is no error. Its mean squared error is {ratio:.4g} times the least. loss='mse' is least "
        "squares."
    )


def _aim(case: Case) -> Array:
    """Give about where another loss has its optimum (p,)."""
    run = case.run
    return other_optimum(run.moments.design, run.source, run.problem, run.recipe, optimum_of(case.fit, run))


def _rounding(case: Case) -> tuple[str, str] | None:
    """Judge a run that is as near as its precision allows: what is left of the excess is rounding."""
    fit, run, excess = case.fit, case.run, case.excess
    unit = _unit(run)
    near = {name: excess <= unit * (_ROUNDINGS * np.finfo(name).eps) ** 2 for name in ("float64", "float32")}
    if fit.ssr <= (4 * ROUNDOFF) ** 2 * fit.uncentered_tss:  # standard errors are rounding themselves
        said = "The data lie on the line to rounding, so no standard error can measure the gap; it is the rounding of"
        if near["float64"]:
            return "agree", f"{said} float64."
        if near["float32"] and run.recipe.dtype == "float32":
            return "float32 floor", f"{said} float32. Train with dtype='float64'."
        return None
    if near["float64"]:
        return "float64 floor", "What is left of the gap is the rounding of float64: no training in double precision comes nearer."
    known = run.prediction is not None or run.theory.floor
    if not known and run.recipe.dtype == "float32" and excess <= unit * (_FEW_ROUNDINGS * np.finfo("float32").eps) ** 2:
        return "float32 floor", (
            f"{case.far} It is of the size of the rounding of float32, which can keep it there however long the run. Train with "
            "dtype='float64'."
        )
    return None


def _unit(run: Training) -> float:
    """Give the variance of the response in standardised units: one, where columns are standardised."""
    return float(run.moments.variances[-1]) / float(run.problem.scale[-1]) ** 2 or 1.0


def _decay(case: Case) -> tuple[str, str] | None:
    """Judge a run whose weight decay pulls its coefficients towards zero, and that has come near the point at which it rests."""
    rest, run = _rest(case), case.run
    if rest is None:
        return None
    away = case.between(run.loop.end, rest)
    if not away <= _EXPLAINED * case.largest:
        return None
    near = f"the run is {away:.2g} from that point" if away > 0.1 * case.largest else "the answer is that of ridge regression"
    return "penalised", f"{_moved(case, rest)}: {near}. Train with weight_decay=0."


def _moved(case: Case, rest: Array) -> str:
    by = case.between(rest, optimum_of(case.fit, case.run))
    return f"weight_decay={_largest_decay(case):g} moves the point at which training comes to rest by {by:.2g} standard errors"


def _rest(case: Case) -> Array | None:
    """Give the point (p,) at which a decay that goes through the gradient rests; None without one, or if it is not known."""
    run = case.run
    if run.recipe.loss != "mse" or not run.plain or _decoupled(case) or not _largest_decay(case):
        return None
    if run.optimizer is None:
        decays: Array | None = np.full(len(run.loop.end), run.recipe.weight_decay or 0.0)
    else:
        decays = case.each(lambda _, group: 0.0 if group is None else _decay_in(group))
    if decays is None:
        return None
    rest: Array = np.linalg.lstsq(run.problem.H + np.diag(decays), run.problem.h, rcond=None)[0]
    return rest


def _largest_decay(case: Case) -> float:
    """Give the largest weight decay of any group; some optimisers have one that nobody asked for."""
    return max([_decay_in(group) for group in case.groups], default=case.run.recipe.weight_decay or 0.0)


def _decay_in(group: dict[str, Any]) -> float:
    return float(group.get("weight_decay", 0.0)) + float(group.get("lambd", 0.0))  # the second is that of ASGD


def _decoupled(case: Case) -> bool:
    return type(case.run.optimizer).__name__ in _DECOUPLED or any(group.get("decoupled_weight_decay") for group in case.groups)


def _batches(case: Case) -> tuple[str, str] | None:
    """Judge a run that the noise of its batches keeps away from the optimum, however long it goes on, where theory knows it."""
    run, known, tau = case.run, case.run.theory, case.tau
    if known.floor is None or known.floor_se is None or known.batches is None or known.noise is None:
        return None
    ends = known.floor if run.prediction is None else float(run.prediction.excess[-1])
    if known.floor_se <= tau or ends > 2.0 * known.floor:
        return None  # the start has not been forgotten yet: more epochs do help
    if case.excess > _BY_CHANCE * ends:
        if known.rough or known.noise.gaussian:
            return None
        return "disagree", (
            f"The noise of batches explains {known.floor_se:.2g} on the average, and not as much: the loop did something else than "
            "its recipe says, or the rows are in an order that matters."
        )
    least = "at least " if known.rough else ""
    return "batch noise", (
        f"The noise of batches of {counted(known.batches.batch_size, 'row')} keeps it {least}about {known.floor_se:.2g} standard "
        f"errors away from the optimum at lr={run.recipe.rate:g}, however long they train. lr={known.quiet_rate(tau)} would bring that to "
        f"about {tau:g}; a schedule that lets the rate die out and average=True bring it nearer too."
    )


def _short_of_it(case: Case) -> tuple[str, str]:
    """Judge a run that ended too far away although nothing is wrong with its rows, columns or learning rate."""
    run, recipe, tau = case.run, case.run.recipe, case.tau
    if recipe.average is not None and run.loop.last is not None:
        return _of_average(case)
    prediction = run.prediction
    if prediction is None or recipe.descent is None or not recipe.full_batch:
        return _by_its_losses(case) if run.theory.floor is None or recipe.full_batch else _expected(case)
    foreseen = largest_gap(prediction.gap, case.fit.standard_errors)
    if foreseen > tau or len(prediction.excess) != len(run.loop.losses):
        return "not converged", _with_schedule(case) if recipe.scheduler is not None else _epochs_needed(case)
    if recipe.dtype == "float32":
        return "float32 floor", (
            f"In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float32. Train with dtype='float64'."
        )
    if case.excess <= _stalled(case, recipe.rate, "float64"):
        return "float64 floor", f"In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float64."
    return "disagree", (
        f"Theory predicts {foreseen:.2g} for this run, and neither rows, columns, learning rate nor precision explain "
        "the rest: the loop did something else than its recipe says."
    )


def _stalled(case: Case, lr: float, dtype: str) -> float:
    """Give the excess at which steps are lost to rounding: they are smaller than that of the coefficients, or of the gradient."""
    lam = case.run.theory.spectrum
    moving = lam.values[lam.flat :]
    size = max(float(np.abs(optimum_of(case.fit, case.run)).max()), 1.0) * float(np.finfo(dtype).eps)
    lost = size * np.maximum(1.0 / lr, lam.largest) / moving
    return 4.0 * float(0.5 * moving @ lost**2)


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
    said = f"It took the rate from at most {rates.max():.3g} to {rates[-1]:.3g}"
    if rates[-1] <= _DIED_OUT * rates.max():
        return f"{said}, at which more epochs hardly move it: let the rate fall later."
    return f"{said}."


def _by_its_losses(case: Case) -> tuple[str, str]:
    """Judge a run that no curve is known for, by what it logged."""
    run, recipe = case.run, case.run.recipe
    head = (
        "Theory does not hold for this model."
        if not run.plain
        else ""
        if recipe.descent
        else f"Theory has no closed form for {_name(case)}."
    )
    rates = np.asarray(run.loop.log.columns.get("lr", ()), dtype=np.float64)
    if len(rates) and rates[-1] <= _DIED_OUT * rates.max():
        return "not converged", _joined(head, _rates_of(case), _leads(case), _at_best(case))
    if type(run.optimizer).__name__ == "LBFGS" and _stands(run.loop.losses):
        rounding = " or the rounding of float32" if recipe.dtype == "float32" else ""
        return "not converged", (
            f"LBFGS no longer moves: its own tolerances{rounding} end each of its searches, and more epochs change nothing. Set "
            "tolerance_grad and tolerance_change to 0 in optimizer_options, with dtype='float64'."
        )
    trend = _trend(_excesses(case))
    if type(run.optimizer).__name__ == "LBFGS":  # its fall is no geometric one
        trend = "falling"
    if trend == "falling":
        longer = f"Its loss was still falling when it ended: more than {counted(case.taken, 'epoch')} may bring it nearer."
        return "not converged", _joined(head, longer, _leads(case), _at_best(case, within=case.taken))
    said = "Its loss hardly falls any more, so more epochs at this rate need not bring it nearer."
    pulls = f"weight_decay={_largest_decay(case):g} pulls its coefficients towards zero: try 0." if _largest_decay(case) else ""
    lesser = _joined(_leads(case) or pulls, "Try a smaller rate, or a schedule.")
    if recipe.full_batch:
        return "not converged", _joined(head, said, lesser, _at_best(case, within=case.taken))
    if not recipe.shuffle and not recipe.replacement:
        order = "Its batches come in one order, which has a bias of its own: use shuffle=True, or all rows at once."
        return "fixed order", _joined(head, said, order, _leads(case) or pulls)
    if trend == "slow":
        return "not converged", _joined(head, said, lesser, _at_best(case))
    told, known = run.theory.told_rates, run.theory
    limit = ""
    if told is not None and known.lr_limit is not None and recipe.scheduler is None and recipe.rate >= known.lr_limit:
        limit = f"lr={recipe.rate:g} is not below {told[1]}, the limit {known.named}: try lr={told[0]}."
    slow = ", or a direction in which it moves slowly," if known.kappa > _WIDE else ""
    noise = f"The noise of its batches{slow} keeps it away: a smaller rate, a schedule or average=True bring it nearer."
    return "batch noise", _joined(head, said, noise, limit, _leads(case) or pulls)


def _leads(case: Case) -> str:
    """Say where more epochs lead, if that is not least squares."""
    if not _is_least_squares(case):
        move = case.between(_aim(case), optimum_of(case.fit, case.run))
        if move <= case.tau:
            return ""
        return f"It is on its way to the optimum of the {_LOSSES[case.run.recipe.loss]}, about {move:.2g} from least squares."
    rest = _rest(case)
    if rest is not None and case.between(rest, optimum_of(case.fit, case.run)) > case.tau:
        return f"{_moved(case, rest)}: train with weight_decay=0."
    return ""


def _name(case: Case) -> str:
    """Name what keeps theory from knowing the run."""
    recipe = case.run.recipe
    if recipe.loss != "mse":
        return f"loss={recipe.loss!r}"
    if recipe.optimizer == "sgd":
        return "clipped gradients" if recipe.clip_grad_norm is not None else "these options of SGD"
    return recipe.optimizer if isinstance(recipe.optimizer, str) else "this optimiser"


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _stands(losses: Array) -> bool:
    """Tell whether the last epoch changed nothing."""
    return len(losses) > 1 and losses[-1] == losses[-2]


def _excesses(case: Case) -> Array:
    """Give the logged losses above the least, where that is known."""
    losses = case.run.loop.losses
    least = case.run.problem.loss(optimum_of(case.fit, case.run)) if _is_least_squares(case) else 0.0
    excesses: Array = losses - least
    return excesses


def _trend(excess: Array) -> str:
    """Say what a loss did in the last half of its epochs: "falling", "slow" (it falls, to a value not far below) or "noisy".

    What a steady fall still comes to is estimated as if it were geometric.
    """
    half = excess[len(excess) // 2 :] if len(excess) > 5 else excess
    if len(half) < 3:
        return "falling" if half[-1] < half[0] else "noisy"
    if not np.isfinite(half).all():
        return "noisy"
    middle = len(half) // 2
    if (np.diff(half) < 0).mean() < _STEADY:
        earlier, later = half[:middle], half[middle:]
        return "falling" if earlier.mean() - later.mean() > 3.0 * later.std() else "noisy"
    before, after = half[0] - half[middle], half[middle] - half[-1]
    share = after / before * middle / (len(half) - 1 - middle) if before > 0 else 1.0
    if share >= 1.0 or after * share / (1.0 - share) >= 0.5 * half[-1]:
        return "falling"
    return "slow"


def _expected(case: Case) -> tuple[str, str]:
    """Judge a run of batches whose start is not forgotten: say how many epochs are expected to do, if they ever do."""
    run, known, tau = case.run, case.run.theory, case.tau
    assert known.noise is not None  # noqa: S101  # where there is a floor
    assert known.batches is not None  # noqa: S101
    least = "at least " if known.rough else ""
    if (known.floor_se or 0.0) > tau:
        return "not converged", _joined(
            "Its start is not forgotten yet, so more epochs do bring it nearer. The noise of batches alone keeps it "
            f"{least}about {known.floor_se:.2g} away at lr={run.recipe.rate:g}; lr={known.quiet_rate(tau)} would bring that to about {tau:g}.",
            _at_best(case),
        )
    c = known.spectrum.vectors.T @ (run.loop.start - optimum_of(case.fit, run))
    needed = None if known.rough else theory.expected_epochs(known.noise, c, known.batches, _target(case))
    if needed is None or needed <= case.taken:
        return "not converged", _joined("The noise of batches may keep it there for a while.", _at_best(case))
    return "not converged", _joined(f"{counted(needed, 'epoch')} from the start are expected to do.", _at_best(case))


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
    exact = case.run.recipe.dtype == "float64" or _target(case) > _stalled(case, lr, "float32")
    return "" if exact else " float32 may lose the last steps to rounding: use dtype='float64'."


def _at_best(case: Case, *, within: int | None = None) -> str:
    """Say how many epochs plain descent on all rows needs at its best rate; with `within`, only if it is no more than so many."""
    run = case.run
    if not run.plain or run.theory.spectrum.flat:
        return ""
    best = rounded_down(theory.lr_best(run.theory.spectrum, theory.Descent(lr=1.0)))
    needed = _needed(case, theory.Descent(lr=float(best)))
    if needed is None or (within is not None and needed > within):
        return ""
    return (
        f"Plain SGD on all rows (loss='mse', a constant lr={best}, no momentum, decay or clipping) takes "
        f"{counted(needed, 'epoch')} from the start.{_in_float64(case, float(best))}"
    )


def _epochs_needed(case: Case) -> str:
    run, recipe = case.run, case.run.recipe
    descent, told = recipe.descent, run.theory.told_rates
    assert descent is not None  # noqa: S101  # there is a curve, so there is a recurrence
    assert told is not None  # noqa: S101
    rest = _rest(case)
    if rest is not None and case.between(rest, optimum_of(case.fit, run)) > case.tau:
        return f"It is not at rest yet, and {_moved(case, rest)}: no number of epochs will do. Train with weight_decay=0."
    needed, best = _needed(case, descent), float(told[0])
    at_best = _needed(case, replace(descent, lr=best))
    more = "" if needed is None else f"{counted(max(needed - case.taken, 1), 'more epoch')} at lr={recipe.rate:g} would do."
    more += _in_float64(case, recipe.rate) if more else ""
    quicker = at_best is not None and (needed is None or at_best < needed)
    said = (
        f"At the best rate, lr={told[0]}, {counted(at_best or 0, 'epoch')} from the start.{_in_float64(case, best)}"
        if quicker
        else ""
    )
    return _joined(more, said) or f"No number of epochs brings every combination of coefficients within {case.tau:g}."
