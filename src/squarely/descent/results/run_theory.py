"""What theory says of a run: before it starts from cross-products alone, and afterwards from the optimum, once that is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from squarely import theory
from squarely.descent.options.optimizers import simulate_schedule
from squarely.descent.options.options import TrainingOptions
from squarely.errors import join_words, pluralize
from squarely.moments import StandardizedProblem
from squarely.numerics import Array, round_apart, round_down

_MAX_REMAINING_ERROR = 0.01  # of the error in the slowest direction: a run that leaves more is warned of
_MAX_NOISE_SE = 1.0  # standard errors: noise of batches that keeps the coefficients farther off is warned of
_TRUSTED_FRACTION = 0.25  # of the limit: up to there the first order of reshuffled batches was within 20 % of simulation
_MAX_GROWTH = 1e3  # times the error of the start: a schedule that goes so far is warned of
_STALL_FRACTION = 1e-5  # float32 loses steps that are so small a share of the error
_RATE_FRACTIONS = np.geomspace(1e-4, 0.5, 60)  # of the limit, among which lr="auto" looks for the best with mini-batches


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunTheory:
    """What is known of a run before it starts.

    Attributes
    ----------
    spectrum : eigenvalues and eigenvectors of the Hessian (2/n) X'X in standardised columns.
    lr_limit : the constant learning rate from which on descent diverges, at this momentum; None where there is no theory (Adam,
        other losses). With mini-batches it is that of the mean square for rows drawn with replacement. Reshuffled rows settle below
        it, and may settle above it.
    lr_best : the best constant learning rate for all rows at this momentum, or None.
    kappa : condition number of the Hessian.
    rate : the factor by which the slowest direction shrinks in an epoch at a constant learning rate, in the long run, or None.
    noise : what single rows add to the gradient, and `batches` how they are drawn; None for full batches.
    floor : the loss above the optimum that the noise of batches keeps up, in the mean; zero for full batches, None if not known.
    floor_se : how far from the optimum that is, in standard errors of all coefficients together.
    is_floor_rough : whether the learning rate is above a quarter of the limit for reshuffled batches, where `floor` may be far too low.
    warnings : what will go wrong, with the numbers, and what would do.
    """

    spectrum: theory.Spectrum
    lr_limit: float | None
    lr_best: float | None
    kappa: float
    rate: float | None
    warnings: tuple[str, ...]
    noise: theory.Noise | None = None
    batches: theory.Batches | None = None
    floor: float | None = None
    floor_se: float | None = None
    is_floor_rough: bool = False

    @property
    def limit_label(self) -> str:
        """What the limit is that of, in words that follow it; empty for steps on all rows."""
        if self.batches is None or self.noise is None:
            return ""
        _, size, last = self.batches.sizes(self.noise.n)
        short = f" (the last of {last:,})" if last < size else ""
        like = " of Gaussian columns" if self.noise.gaussian else ""
        return f"for batches of {pluralize(size, 'row')}{short}{like} drawn with replacement"

    @property
    def rate_and_limit(self) -> tuple[str, str] | None:
        """A rate to advise and the limit that it is below, in as many digits as that takes; None where no theory is."""
        if self.lr_limit is None or self.lr_best is None:
            return None
        best = self.lr_best if self.batches is None else min(self.lr_best, 0.5 * self.lr_limit)
        return round_apart(best, self.lr_limit)

    def rate_for_distance(self, tau: float) -> str:
        """Write the learning rate, rounded down, whose noise keeps a run about tau standard errors away; asked where a floor is."""
        assert self.noise is not None  # noqa: S101
        assert self.batches is not None  # noqa: S101
        assert self.lr_limit is not None  # noqa: S101
        target = (self.floor or 0.0) * (tau / (self.floor_se or 1.0)) ** 2
        return round_down(min(theory.lr_for_floor(self.noise, self.batches, target), _TRUSTED_FRACTION * self.lr_limit), 2)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PredictedCurve:
    """What theory says the run must do, once the optimum is known. Exact for SGD on all rows in exact arithmetic.

    Attributes
    ----------
    excess : (epochs + 1,) the loss above the optimum at epochs 0 to `epochs`; with mini-batches its mean over the orders of rows.
    floor : the loss at the optimum.
    gap : (p,) coefficients after the last update minus the optimum, in the units of the data; with mini-batches the root of the
        mean square.
    form : what the curve is, in a few words; empty for what is exact.
    final_epoch : the epoch whose parameters the run ends with, the last one where that is -1.
    """

    excess: Array
    floor: float
    gap: Array
    form: str = ""
    final_epoch: int = -1

    @property
    def losses(self) -> Array:
        """The loss (epochs + 1,) at epochs 0 to `epochs`."""
        return self.floor + self.excess

    @property
    def remaining_fraction(self) -> float:
        """The share of the starting excess that is left at the end."""
        return float(self.excess[self.final_epoch] / self.excess[0]) if self.excess[0] > 0 else 0.0


def resolve_learning_rate(
    recipe: TrainingOptions,
    problem: StandardizedProblem,
    lam: theory.Spectrum,
    start: Callable[[], Array],
    noise: Callable[[], theory.Noise],
    *,
    is_plain: bool = True,
    has_even_batches: bool = True,
) -> tuple[TrainingOptions, tuple[str, ...]]:
    """Settle what a recipe leaves open until the rows are known, and say in sentences what was settled or changed.

    `is_plain` and `has_even_batches` are those of `compute_theory`.
    """
    remarks = []
    if recipe.batch_size is not None and recipe.batch_size >= problem.n and has_even_batches:
        if recipe.batch_size > problem.n:
            remarks.append(f"batch_size={recipe.batch_size:,} is above the {problem.n:,} rows: every step uses all of them.")
        recipe = replace(recipe, batch_size=problem.n if recipe.replacement else None)
    if recipe.lr == "auto":
        lr, why = _find_best_rate(recipe, problem, lam, start(), noise)
        recipe = replace(recipe, lr=lr)
        remarks.append(
            f"lr='auto' is {round_down(lr, 6)}, {why}.{_state_assumptions(recipe, plain=is_plain, even=has_even_batches)}"
        )
    return recipe, tuple(remarks)


def _find_best_rate(
    recipe: TrainingOptions, problem: StandardizedProblem, lam: theory.Spectrum, start: Array, noise: Callable[[], theory.Noise]
) -> tuple[float, str]:
    """Give the best constant rate for all rows; with mini-batches the one that is expected to end lowest after these epochs."""
    like = theory.Descent(lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay or 0.0)
    if recipe.is_full_batch:
        return theory.lr_best(lam, like), "the best constant rate for this spectrum"
    seen, batches = noise(), _theory_batches(replace(recipe, lr=1.0), problem.n)
    limit = theory.batch_lr_limit(seen, batches.batch_size, batches.descent)
    c = lam.vectors.T @ (start - theory.fixed_point(lam, problem.h))
    ends = [theory.expected_excess(seen, c, replace(batches, lr=float(share * limit)))(recipe.epochs) for share in _RATE_FRACTIONS]
    best = float(_RATE_FRACTIONS[int(np.argmin(ends))] * limit)
    return best, (
        f"which theory expects to end lowest after {pluralize(recipe.epochs, 'epoch')} of these batches, of the rates up to half "
        "of their limit"
    )


def _state_assumptions(recipe: TrainingOptions, *, plain: bool, even: bool) -> str:
    """Say what lr='auto' does not reckon with, in a sentence."""
    by_batches = not recipe.is_full_batch
    left_out = {
        "a constant rate": recipe.scheduler is not None,
        "no weight decay": by_batches and bool(recipe.weight_decay),
        "no average of the iterates": recipe.average is not None,
        "a new order each epoch": by_batches and not recipe.shuffle,
        "the same rows in batches of one size": not even,
        "Gaussian columns": by_batches and recipe.standardize is False,
        "the mean squared error": recipe.loss != "mse",
        "no clipping": recipe.clip_grad_norm is not None,
        "torch's usual options": bool(recipe.optimizer_options),
        "one nn.Linear": not plain,
    }
    supposed = [name for name, holds in left_out.items() if holds]
    return f" That supposes {join_words(supposed)}." if supposed else ""


def compute_theory(
    recipe: TrainingOptions,
    problem: StandardizedProblem,
    lam: theory.Spectrum,
    noise: Callable[[], theory.Noise],
    *,
    is_plain: bool = True,
    has_even_batches: bool = True,
    standardized_kappa: float | None = None,
) -> RunTheory:
    """Work out limits, rates, floors and warnings for a recipe; no optimum is needed.

    `is_plain` is whether the model moves as nn.Linear does; `has_even_batches` whether epochs have the same rows and all batches but the last as
    many of them; `standardized_kappa` is kappa once the columns are standardised, where they are not.
    """
    descent = recipe.descent if is_plain else None
    known = RunTheory(spectrum=lam, lr_limit=None, lr_best=None, kappa=lam.kappa, rate=None, warnings=())
    if descent is not None and (has_even_batches or recipe.is_full_batch):
        per_step, steps = (
            theory.rate(lam, descent),
            1 if recipe.is_full_batch else _theory_batches(recipe, problem.n).sizes(problem.n)[0],
        )
        known = replace(
            known,
            lr_limit=theory.lr_limit(lam, descent),
            lr_best=theory.lr_best(lam, descent),
            rate=_rate_per_epoch(per_step, steps) if recipe.scheduler is None else None,
            floor=0.0,
        )
        if not recipe.is_full_batch:
            known = _with_batches(known, recipe, problem, noise())
    return replace(known, warnings=tuple(_collect_warnings(known, recipe, standardized_kappa)))


def _rate_per_epoch(rate: float, steps: int) -> float:
    """Give what a rate a step is an epoch, infinite where that leaves the range of doubles."""
    with np.errstate(over="ignore"):
        return float(np.float64(rate) ** steps)


def _theory_batches(recipe: TrainingOptions, n: int) -> theory.Batches:
    return theory.Batches(
        lr=recipe.rate,
        batch_size=min(recipe.batch_size or n, n),
        sampling="with replacement" if recipe.replacement else "reshuffled",
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )


def _with_batches(known: RunTheory, recipe: TrainingOptions, problem: StandardizedProblem, noise: theory.Noise) -> RunTheory:
    """Add what is known of mini-batches."""
    batches = _theory_batches(recipe, problem.n)
    limit = theory.batch_lr_limit(noise, batches.batch_size, recipe.descent)
    known = replace(known, noise=noise, batches=batches, lr_limit=limit, floor=None)
    if not recipe.shuffle or recipe.weight_decay or recipe.scheduler is not None or recipe.average is not None:
        return known  # a fixed order has a bias of its own, decay moves the optimum, schedules and averages bring it nearer
    if recipe.rate >= limit:
        return known
    floor = theory.noise_floor(noise, batches)
    rough = not recipe.replacement and recipe.rate > _TRUSTED_FRACTION * limit
    return replace(known, floor=floor, floor_se=_loss_in_standard_errors(floor, noise, problem), is_floor_rough=rough)


def _loss_in_standard_errors(excess: float, noise: theory.Noise, problem: StandardizedProblem) -> float:
    """Turn a loss above the optimum into standard errors: n (L - L*) / sigma^2 <= tau^2 puts every combination within tau."""
    df_resid = problem.n - len(problem.names)
    variance = problem.n / df_resid * noise.sigma2 if df_resid > 0 else 0.0
    return math.sqrt(problem.n * excess / variance) if variance > 0 else math.inf


def _collect_warnings(known: RunTheory, recipe: TrainingOptions, tamed: float | None) -> list[str]:
    said = []
    told, descent = known.rate_and_limit, recipe.descent
    if told is not None and descent is not None and known.lr_limit is not None:
        best, limit = told
        if recipe.scheduler is not None:
            said += _warn_of_growth(known, recipe, descent)
        elif recipe.rate >= known.lr_limit:
            said.append(
                f"lr={recipe.rate:g} is not below the limit {limit}: the loss cannot settle. The best rate is {best}."
                if known.batches is None
                else f"lr={recipe.rate:g} is not below {limit}, the limit {known.limit_label}: the loss may not settle. Try lr={best}."
            )
        else:
            said += _warn_of_slowness(known, recipe, descent, best)
            said += _warn_of_noise(known, recipe)
    if tamed is not None and known.kappa > 2.0 * tamed:
        share = "infinite" if math.isinf(known.kappa) else f"{known.kappa:.2g}"
        said.append(
            f"The columns are not standardised: kappa is {share}, and {tamed:.3g} once they are. Descent takes about kappa/4 "
            "epochs for each factor e. Leave out standardize=False, or standardise the loader's columns."
        )
    if known.spectrum.flat_directions and (tamed is None or math.isinf(tamed)):
        said.append("Columns depend on each other, or nearly so: along their difference descent stays at its start.")
    return said


def _warn_of_growth(known: RunTheory, recipe: TrainingOptions, descent: theory.Descent) -> list[str]:
    """Warn of a schedule whose large rates blow the error up, for steps on all rows."""
    along = simulate_schedule(recipe, recipe.epochs) if recipe.is_full_batch else None
    if along is None or known.rate_and_limit is None:
        return []
    rates, momenta = along
    lam = theory.Spectrum(
        known.spectrum.values[known.spectrum.flat_directions :], np.eye(len(known.spectrum.values) - known.spectrum.flat_directions)
    )
    errors = theory.modes_along(lam, np.ones(len(lam.values)), descent, rates, momenta)
    sizes = np.nan_to_num([np.abs(c).max() for c in errors], nan=math.inf)
    beyond = np.flatnonzero(sizes >= _MAX_GROWTH)
    if sizes[-1] <= 1.0 and not len(beyond):
        return []
    epoch = int(beyond[0]) if len(beyond) else len(sizes) - 1
    return [
        f"The schedule takes the rate up to {rates.max():.4g}: at epoch {epoch:,} the error in some direction is "
        f"{sizes[epoch]:.2g} times that of the start. The limit of a constant rate is {known.rate_and_limit[1]}."
    ]


def _warn_of_slowness(known: RunTheory, recipe: TrainingOptions, descent: theory.Descent, best: str) -> list[str]:
    """Warn of a run whose epochs cannot suffice, and say how many would."""
    lam = known.spectrum
    steps = 1 if known.batches is None or known.noise is None else known.batches.sizes(known.noise.n)[0]

    def left(rate: float) -> float:
        after = theory.modes_after(lam, np.ones(len(lam.values)), replace(descent, lr=rate), recipe.epochs * steps)
        return float(np.abs(after[lam.flat_directions :]).max())

    here, there = left(recipe.rate), left(float(best))
    if here <= _MAX_REMAINING_ERROR:
        return []
    about = "" if known.batches is None else "about "
    of = "distance to the point of rest" if descent.weight_decay else "error"
    keep = "leaves" if recipe.epochs == 1 else "leave"
    said = (
        f"{pluralize(recipe.epochs, 'epoch')} at lr={recipe.rate:g} {keep} {about}{here:.2g} of the {of} in the slowest direction."
    )
    needed = theory.fewest_epochs(lambda epochs: theory.remaining_fraction(lam, descent, epochs * steps) <= _MAX_REMAINING_ERROR)
    if needed is not None:
        stalls = recipe.dtype == "float32" and recipe.rate * lam.smallest_eigenvalue < _STALL_FRACTION * (1.0 - recipe.momentum)
        said += f" {about.capitalize()}{pluralize(needed, 'epoch')} would leave {_MAX_REMAINING_ERROR:g}{', in float64' if stalls else ''}."
    quicker = theory.rate(lam, replace(descent, lr=float(best))) < (1.0 - 1e-6) * theory.rate(lam, descent)
    if quicker and there < 0.8 * here:
        said += f" The best rate is {best}." if known.batches is None else f" Or try lr={best}."
    return [said]


def _warn_of_noise(known: RunTheory, recipe: TrainingOptions) -> list[str]:
    """Warn of batches whose noise keeps the coefficients far from the optimum, and say what would bring them nearer."""
    if known.floor is None or known.floor_se is None or known.batches is None or known.noise is None:
        return []
    if not known.floor_se > _MAX_NOISE_SE or math.isinf(known.floor_se):
        return []
    return [
        f"The noise of batches of {pluralize(known.batches.batch_size, 'row')} keeps the coefficients "
        f"{'at least ' if known.is_floor_rough else ''}about {known.floor_se:.2g} standard errors from the optimum at lr={recipe.rate:g}. "
        f"lr={known.rate_for_distance(_MAX_NOISE_SE)} would keep them within about {_MAX_NOISE_SE:g}; average=True or a schedule brings them nearer."
    ]


def predict_curve(
    problem: StandardizedProblem,
    known: RunTheory,
    options: TrainingOptions,
    start: Array,
    optimum: Array,
    *,
    rates: Array,
    momenta: Array | None = None,
) -> PredictedCurve | None:
    """Predict a run from its start and the optimum, both (p,) in standardised columns.

    `rates` are the learning rates of a schedule, one an update, and empty without one; `momenta` the momenta where it changes them.
    None where there is no closed form, or no single optimum.
    """
    if known.lr_limit is None or options.average is not None or not np.isfinite(optimum).all():
        return None
    if options.is_full_batch:
        return _predict_full_batch(problem, known, options, start, optimum, rates=rates, momenta=momenta)
    if known.noise is None or known.batches is None or known.floor is None:
        return None
    return _predict_mini_batch(problem, known, options, start, optimum)


def _predict_full_batch(
    problem: StandardizedProblem,
    known: RunTheory,
    recipe: TrainingOptions,
    start: Array,
    optimum: Array,
    *,
    rates: Array,
    momenta: Array | None,
) -> PredictedCurve | None:
    descent, lam = recipe.descent, known.spectrum
    if descent is None or (recipe.scheduler is not None and len(rates) < recipe.epochs):
        return None
    rest = theory.fixed_point(lam, problem.h, descent.weight_decay) if descent.weight_decay else optimum
    c, away = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - optimum)
    if recipe.scheduler is not None:
        rates = rates[: recipe.epochs]
        *_, left = theory.modes_along(lam, c, descent, rates, momenta)
        excess = theory.scheduled_curve(lam, c, descent, rates, momenta, offset=away)
    else:
        left = theory.modes_after(lam, c, descent, recipe.epochs)
        excess = theory.excess_curve(lam, c, descent, recipe.epochs, offset=away)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = problem.to_data_units(rest + lam.vectors @ left) - problem.to_data_units(optimum)
    return PredictedCurve(excess=excess, floor=problem.loss(optimum), gap=gap)


def _predict_mini_batch(
    problem: StandardizedProblem, known: RunTheory, recipe: TrainingOptions, start: Array, optimum: Array
) -> PredictedCurve:
    """Predict the mean over all orders of the rows: exact with replacement, to first order in the noise if reshuffled."""
    lam, noise, batches = known.spectrum, known.noise, known.batches
    assert noise is not None  # noqa: S101  # the caller has looked
    assert batches is not None  # noqa: S101
    c = lam.vectors.T @ (start - optimum)
    excess = theory.expected_curve(noise, c, batches, recipe.epochs)
    steps = recipe.epochs * batches.sizes(problem.n)[0]
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
        left = lam.vectors @ theory.modes_after(lam, c, batches.descent, steps)
        mean = problem.to_data_units(optimum + left) - problem.to_data_units(optimum)
        spread = _variances_in_units(problem, lam, noise, theory.noise_covariance(noise, batches))
        gap = np.sqrt(mean**2 + spread)
    far = " and beyond the rates at which that is near" if known.is_floor_rough else ""
    drawn = "with replacement" if recipe.replacement else f"reshuffled, to first order{far}"
    form = f"mean over orders, {drawn}{', Gaussian columns' if noise.gaussian else ''}"
    return PredictedCurve(excess=excess, floor=problem.loss(optimum), gap=gap, form=form)


def _variances_in_units(problem: StandardizedProblem, lam: theory.Spectrum, noise: theory.Noise, covariance: Array) -> Array:
    """Turn a covariance of w in the eigenbasis, as coordinates, into variances (p,) of the coefficients in units of the data."""
    p, (a, b) = len(lam.values), noise.pairs
    C = np.zeros((len(noise.values),) * 2)
    C[a, b] = C[b, a] = covariance / theory.weights_of(noise.pairs)
    V = lam.vectors[:, lam.flat_directions :]
    zero = problem.to_data_units(np.zeros(p))
    J = np.column_stack([problem.to_data_units(unit) - zero for unit in np.eye(p)]) @ V
    variances: Array = np.einsum("ij,jk,ik->i", J, C, J)
    return variances
