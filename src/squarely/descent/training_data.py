"""What runs see: their rows, and what is worked out once of them for several runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from squarely import theory
from squarely.data import RowAccount, Source, require_local, scan_purpose
from squarely.descent.batches.batch_source import BatchSource, NoBatches, account_rows, require_count
from squarely.descent.batches.in_memory import InMemoryBatches, load_batches
from squarely.descent.batches.loader import LoaderBatches, LoaderSource
from squarely.descent.batches.streamed import StreamedBatches
from squarely.descent.checkpoint.policy import CheckpointPolicy
from squarely.descent.distributed.process_group import ProcessGroup
from squarely.descent.distributed.sharding import all_reduce_account, require_a_row_each, shard_batches
from squarely.descent.model.user_objects import UserObjects
from squarely.descent.options.options import DTYPES, TrainingOptions
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

_MAX_IN_MEMORY_BYTES = 2**28  # bytes of standardised rows that are held; more are streamed
_MAX_NOISE_COST = 2_000_000_000  # multiplications: about a second


@dataclass(eq=False, slots=True, kw_only=True)
class TrainingData:
    """The rows that runs are to see; what several runs need is worked out once.

    Attributes
    ----------
    moments, source, validation : the rows of all processes, and those to validate on, if there are some.
    user_objects : the user's module and loader. `policy` : where the run is kept, if it is.
    process_group, shard : the processes that train together, and those of the rows that are read here, all of them without it.
    problems, tables : what has been worked out; with a table goes the account of its rows.
    validation_account : the account of the rows to validate on, once they have been read.
    """

    moments: Moments
    source: Source
    validation: Source | None
    user_objects: UserObjects
    policy: CheckpointPolicy | None = None
    process_group: ProcessGroup = field(default_factory=ProcessGroup)
    shard: Source | None = None
    problems: dict[bool, tuple[StandardizedProblem, theory.Spectrum]] = field(default_factory=dict)
    tables: dict[object, tuple[InMemoryBatches, RowAccount]] = field(default_factory=dict)
    validation_account: RowAccount | None = None

    @property
    def local(self) -> Source:
        """The rows of this process."""
        return self.source if self.shard is None else self.shard

    def problem(self, recipe: TrainingOptions) -> tuple[StandardizedProblem, theory.Spectrum]:
        """Give the problem that a recipe sees, and the spectrum of its Hessian."""
        if recipe.standardize not in self.problems:
            problem = _make_problem(self.moments, self.source, is_standardized=recipe.standardize)
            self.problems[recipe.standardize] = problem, theory.decompose_hessian(problem.H)
        return self.problems[recipe.standardize]

    def training_batches(self, recipe: TrainingOptions) -> BatchSource:
        """Give the rows to train on."""
        if recipe.engine == "moments":
            return NoBatches(n=self.moments.n, features=len(self.moments.design.columns))
        if self.user_objects.loader is not None:
            return self._loader_batches(recipe, self.user_objects.loader, self.moments.n)
        require_local(self.source, "train on them", "Use engine='moments', which needs cross-products alone")
        if self.needs_streaming(recipe):
            require_a_row_each(recipe, self.process_group)
            return shard_batches(self._stream_batches(recipe, self.local, self._count_complete()), self.process_group)
        table, _ = self._load_table(recipe, self.local, of="training")
        given = replace(table, seed=recipe.seed, shuffle=recipe.shuffle, replacement=recipe.replacement)
        rows_of_all = shard_batches(given, self.process_group)
        require_count(self.source, self.moments.n, rows_of_all.n)
        return rows_of_all

    def validation_batches(self, recipe: TrainingOptions) -> BatchSource | None:
        """Give the rows to validate on, if there are some.

        Raises
        ------
        DataError : they were given, and none is complete.
        """
        if self.validation is None:
            return None
        given = self._validation_batches(recipe, self.validation)
        if not given.n:
            where = self.moments.design.where
            meeting = f" that meets where={where.text!r}" if where else ""
            raise DataError(
                f"There is no complete row{meeting} to validate with in {self.validation.label}. "
                "Give other rows, or a share such as 0.2."
            )
        return given

    def _validation_batches(self, recipe: TrainingOptions, source: Source) -> BatchSource:
        if isinstance(source, LoaderSource):
            count = source.rows or 0
            self.validation_account = RowAccount(read=count, used=count)  # a loop meets every row, and one with a gap ends it
            return self._loader_batches(recipe, source, count)
        require_local(source, "validate with them", "Give other rows, such as a sample that is here")
        share = self.process_group.shard(source)
        if self.needs_streaming(recipe) and self._count_bytes(source.rows or 0, recipe) > _MAX_IN_MEMORY_BYTES:
            account = self._account_rows(share)
            given: InMemoryBatches | StreamedBatches = self._stream_batches(recipe, share, account.used)
        else:
            given, account = self._load_table(recipe, share, of="validation")
        self.validation_account = all_reduce_account(account, self.process_group)
        return shard_batches(given, self.process_group)

    def _count_complete(self) -> int | None:
        """Count the complete rows of this process's share, None where they are those of the moments."""
        if self.process_group.is_single:
            return None
        whole = self.moments.account.read == self.moments.n  # no row has a gap, and none is filtered out
        return self.local.rows if whole else self._account_rows(self.local).used

    def _account_rows(self, source: Source) -> RowAccount:
        return self.process_group.run_on_all(lambda: account_rows(self.moments.design, source))

    def _count_bytes(self, n: int, recipe: TrainingOptions) -> int:
        """Tell how many bytes the standardised rows of one process take, when there are n in all."""
        return -(-n // self.process_group.size) * (len(self.moments.design.columns) + 1) * (8 if recipe.dtype == "float64" else 4)

    def needs_streaming(self, recipe: TrainingOptions) -> bool:
        """Tell whether rows are read anew each epoch, because they are too many to hold, or because that was asked for."""
        size = self._count_bytes(self.moments.n, recipe)
        streams = recipe.stream
        if streams is None:
            streams = self.user_objects.loader is None and recipe.engine == "rows" and size > _MAX_IN_MEMORY_BYTES
        if streams and recipe.replacement:
            raise OptionError(
                "replacement=True draws any row at any time, and rows that are streamed pass by once an epoch. These take "
                f"{size / 1e6:,.0f} MB: hold them with stream=False, or leave replacement out."
            )
        return streams

    def _stream_batches(self, recipe: TrainingOptions, source: Source, complete: int | None) -> StreamedBatches:
        return StreamedBatches(
            design=self.moments.design,
            source=source,
            problem=self.problem(recipe)[0],
            dtype=DTYPES[recipe.dtype],
            device=recipe.device,
            seed=recipe.seed,
            shuffle=recipe.shuffle,
            complete_count=complete,
        )

    def _loader_batches(self, recipe: TrainingOptions, source: LoaderSource, count: int) -> LoaderBatches:
        features, device = len(self.moments.design.columns), torch.device(recipe.device)
        return LoaderBatches(source=source, n=count, features=features, dtype=DTYPES[recipe.dtype], device=device)

    def _load_table(self, recipe: TrainingOptions, source: Source, *, of: str) -> tuple[InMemoryBatches, RowAccount]:
        key = of, recipe.standardize, recipe.dtype, recipe.device
        if key not in self.tables:
            problem = self.problem(recipe)[0]
            with scan_purpose(f"{of} rows"):
                self.tables[key] = self.process_group.run_on_all(lambda: load_batches(self.moments.design, problem, source, recipe))
        return self.tables[key]


def estimate_noise(seen: TrainingData, recipe: TrainingOptions) -> theory.Noise:
    """Find out what single rows add to the gradient: from the rows where that is cheap, else as it is for Gaussian columns."""
    problem, lam = seen.problem(recipe)
    w = theory.fixed_point(lam, problem.h)
    if seen.user_objects.loader is not None or seen.needs_streaming(recipe) or noise_cost(problem) > _MAX_NOISE_COST:
        return expected_noise(problem, lam, w)
    return fold_gradient_noise(seen.moments.design, seen.local, problem, lam, w, all_reduce=seen.process_group.all_reduce_arrays)


def standardized_condition_number(seen: TrainingData, recipe: TrainingOptions) -> float | None:
    """Give kappa for standardised columns, None where they are so, or one of them is constant."""
    if recipe.standardize:
        return None
    flat = seen.moments.is_constant if seen.moments.design.intercept else np.diag(seen.moments.gram)[1:] == 0
    return None if flat.any() else theory.decompose_hessian(standardize_moments(seen.moments).H).kappa


def _make_problem(moments: Moments, source: Source, *, is_standardized: bool) -> StandardizedProblem:
    design = moments.design
    if not design.columns:
        raise DataError(f"The formula {design.formula.text!r} has no predictor, so a linear layer has no input. Name a column.")
    if moments.n < 2:
        raise DataError(f"{source.label} has {moments.n} complete row. Training on standardised columns needs at least 2.")
    if not is_standardized:
        return identity_scaling(moments)
    flat = moments.is_constant if design.intercept else np.diag(moments.gram)[1:] == 0
    for name, is_flat, mean in zip(design.labels, flat, moments.means, strict=True):
        if is_flat:
            raise DataError(
                f"Column {name!r} is {mean:.6g} in every row: standardising divides by its spread, which is zero. "
                "Leave it out of the formula, or look for the rows in which it differs."
            )
    return standardize_moments(moments)
