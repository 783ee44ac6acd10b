"""The rows and moments that runs are trained on, and the `RunInputs` of each run made from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, partial

import torch

from squarely import theory
from squarely.data import RowAccount, Source, require_local, scan_purpose
from squarely.descent.batches.batch_source import BatchSource, RunInputs, account_rows
from squarely.descent.batches.in_memory import InMemoryBatches, load_batches
from squarely.descent.batches.loader import LoaderBatches, LoaderSource
from squarely.descent.batches.streamed import StreamedBatches, require_count
from squarely.descent.checkpoint.policy import CheckpointPolicy
from squarely.descent.model.user_objects import UserObjects
from squarely.descent.options.optimizers import DTYPES
from squarely.descent.options.options import TrainingOptions
from squarely.descent.process_group import ProcessGroup
from squarely.descent.run_theory.theory_inputs import TheoryInputs, make_theory_inputs
from squarely.descent.sharding import all_reduce_account, require_a_row_each, shard_batches
from squarely.errors import DataError, OptionError
from squarely.moments import (
    Moments,
    fold_gradient_noise,
    noise_cost,
)

_MAX_IN_MEMORY_BYTES = 2**28  # bytes of standardized rows in memory; more are streamed
_MAX_NOISE_COST = 2_000_000_000  # multiplications: about a second


@dataclass(eq=False, slots=True, kw_only=True)
class TrainingData:
    """The rows that runs are trained on. Problems and tables are computed once for several runs."""

    moments: Moments  # of the rows of all processes
    source: Source
    validation: Source | None
    user_objects: UserObjects
    policy: CheckpointPolicy | None = None
    process_group: ProcessGroup = field(default_factory=ProcessGroup)
    shard: Source | None = None  # the rows that this process reads; None for all
    problems: dict[bool, TheoryInputs] = field(default_factory=dict)  # by `standardize`
    tables: dict[object, tuple[InMemoryBatches, RowAccount]] = field(default_factory=dict)  # rows in memory, by their options

    @property
    def local(self) -> Source:
        """The rows of this process."""
        return self.source if self.shard is None else self.shard

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights or frequencies."""
        return self.moments.design.formula.weights is not None

    def resolve_batch_size(self, options: TrainingOptions) -> tuple[TrainingOptions, tuple[str, ...]]:
        """Replace a batch size of n rows or more by full batches, and say what changed."""
        size, n = options.batch_size, self.moments.n
        if size is None or size < n or not self.user_objects.has_even_batches:
            return options, ()
        remarks = (f"batch_size={size:,} is above the {n:,} rows: every step uses all of them.",) if size > n else ()
        return replace(options, batch_size=n if options.replacement else None), remarks

    def inputs_for(self, options: TrainingOptions) -> RunInputs:
        """Resolve what a run with these options reads: columns, rows to train and to validate on, and gradient noise."""
        if options.standardize not in self.problems:
            self.problems[options.standardize] = make_theory_inputs(self.moments, self.source, standardize=options.standardize)
        run_theory = self.problems[options.standardize]
        is_streamed = self.needs_streaming(options)
        batches = self._training_batches(options, is_streamed=is_streamed)
        validation, account = self._validation_batches(options, is_streamed=is_streamed)
        return RunInputs(
            theory=replace(
                run_theory,
                has_even_batches=self.user_objects.has_even_batches,
                gradient_noise=cache(partial(self._gradient_noise, run_theory, is_streamed=is_streamed)),
            ),
            batches=batches,
            validation=validation,
            validation_account=account,
            is_streamed=is_streamed,
            remarks=_stream_remarks(self.source, options) if is_streamed else (),
        )

    def needs_streaming(self, options: TrainingOptions) -> bool:
        """Return whether rows are read again in each epoch: by option, or because they do not fit into memory."""
        size = self._count_bytes(self.moments.n, options)
        streams = options.stream
        if streams is None:
            streams = self.user_objects.loader is None and options.engine == "rows" and size > _MAX_IN_MEMORY_BYTES
        if streams and options.replacement:
            raise OptionError(
                f"replacement=True draws any row at any time, but the rows take {size / 1e6:,.0f} MB and are streamed, once an "
                "epoch. Hold them in memory with stream=False, or leave replacement= out."
            )
        return streams

    def _training_batches(self, options: TrainingOptions, *, is_streamed: bool) -> BatchSource:
        if options.engine != "rows":
            return self._streamed_batches(options, self.source, None)  # never read: cross-products are enough
        if self.user_objects.loader is not None:
            return self._loader_batches(options, self.user_objects.loader, self.moments.n)
        require_local(self.source, "train on them", "Use engine='moments', which needs cross-products alone")
        if is_streamed:
            require_a_row_each(options, self.process_group)
            return shard_batches(self._streamed_batches(options, self.local, self._count_complete()), self.process_group)
        table, _ = self._load_table(options, self.local, "training rows")
        ordered = replace(table, seed=options.seed, shuffle=options.shuffle, replacement=options.replacement)
        batches = shard_batches(ordered, self.process_group)
        require_count(self.source, self.moments.n, batches.n)
        return batches

    def _validation_batches(self, options: TrainingOptions, *, is_streamed: bool) -> tuple[BatchSource | None, RowAccount | None]:
        source = self.validation
        if source is None:
            return None, None
        if isinstance(source, LoaderSource):
            count = source.rows or 0  # the loop uses every row of a loader; a row with a gap ends it
            batches: BatchSource = self._loader_batches(options, source, count)
            account = RowAccount(read=count, used=count)
        else:
            require_local(source, "validate with them", "Give other rows, such as a sample that is here")
            shard = self.process_group.shard(source)
            if is_streamed and self._count_bytes(source.rows or 0, options) > _MAX_IN_MEMORY_BYTES:
                account = self._account_rows(shard)
                batches = shard_batches(self._streamed_batches(options, shard, account.used), self.process_group)
            else:
                table, account = self._load_table(options, shard, "validation rows")
                batches = shard_batches(table, self.process_group)
            account = all_reduce_account(account, self.process_group)
        if not batches.n:
            where = self.moments.design.where
            matching = f" that meets where={where.text!r}" if where else ""
            advice = "Give other rows, or a fraction such as 0.2."
            raise DataError(f"There is no complete row{matching} to validate with in {source.label}. {advice}")
        return batches, account

    def _count_complete(self) -> int | None:
        """Count the complete rows of this process; None if those of the moments are all of them."""
        if self.process_group.is_single:
            return None
        has_all = self.moments.account.read == self.moments.n  # no row has a gap, and none is filtered out
        return self.local.rows if has_all else self._account_rows(self.local).used

    def _account_rows(self, source: Source) -> RowAccount:
        return self.process_group.run_on_all(lambda: account_rows(self.moments.design, source))

    def _count_bytes(self, n: int, options: TrainingOptions) -> int:
        """Count the bytes of the standardized rows of one process, when there are n in all."""
        size: int = DTYPES[options.dtype].itemsize
        return -(-n // self.process_group.size) * (len(self.moments.design.columns) + 1) * size

    def _streamed_batches(self, options: TrainingOptions, source: Source, complete: int | None) -> StreamedBatches:
        return StreamedBatches(
            design=self.moments.design,
            source=source,
            problem=self.problems[options.standardize].problem,
            dtype=DTYPES[options.dtype],
            device=options.device,
            seed=options.seed,
            shuffle=options.shuffle,
            complete_count=complete,
        )

    def _loader_batches(self, options: TrainingOptions, source: LoaderSource, count: int) -> LoaderBatches:
        features, device = len(self.moments.design.columns), torch.device(options.device)
        return LoaderBatches(source=source, n=count, features=features, dtype=DTYPES[options.dtype], device=device)

    def _load_table(self, options: TrainingOptions, source: Source, purpose: str) -> tuple[InMemoryBatches, RowAccount]:
        key = purpose, options.standardize, options.dtype, options.device
        if key not in self.tables:
            with scan_purpose(purpose):
                problem = self.problems[options.standardize].problem
                # Validation rows are averaged with their weights: their own mean is one, as for rows without weights.
                own_mean = purpose == "validation rows" and self.process_group.is_single
                load = partial(load_batches, self.moments.design, problem, source, options, own_mean=own_mean)
                self.tables[key] = self.process_group.run_on_all(load)
        return self.tables[key]

    def _gradient_noise(self, run_theory: TheoryInputs, *, is_streamed: bool) -> theory.Noise:
        """Return what single rows add to the gradient: from the rows if that is cheap, else as for Gaussian columns.

        Weights are read in any case: the cross-products do not say how they differ.
        """
        problem, lam = run_theory.problem, run_theory.spectrum
        is_costly = is_streamed or noise_cost(problem) > _MAX_NOISE_COST
        if self.user_objects.loader is not None or (is_costly and not self.is_weighted):
            return run_theory.gradient_noise()
        w = theory.fixed_point(lam, problem.h)
        return fold_gradient_noise(
            self.moments.design,
            self.local,
            problem,
            lam,
            w,
            gaussian=is_costly,
            all_reduce=self.process_group.all_reduce_arrays,
        )


def _stream_remarks(source: Source, options: TrainingOptions) -> tuple[str, ...]:
    """Mention that rows are streamed, and that a source with a single part is shuffled within a buffer only."""
    remark = "The rows are not held in memory: they are read again in each epoch."
    if options.is_full_batch or not options.shuffle or len(source.parts()) > 1:
        return (remark,)
    return (
        f"{remark} {source.label} can only be read from its beginning, so rows are shuffled within a buffer. If they are sorted, "
        "write them to a Parquet file with many row groups first.",
    )
