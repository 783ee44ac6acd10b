"""What runs see: their rows, and what is worked out once of them for several runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from squarely import theory
from squarely.data import RowAccount, Source, require_local, scan_purpose
from squarely.descent.batches.batch_source import Rows, Unseen, accounted, require_count
from squarely.descent.batches.in_memory import Held, held
from squarely.descent.batches.loader import Loaded, LoaderSource
from squarely.descent.batches.streamed import Streamed
from squarely.descent.checkpoint.policy import Keeping
from squarely.descent.distributed.process_group import Team
from squarely.descent.distributed.sharding import of_all, require_a_row_each, shared
from squarely.descent.model.user_objects import Own
from squarely.descent.options.options import DTYPES, Recipe
from squarely.errors import DataError, OptionError
from squarely.moments import (
    Moments,
    StandardizedProblem,
    expected_noise,
    fold_gradient_noise,
    identity_scaling,
    noise_cost,
    standardize_moments,
)

_HELD = 2**28  # bytes of standardised rows that are held; more are streamed
_DEAR = 2_000_000_000  # multiplications: about a second


@dataclass(eq=False, slots=True, kw_only=True)
class Seen:
    """The rows that runs are to see; what several runs need is worked out once.

    Attributes
    ----------
    moments, source, validation : the rows of all processes, and those to validate on, if there are some.
    own : the user's module and loader. `keeping` : where the run is kept, if it is.
    team, share : the processes that train together, and those of the rows that are read here, all of them without it.
    problems, tables : what has been worked out; with a table goes the account of its rows.
    kept : the account of the rows to validate on, once they have been read.
    """

    moments: Moments
    source: Source
    validation: Source | None
    own: Own
    keeping: Keeping | None = None
    team: Team = field(default_factory=Team)
    share: Source | None = None
    problems: dict[bool, tuple[StandardizedProblem, theory.Spectrum]] = field(default_factory=dict)
    tables: dict[object, tuple[Held, RowAccount]] = field(default_factory=dict)
    kept: RowAccount | None = None

    @property
    def here(self) -> Source:
        """The rows of this process."""
        return self.source if self.share is None else self.share

    def problem(self, recipe: Recipe) -> tuple[StandardizedProblem, theory.Spectrum]:
        """Give the problem that a recipe sees, and the spectrum of its Hessian."""
        if recipe.standardize not in self.problems:
            problem = _problem(self.moments, self.source, standardize=recipe.standardize)
            self.problems[recipe.standardize] = problem, theory.decompose_hessian(problem.H)
        return self.problems[recipe.standardize]

    def rows(self, recipe: Recipe) -> Rows:
        """Give the rows to train on."""
        if recipe.engine == "moments":
            return Unseen(n=self.moments.n, features=len(self.moments.design.columns))
        if self.own.loader is not None:
            return self._loaded(recipe, self.own.loader, self.moments.n)
        require_local(self.source, "train on them", "Use engine='moments', which needs cross-products alone")
        if self.streams(recipe):
            require_a_row_each(recipe, self.team)
            return shared(self._streamed(recipe, self.here, self._complete()), self.team)
        table, _ = self._table(recipe, self.here, of="training")
        given = replace(table, seed=recipe.seed, shuffle=recipe.shuffle, replacement=recipe.replacement)
        rows_of_all = shared(given, self.team)
        require_count(self.source, self.moments.n, rows_of_all.n)
        return rows_of_all

    def validation_rows(self, recipe: Recipe) -> Rows | None:
        """Give the rows to validate on, if there are some.

        Raises
        ------
        DataError : they were given, and none is complete.
        """
        if self.validation is None:
            return None
        given = self._validated(recipe, self.validation)
        if not given.n:
            where = self.moments.design.where
            meeting = f" that meets where={where.text!r}" if where else ""
            raise DataError(
                f"There is no complete row{meeting} to validate with in {self.validation.label}. "
                "Give other rows, or a share such as 0.2."
            )
        return given

    def _validated(self, recipe: Recipe, source: Source) -> Rows:
        if isinstance(source, LoaderSource):
            count = source.rows or 0
            self.kept = RowAccount(read=count, used=count)  # a loop meets every row, and one with a gap ends it
            return self._loaded(recipe, source, count)
        require_local(source, "validate with them", "Give other rows, such as a sample that is here")
        share = self.team.share_of(source)
        if self.streams(recipe) and self._size(source.rows or 0, recipe) > _HELD:
            account = self._account(share)
            given: Held | Streamed = self._streamed(recipe, share, account.used)
        else:
            given, account = self._table(recipe, share, of="validation")
        self.kept = of_all(account, self.team)
        return shared(given, self.team)

    def _complete(self) -> int | None:
        """Count the complete rows of this process's share, None where they are those of the moments."""
        if self.team.alone:
            return None
        whole = self.moments.account.read == self.moments.n  # no row has a gap, and none is filtered out
        return self.here.rows if whole else self._account(self.here).used

    def _account(self, source: Source) -> RowAccount:
        return self.team.agreed(lambda: accounted(self.moments.design, source))

    def _size(self, n: int, recipe: Recipe) -> int:
        """Tell how many bytes the standardised rows of one process take, when there are n in all."""
        return -(-n // self.team.size) * (len(self.moments.design.columns) + 1) * (8 if recipe.dtype == "float64" else 4)

    def streams(self, recipe: Recipe) -> bool:
        """Tell whether rows are read anew each epoch, because they are too many to hold, or because that was asked for."""
        size = self._size(self.moments.n, recipe)
        streams = recipe.stream
        if streams is None:
            streams = self.own.loader is None and recipe.engine == "rows" and size > _HELD
        if streams and recipe.replacement:
            raise OptionError(
                "replacement=True draws any row at any time, and rows that are streamed pass by once an epoch. These take "
                f"{size / 1e6:,.0f} MB: hold them with stream=False, or leave replacement out."
            )
        return streams

    def _streamed(self, recipe: Recipe, source: Source, complete: int | None) -> Streamed:
        return Streamed(
            design=self.moments.design,
            source=source,
            problem=self.problem(recipe)[0],
            dtype=DTYPES[recipe.dtype],
            device=recipe.device,
            seed=recipe.seed,
            shuffle=recipe.shuffle,
            complete=complete,
        )

    def _loaded(self, recipe: Recipe, source: LoaderSource, count: int) -> Loaded:
        features, device = len(self.moments.design.columns), torch.device(recipe.device)
        return Loaded(source=source, n=count, features=features, dtype=DTYPES[recipe.dtype], device=device)

    def _table(self, recipe: Recipe, source: Source, *, of: str) -> tuple[Held, RowAccount]:
        key = of, recipe.standardize, recipe.dtype, recipe.device
        if key not in self.tables:
            problem = self.problem(recipe)[0]
            with scan_purpose(f"{of} rows"):
                self.tables[key] = self.team.agreed(lambda: held(self.moments.design, problem, source, recipe))
        return self.tables[key]


def gradient_noise(seen: Seen, recipe: Recipe) -> theory.Noise:
    """Find out what single rows add to the gradient: from the rows where that is cheap, else as it is for Gaussian columns."""
    problem, lam = seen.problem(recipe)
    w = theory.fixed_point(lam, problem.h)
    if seen.own.loader is not None or seen.streams(recipe) or noise_cost(problem) > _DEAR:
        return expected_noise(problem, lam, w)
    return fold_gradient_noise(seen.moments.design, seen.here, problem, lam, w, all_reduce=seen.team.added)


def kappa_once_standardised(seen: Seen, recipe: Recipe) -> float | None:
    """Give kappa for standardised columns, None where they are so, or one of them is constant."""
    if recipe.standardize:
        return None
    flat = seen.moments.is_constant if seen.moments.design.intercept else np.diag(seen.moments.gram)[1:] == 0
    return None if flat.any() else theory.decompose_hessian(standardize_moments(seen.moments).H).kappa


def _problem(moments: Moments, source: Source, *, standardize: bool) -> StandardizedProblem:
    design = moments.design
    if not design.columns:
        raise DataError(f"The formula {design.formula.text!r} has no predictor, so a linear layer has no input. Name a column.")
    if moments.n < 2:
        raise DataError(f"{source.label} has {moments.n} complete row. Training on standardised columns needs at least 2.")
    if not standardize:
        return identity_scaling(moments)
    flat = moments.is_constant if design.intercept else np.diag(moments.gram)[1:] == 0
    for name, is_flat, mean in zip(design.labels, flat, moments.means, strict=True):
        if is_flat:
            raise DataError(
                f"Column {name!r} is {mean:.6g} in every row: standardising divides by its spread, which is zero. "
                "Leave it out of the formula, or look for the rows in which it differs."
            )
    return standardize_moments(moments)
