"""Report the progress of scans and of training to a listener.

Every scan of batches passes through `report_scan`. `scan_purpose` sets the purpose of scans; `pass_counter` and `expect` announce
the passes to come. Without a listener a scan is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from squarely.data.tree_reduce import Branch

if TYPE_CHECKING:
    from squarely.data.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The progress of a scan.

    Attributes
    ----------
    purpose : why the rows are read, such as "cross-products"; empty if not set, as for a read of the first rows.
    number, passes : its number among the passes over all rows that are known so far; 0 if it is not one of them.
    count : rows read so far.
    rows : number of rows, None if unknown.
    is_over : whether it has ended, at the last row or before.
    unit : what is counted: "rows", "partitions", or "epochs" of training.
    """

    purpose: str
    number: int = 0
    passes: int = 0
    count: int = 0
    rows: int | None = None
    is_over: bool = False
    unit: str = "rows"


T = TypeVar("T")
Listener = Callable[[Scan], None]
PositionedBatch = tuple[int, pa.RecordBatch]  # the position of the first row, and a batch


@dataclass(eq=False, slots=True)
class _Reporter:
    """The listener, and the number of rows of each source that was scanned."""

    listener: Listener | None
    rows: dict[Source, int] = field(default_factory=dict)

    def report(self, scan: Scan) -> None:
        if self.listener is not None:
            self.listener(scan)


@dataclass(eq=False, slots=True)
class _PassCounter:
    """The number of passes so far, and the purposes of the next ones."""

    next_purposes: tuple[str, ...] = ()
    number: int = 0

    def begin(self, purpose: str) -> Scan:
        """Count a pass, expected or not."""
        self.number += 1
        if self.next_purposes[:1] == (purpose,):
            self.next_purposes = self.next_purposes[1:]
        return Scan(purpose=purpose, number=self.number, passes=self.number + len(self.next_purposes))


_REPORTER: ContextVar[_Reporter | None] = ContextVar("reporter", default=None)
_PASSES: ContextVar[_PassCounter | None] = ContextVar("passes", default=None)
_PURPOSE: ContextVar[str] = ContextVar("purpose", default="")


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Report every scan in this context to the listener: at its start, after each batch, and at its end."""
    reporter = _Reporter(listener)
    token = _REPORTER.set(reporter)
    try:
        with pass_counter():
            yield
    finally:
        _REPORTER.reset(token)
        reporter.listener = None  # a scan that an error has interrupted ends only at garbage collection


@contextmanager
def pass_counter(*purposes: str) -> Iterator[None]:
    """Count the passes in this context from one: those with these purposes, and any others. Also a decorator."""
    token = _PASSES.set(_PassCounter(purposes))
    try:
        yield
    finally:
        _PASSES.reset(token)


def expect(*purposes: str) -> None:
    """Announce passes ahead of those already expected."""
    passes = _PASSES.get()
    if passes is not None:
        passes.next_purposes = (*purposes, *passes.next_purposes)


@contextmanager
def scan_purpose(purpose: str) -> Iterator[None]:
    """Set the purpose of the scans in this context. Also a decorator."""
    token = _PURPOSE.set(purpose)
    try:
        yield
    finally:
        _PURPOSE.reset(token)


def report_scan(
    source: Source, batches: Iterable[PositionedBatch], parts: Sequence[int] | None = None
) -> Iterable[PositionedBatch]:
    """Yield the batches of a scan of all rows, or of some parts, unchanged, and report its progress."""
    reporter = _REPORTER.get()
    return batches if reporter is None else _report_batches(reporter, source, batches, parts)


def _report_batches(
    reporter: _Reporter, source: Source, batches: Iterable[PositionedBatch], parts: Sequence[int] | None
) -> Iterator[PositionedBatch]:
    scan = replace(_begin_scan(), rows=reporter.rows.get(source, source.rows) if parts is None else _sum_rows(source, parts))
    reporter.report(scan)
    try:
        for first, batch in batches:
            yield first, batch
            scan = replace(scan, count=scan.count + batch.num_rows)
            reporter.report(scan)
        if parts is None:
            reporter.rows[source] = scan.count
    finally:
        reporter.report(replace(scan, is_over=True))


def _begin_scan() -> Scan:
    """Begin a scan; it counts as a pass if it has a purpose."""
    purpose, passes = _PURPOSE.get(), _PASSES.get()
    return passes.begin(purpose) if purpose and passes is not None else Scan(purpose=purpose)


def report_arrivals(branches: Iterable[Branch[T]], total: int | None) -> Iterable[Branch[T]]:
    """Yield the results of partitions unchanged, and report how many are done."""
    reporter = _REPORTER.get()
    return branches if reporter is None else _report_branches(reporter, branches, total)


def _report_branches(reporter: _Reporter, branches: Iterable[Branch[T]], total: int | None) -> Iterator[Branch[T]]:
    scan = replace(_begin_scan(), rows=total, unit="partitions")
    reporter.report(scan)
    try:
        for parts, result in branches:
            yield parts, result
            scan = replace(scan, count=scan.count + parts)
            reporter.report(scan)
    finally:
        reporter.report(replace(scan, is_over=True))


@contextmanager
def report_count(purpose: str, total: int, unit: str = "epochs") -> Iterator[Callable[[int], None]]:
    """Report progress other than that of a scan: call the function that this yields with the number of `total` done.

    Scans in this context are not reported.
    """
    reporter = _REPORTER.get()
    if reporter is None:
        yield lambda done: None
        return
    scan = Scan(purpose=purpose, rows=total, unit=unit)
    reporter.report(scan)
    token = _REPORTER.set(None)
    try:
        yield lambda done: reporter.report(replace(scan, count=done)) if done else None
    finally:
        _REPORTER.reset(token)
        reporter.report(replace(scan, is_over=True))


@contextmanager
def silent(enabled: bool) -> Iterator[None]:
    """Report nothing in this context if enabled: one of several processes reports for all."""
    token = _REPORTER.set(None if enabled else _REPORTER.get())
    try:
        yield
    finally:
        _REPORTER.reset(token)


def _sum_rows(source: Source, parts: Sequence[int]) -> int | None:
    every = source.parts()
    rows = [every[i].rows for i in parts]
    return None if None in rows else sum(row for row in rows if row is not None)
