"""Compute the limits, rates, floors and warnings of a run before it starts, from cross-products alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from squarely import theory
from squarely.descent.options.options import TrainingOptions
from squarely.descent.run_theory.theory_inputs import TheoryInputs
from squarely.errors import pluralize
from squarely.moments import StandardizedProblem
from squarely.numerics import round_apart, round_down
from squarely.reprs import short_repr

MAX_REMAINING_ERROR = 0.01  # of the error in the slowest direction, above which a run is warned
MAX_NOISE_SE = 1.0  # standard errors from the optimum due to the noise of batches, above which a run is warned
_TRUSTED_FRACTION = 0.25  # of the limit: up to there the first order of reshuffled batches was within 20 % of simulation
_MAX_GROWTH = 1e3  # times the error of the start, above which a schedule is warned of
_STALL_FRACTION = 1e-5  # of the error: float32 loses steps that are smaller


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunTheory:
    """The limits and rates of a run, before it starts.

    Attributes
    ----------
    spectrum : eigenvalues and eigenvectors of the Hessian (2/n) X'X in standardized columns.
    lr_limit : the constant learning rate at and above which descent diverges, at this momentum; None where there is no theory
        (Adam, other losses). With mini-batches it is the limit of the mean square for rows drawn with replacement. Reshuffled rows
        settle below it, and may settle above it.
    lr_best : the best constant learning rate for all rows at this momentum, or None.
    kappa : condition number of the Hessian.
    rate : the factor by which the slowest direction shrinks in an epoch at a constant learning rate, in the long run, or None.
    noise : what single rows add to the gradient, and `batches` how they are drawn; None for full batches.
    floor : the mean loss above the optimum that the noise of batches sustains; zero for full batches, None if not known.
    floor_se : the distance to the optimum at that floor, in standard errors of all coefficients together.
    is_floor_rough : whether reshuffled batches have a rate above a quarter of the limit, where `floor` may be far too low.
    warnings : what will go wrong, with the numbers, and what helps.
    """

    __repr__ = short_repr

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
        """What `lr_limit` is the limit for, as a phrase; empty for steps on all rows."""
        if self.batches is None or self.noise is None:
            return ""
        _, size, last = self.batches.sizes(self.noise.n)
        short = f" (the last of {last:,})" if last < size else ""
        gaussian = " of Gaussian columns" if self.noise.gaussian else ""
        return f"for batches of {pluralize(size, 'row')}{short}{gaussian} drawn with replacement"

    @property
    def rate_and_limit(self) -> tuple[str, str] | None:
        """A recommended rate and the limit, with enough digits that the rate is below it; None where there is no theory."""
        if self.lr_limit is None or self.lr_best is None:
            return None
        best = self.lr_best if self.batches is None else min(self.lr_best, 0.5 * self.lr_limit)
        return round_apart(best, self.lr_limit)

    def rate_for_distance(self, tau: float) -> str:
        """Write the learning rate, rounded down, whose noise keeps a run about tau standard errors away. It needs a `floor`."""
        assert self.noise is not None and self.batches is not None and self.lr_limit is not None  # noqa: S101, PT018
        target = (self.floor or 0.0) * (tau / (self.floor_se or 1.0)) ** 2
        return round_down(min(theory.lr_for_floor(self.noise, self.batches, target), _TRUSTED_FRACTION * self.lr_limit), 2)


def compute_theory(options: TrainingOptions, inputs: TheoryInputs, *, is_plain: bool) -> RunTheory:
    """Compute limits, rates, floors and warnings; no optimum is needed. `is_plain` is whether the model moves as nn.Linear does."""
    descent, lam, n = options.descent if is_plain else None, inputs.spectrum, inputs.problem.n
    run_theory = RunTheory(spectrum=lam, lr_limit=None, lr_best=None, kappa=lam.kappa, rate=None, warnings=())
    if descent is not None and (inputs.has_even_batches or options.is_full_batch):
        steps = 1 if options.is_full_batch else theory_batches(options, n).sizes(n)[0]
        with np.errstate(over="ignore"):  # the rate of an epoch may leave the range of doubles
            rate = float(np.float64(theory.rate(lam, descent)) ** steps)
        run_theory = replace(
            run_theory,
            lr_limit=theory.lr_limit(lam, descent),
            lr_best=theory.lr_best(lam, descent),
            rate=rate if options.scheduler is None else None,
            floor=0.0,
        )
        if not options.is_full_batch:
            run_theory = _with_batches(run_theory, options, inputs.problem, inputs.gradient_noise())
    return replace(run_theory, warnings=tuple(_iter_warnings(run_theory, options, inputs.standardized_kappa)))


def theory_batches(options: TrainingOptions, n: int) -> theory.Batches:
    """Return the batches of a run as theory describes them."""
    return theory.Batches(
        lr=options.rate,
        batch_size=min(options.batch_size or n, n),
        sampling="with replacement" if options.replacement else "reshuffled",
        momentum=options.momentum,
        nesterov=options.nesterov,
    )


def _with_batches(run_theory: RunTheory, options: TrainingOptions, problem: StandardizedProblem, noise: theory.Noise) -> RunTheory:
    batches, n = theory_batches(options, problem.n), problem.nobs
    limit = theory.batch_lr_limit(noise, batches.batch_size, options.descent)
    run_theory = replace(run_theory, noise=noise, batches=batches, lr_limit=limit, floor=None)
    if not options.shuffle or options.weight_decay or options.scheduler is not None or options.average is not None:
        return run_theory  # a fixed order has its own bias, decay moves the optimum, schedules and averages lower the floor
    if options.rate >= limit:
        return run_theory
    floor, df_resid = theory.noise_floor(noise, batches), n - len(problem.names)
    variance = n / df_resid * noise.sigma2 if df_resid > 0 else 0.0
    floor_se = math.sqrt(n * floor / variance) if variance > 0 else math.inf  # n (L - L*) / s^2 <= tau^2: all within tau
    is_rough = not options.replacement and options.rate > _TRUSTED_FRACTION * limit
    return replace(run_theory, floor=floor, floor_se=floor_se, is_floor_rough=is_rough)


def _iter_warnings(run_theory: RunTheory, options: TrainingOptions, standardized_kappa: float | None) -> Iterator[str]:
    advice, descent, batches = run_theory.rate_and_limit, options.descent, run_theory.batches
    if advice is not None and descent is not None and run_theory.lr_limit is not None:
        best, limit = advice
        if options.scheduler is not None:
            yield from _warn_of_growth(run_theory, options, descent, limit)
        elif options.rate < run_theory.lr_limit:
            yield from distance_warnings(run_theory, options)
        elif batches is None:
            yield f"lr={options.rate:g} is not below the limit {limit}: the loss cannot settle. The best rate is {best}."
        else:
            subject = f"lr={options.rate:g} is not below {limit}, the limit {run_theory.limit_label}"
            yield f"{subject}: the loss may not settle. Try lr={best}."
    if standardized_kappa is not None and run_theory.kappa > 2.0 * standardized_kappa:
        kappa = "infinite" if math.isinf(run_theory.kappa) else f"{run_theory.kappa:.2g}"
        yield (
            f"The columns are not standardized: kappa is {kappa}, and {standardized_kappa:.3g} once they are. Descent takes about "
            "kappa/4 epochs for each factor e. Leave out standardize=False, or standardize the columns of the loader."
        )
    if run_theory.spectrum.flat_directions and (standardized_kappa is None or math.isinf(standardized_kappa)):
        yield "Columns depend on each other, or nearly so: along their difference descent stays at its start."


def _warn_of_growth(run_theory: RunTheory, options: TrainingOptions, descent: theory.Descent, limit: str) -> Iterator[str]:
    """Warn of a schedule with rates so large that the error grows, for steps on all rows."""
    from squarely.descent.options.optimizers import simulate_schedule  # here, because PyTorch takes a second to import

    schedule = simulate_schedule(options, options.epochs) if options.is_full_batch else None
    if schedule is None:
        return
    rates, momenta = schedule
    moving = run_theory.spectrum.values[run_theory.spectrum.flat_directions :]
    lam = theory.Spectrum(moving, np.eye(len(moving)))
    errors = theory.modes_along(lam, np.ones(len(moving)), descent, rates, momenta)
    sizes = np.nan_to_num([np.abs(c).max() for c in errors], nan=math.inf)
    beyond = np.flatnonzero(sizes >= _MAX_GROWTH)
    if sizes[-1] > 1.0 or len(beyond):
        epoch = int(beyond[0]) if len(beyond) else len(sizes) - 1
        yield (
            f"The schedule takes the rate up to {rates.max():.4g}: at epoch {epoch:,} the error in some direction is "
            f"{sizes[epoch]:.2g} times that of the start. The limit of a constant rate is {limit}."
        )


def distance_warnings(run_theory: RunTheory, options: TrainingOptions) -> tuple[str, ...]:
    """Return the warnings that a run at a constant rate ends far away: for too few epochs, and for the noise of batches."""
    return tuple(each for each in (describe_slowness(run_theory, options), _describe_noise(run_theory, options)) if each)


def remaining_error(run_theory: RunTheory, options: TrainingOptions, lr: float) -> float:
    """Return the fraction of the error in the slowest direction that the epochs leave; zero where there is no theory."""
    descent, lam = options.descent, run_theory.spectrum
    if descent is None or options.scheduler is not None or run_theory.lr_limit is None or not options.rate < run_theory.lr_limit:
        return 0.0
    after = theory.modes_after(lam, np.ones(len(lam.values)), replace(descent, lr=lr), options.epochs * _steps(run_theory))
    return float(np.abs(after[lam.flat_directions :]).max())


def _steps(run_theory: RunTheory) -> int:
    """Return the number of steps of an epoch."""
    return 1 if run_theory.batches is None or run_theory.noise is None else run_theory.batches.sizes(run_theory.noise.n)[0]


def describe_slowness(run_theory: RunTheory, options: TrainingOptions) -> str:
    """Say that a run has too few epochs, and how many are enough; nothing if they are enough."""
    lam, steps, descent, advice = run_theory.spectrum, _steps(run_theory), options.descent, run_theory.rate_and_limit
    error = remaining_error(run_theory, options, options.rate)
    if advice is None or descent is None or error <= MAX_REMAINING_ERROR:
        return ""
    best = advice[0]
    about = "" if run_theory.batches is None else "about "
    what = "distance to the limit point" if descent.weight_decay else "error"
    verb = "leaves" if options.epochs == 1 else "leave"
    epochs = pluralize(options.epochs, "epoch")
    warning = f"{epochs} at lr={options.rate:g} {verb} {about}{error:.2g} of the {what} in the slowest direction."
    needed = theory.fewest_epochs(lambda epochs: theory.remaining_fraction(lam, descent, epochs * steps) <= MAX_REMAINING_ERROR)
    if needed is not None:
        stalls = options.dtype == "float32" and options.rate * lam.smallest_eigenvalue < _STALL_FRACTION * (1.0 - options.momentum)
        in_float64 = ", in float64" if stalls else ""
        warning += f" {about.capitalize()}{pluralize(needed, 'epoch')} would leave {MAX_REMAINING_ERROR:g}{in_float64}."
    is_quicker = theory.rate(lam, replace(descent, lr=float(best))) < (1.0 - 1e-6) * theory.rate(lam, descent)
    if is_quicker and remaining_error(run_theory, options, float(best)) < 0.8 * error:
        if run_theory.batches is None:
            warning += f" The best rate is {best}."
        elif not run_theory.floor_se or float(best) <= float(run_theory.rate_for_distance(MAX_NOISE_SE)):
            warning += f" Or try lr={best}."
    return warning


def _describe_noise(run_theory: RunTheory, options: TrainingOptions) -> str:
    """Say that the noise of batches keeps the coefficients far from the optimum, and what helps; nothing if it does not."""
    batches, floor_se = run_theory.batches, run_theory.floor_se
    if floor_se is not None and batches is not None and MAX_NOISE_SE < floor_se < math.inf:
        at_least, lr = "at least " if run_theory.is_floor_rough else "", run_theory.rate_for_distance(MAX_NOISE_SE)
        return (
            f"The noise of batches of {pluralize(batches.batch_size, 'row')} keeps the coefficients {at_least}about {floor_se:.2g} "
            f"standard errors from the optimum at lr={options.rate:g}. lr={lr} would keep them within about {MAX_NOISE_SE:g}; "
            "average=True or a schedule brings them nearer."
        )
    return ""
