"""What theory says of a run: before it starts from cross-products alone, and afterwards from the optimum, once that is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from squarely import theory
from squarely.descent.recipe import Recipe
from squarely.errors import counted
from squarely.moments import Standardised
from squarely.numerics import Array

_MUCH = 0.01  # of the error in the slowest direction: a run that leaves more is warned of
_LOUD = 1.0  # standard errors: noise of batches that keeps the coefficients farther off is warned of
_RATES = np.geomspace(1e-4, 0.5, 60)  # of the limit, among which lr="auto" looks for the best with mini-batches


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunTheory:
    """What is known of a run before it starts.

    Attributes
    ----------
    spectrum : eigenvalues and eigenvectors of the Hessian (2/n) X'X in standardised columns.
    lr_limit : the learning rate from which on descent diverges, at this momentum and, with mini-batches, for steps of so many rows
        drawn with replacement; None where there is no theory (Adam, other losses).
    lr_best : the best constant learning rate for all rows at this momentum, or None.
    kappa : condition number of the Hessian.
    rate : the factor by which the slowest direction shrinks in an epoch at this learning rate, or None.
    noise : what single rows add to the gradient, and `batches` how they are drawn; None for full batches.
    floor : the loss above the optimum that the noise of batches keeps up, in the mean; zero for full batches, None if not known.
    floor_se : how far from the optimum that is, in standard errors of all coefficients together.
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


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Prediction:
    """What theory says the run must do, once the optimum is known. Exact for SGD on all rows in exact arithmetic.

    Attributes
    ----------
    excess : (epochs + 1,) the loss above the optimum at epochs 0 to `epochs`; with mini-batches its mean over the orders of rows.
    floor : the loss at the optimum.
    gap : (p,) coefficients after the last update minus the optimum, in the units of the data; with mini-batches the root of the
        mean square.
    form : what the curve is, in a few words; empty for what is exact.
    at : the epoch whose parameters the run ends with, the last one where that is -1.
    """

    excess: Array
    floor: float
    gap: Array
    form: str = ""
    at: int = -1

    @property
    def losses(self) -> Array:
        """The loss (epochs + 1,) at epochs 0 to `epochs`."""
        return self.floor + self.excess

    @property
    def kept(self) -> float:
        """The share of the starting excess that is left at the end."""
        return float(self.excess[self.at] / self.excess[0]) if self.excess[0] > 0 else 0.0


def settled(
    recipe: Recipe, problem: Standardised, lam: theory.Spectrum, start: Callable[[], Array], noise: Callable[[], theory.Noise]
) -> tuple[Recipe, tuple[str, ...]]:
    """Settle what a recipe leaves open until the rows are known, and say in sentences what was settled or changed."""
    remarks = []
    if recipe.batch_size is not None and recipe.batch_size >= problem.n:
        if recipe.batch_size > problem.n:
            remarks.append(f"batch_size={recipe.batch_size:,} is above the {problem.n:,} rows: every step uses all of them.")
        recipe = replace(recipe, batch_size=problem.n if recipe.replacement else None)
    if recipe.lr == "auto":
        lr, why = _best_rate(recipe, problem, lam, start(), noise)
        recipe = replace(recipe, lr=lr)
        remarks.append(f"lr='auto' is {lr:.6g}, {why}.")
    return recipe, tuple(remarks)


def _best_rate(
    recipe: Recipe, problem: Standardised, lam: theory.Spectrum, start: Array, noise: Callable[[], theory.Noise]
) -> tuple[float, str]:
    """Give the best constant rate for all rows; with mini-batches the one that is expected to end lowest after these epochs."""
    like = theory.Descent(lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay or 0.0)
    if recipe.full_batch:
        return theory.lr_best(lam, like), "the best rate for this spectrum"
    seen, batches = noise(), _batches(replace(recipe, lr=1.0), problem.n)
    limit = theory.batch_lr_limit(seen, batches.batch_size) * (1.0 - recipe.momentum)
    c = lam.vectors.T @ (start - theory.fixed_point(lam, problem.h))
    ends = [theory.expected_excess(seen, c, replace(batches, lr=float(share * limit)))(recipe.epochs) for share in _RATES]
    best = float(_RATES[int(np.argmin(ends))] * limit)
    return best, f"which is expected to end lowest after {counted(recipe.epochs, 'epoch')} of these batches"


def foreknow(
    recipe: Recipe,
    problem: Standardised,
    lam: theory.Spectrum,
    noise: Callable[[], theory.Noise],
    *,
    plain: bool = True,
    tamed: float | None = None,
) -> RunTheory:
    """Work out limits, rates, floors and warnings for a recipe; no optimum is needed.

    `plain` is whether the model moves as nn.Linear does; `tamed` is kappa once the columns are standardised, where they are not.
    """
    descent = recipe.descent if plain else None
    known = RunTheory(spectrum=lam, lr_limit=None, lr_best=None, kappa=lam.kappa, rate=None, warnings=())
    if descent is not None:
        per_step, steps = theory.rate(lam, descent), 1 if recipe.full_batch else _batches(recipe, problem.n).sizes(problem.n)[0]
        known = replace(
            known,
            lr_limit=theory.lr_limit(lam, descent),
            lr_best=theory.lr_best(lam, descent),
            rate=_power(per_step, steps),
            floor=0.0,
        )
        if not recipe.full_batch:
            known = _with_batches(known, recipe, problem, noise())
    return replace(known, warnings=tuple(_warnings(known, recipe, tamed)))


def _power(rate: float, steps: int) -> float:
    """Give what a rate a step is an epoch, infinite where that leaves the range of doubles."""
    with np.errstate(over="ignore"):
        return float(np.float64(rate) ** steps)


def _batches(recipe: Recipe, n: int) -> theory.Batches:
    return theory.Batches(
        lr=recipe.rate,
        batch_size=min(recipe.batch_size or n, n),
        sampling="with replacement" if recipe.replacement else "reshuffled",
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )


def _with_batches(known: RunTheory, recipe: Recipe, problem: Standardised, noise: theory.Noise) -> RunTheory:
    """Add what is known of mini-batches. Momentum takes the limit down as it takes the pace up, lr / (1 - beta)."""
    batches = _batches(recipe, problem.n)
    limit = theory.batch_lr_limit(noise, batches.batch_size) * (1.0 - recipe.momentum)
    known = replace(known, noise=noise, batches=batches, lr_limit=min(limit, known.lr_limit or math.inf))
    if not recipe.shuffle or recipe.weight_decay:
        return replace(known, floor=None)  # a fixed order has a bias of its own, and decay moves the optimum
    floor = theory.noise_floor(noise, batches) if recipe.rate < limit else math.inf
    return replace(known, floor=floor, floor_se=_in_standard_errors(floor, noise, problem))


def _in_standard_errors(excess: float, noise: theory.Noise, problem: Standardised) -> float:
    """Turn a loss above the optimum into standard errors: n (L - L*) / sigma^2 <= tau^2 puts every combination within tau."""
    df_resid = problem.n - len(problem.names)
    variance = problem.n / df_resid * noise.sigma2 if df_resid > 0 else 0.0
    return math.sqrt(problem.n * excess / variance) if variance > 0 else math.inf


def _warnings(known: RunTheory, recipe: Recipe, tamed: float | None) -> list[str]:
    said = []
    if known.lr_limit is not None and known.lr_best is not None:
        best = min(known.lr_best, 0.5 * known.lr_limit) if known.batches else known.lr_best
        advice = f"Try lr={best:.4g}." if known.batches else f"The best rate is {best:.4g}."
        of = f" for batches of {recipe.batch_size:,} rows" if known.batches else ""
        if recipe.rate >= known.lr_limit:
            said.append(f"lr={recipe.rate:g} is not below the limit {known.lr_limit:.4g}{of}: the loss cannot settle. {advice}")
        else:
            said += _slowness(known, recipe, best)
            said += _loudness(known, recipe)
    if tamed is not None and known.kappa > 2.0 * tamed:
        share = "infinite" if math.isinf(known.kappa) else f"{known.kappa:.2g}"
        said.append(
            f"The columns are not standardised: kappa is {share}, and {tamed:.3g} once they are. Descent takes about kappa/4 "
            "epochs for each factor e. Leave out standardize=False, or standardise the loader's columns."
        )
    if known.spectrum.flat:
        said.append("Columns depend on each other, or nearly so: along their difference descent stays at its start.")
    return said


def _slowness(known: RunTheory, recipe: Recipe, best: float) -> list[str]:
    """Warn of a run whose epochs cannot suffice, and say how many would."""
    rate = known.rate or 0.0
    left = rate**recipe.epochs if rate < 1 else 1.0
    if left <= _MUCH or recipe.scheduler is not None:
        return []
    share = f"leave {left:.2g} of the error in the slowest direction"
    needed = math.ceil(math.log(_MUCH) / math.log(rate)) if 0 < rate < 1 else None
    enough = "" if needed is None else f" {counted(needed, 'epoch')} would leave {_MUCH:g}."
    best_rate = f"The best rate is {best:.4g}." if known.batches is None else f"Or try lr={best:.4g}."
    return [f"{recipe.epochs:,} epochs at lr={recipe.rate:g} {share}.{enough} {best_rate}"]


def _loudness(known: RunTheory, recipe: Recipe) -> list[str]:
    """Warn of batches whose noise keeps the coefficients far from the optimum, and say what would bring them nearer."""
    if known.floor_se is None or known.batches is None or known.noise is None or not known.floor_se > _LOUD:
        return []
    if recipe.average is not None or recipe.scheduler is not None or math.isinf(known.floor_se):
        return []
    quiet = theory.lr_for_floor(known.noise, known.batches, (known.floor or 0.0) * (_LOUD / known.floor_se) ** 2)
    return [
        f"The noise of batches of {recipe.batch_size:,} rows keeps the coefficients about {known.floor_se:.2g} standard errors "
        f"from the optimum at lr={recipe.rate:g}. lr={quiet:.2g} would keep them within {_LOUD:g}; average=True or a schedule "
        "brings them nearer."
    ]


def predict(
    problem: Standardised, known: RunTheory, recipe: Recipe, start: Array, optimum: Array, *, rates: Array
) -> Prediction | None:
    """Predict a run from its start and the optimum, both (p,) in standardised columns.

    `rates` are the learning rates of a schedule, one an update, and empty without one. None where there is no closed form, or no
    single optimum.
    """
    if known.rate is None or recipe.average is not None or not np.isfinite(optimum).all():
        return None
    if recipe.full_batch:
        return _of_all_rows(problem, known, recipe, start, optimum, rates=rates)
    if known.noise is None or known.batches is None or known.floor is None or recipe.scheduler is not None:
        return None
    return _of_batches(problem, known, recipe, start, optimum)


def _of_all_rows(
    problem: Standardised, known: RunTheory, recipe: Recipe, start: Array, optimum: Array, *, rates: Array
) -> Prediction | None:
    descent, lam = recipe.descent, known.spectrum
    if descent is None or (recipe.scheduler is not None and len(rates) < recipe.epochs):
        return None
    rest = theory.fixed_point(lam, problem.h, descent.weight_decay) if descent.weight_decay else optimum
    c, away = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - optimum)
    if recipe.scheduler is not None:
        rates = rates[: recipe.epochs]
        *_, left = theory.modes_along(lam, c, descent, rates)
        excess = theory.scheduled_curve(lam, c, descent, rates, away=away)
    else:
        left = theory.modes_after(lam, c, descent, recipe.epochs)
        excess = theory.excess_curve(lam, c, descent, recipe.epochs, away=away)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = problem.to_units(rest + lam.vectors @ left) - problem.to_units(optimum)
    return Prediction(excess=excess, floor=problem.loss(optimum), gap=gap)


def _of_batches(problem: Standardised, known: RunTheory, recipe: Recipe, start: Array, optimum: Array) -> Prediction:
    """Predict the mean over all orders of the rows: exact with replacement, to first order in the noise if reshuffled."""
    lam, noise, batches = known.spectrum, known.noise, known.batches
    assert noise is not None  # noqa: S101  # the caller has looked
    assert batches is not None  # noqa: S101
    c = lam.vectors.T @ (start - optimum)
    excess = theory.expected_curve(noise, c, batches, recipe.epochs)
    steps = recipe.epochs * batches.sizes(problem.n)[0]
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
        left = lam.vectors @ theory.modes_after(lam, c, batches.descent, steps)
        mean = problem.to_units(optimum + left) - problem.to_units(optimum)
        spread = _in_units(problem, lam, noise, theory.noise_covariance(noise, batches))
        gap = np.sqrt(mean**2 + spread)
    drawn = "with replacement" if recipe.replacement else "reshuffled, to first order"
    form = f"mean over orders, {drawn}{', Gaussian columns' if noise.gaussian else ''}"
    return Prediction(excess=excess, floor=problem.loss(optimum), gap=gap, form=form)


def _in_units(problem: Standardised, lam: theory.Spectrum, noise: theory.Noise, covariance: Array) -> Array:
    """Turn a covariance of w in the eigenbasis, as coordinates, into variances (p,) of the coefficients in units of the data."""
    p, (a, b) = len(lam.values), noise.pairs
    C = np.zeros((len(noise.values),) * 2)
    C[a, b] = C[b, a] = covariance / theory.weights_of(noise.pairs)
    V = lam.vectors[:, lam.flat :]
    zero = problem.to_units(np.zeros(p))
    J = np.column_stack([problem.to_units(unit) - zero for unit in np.eye(p)]) @ V
    variances: Array = np.einsum("ij,jk,ik->i", J, C, J)
    return variances
