"""Watching scans: whoever asks is told when rows begin to be read, what for, how far it has come, and when it is over.
The same is told of the epochs of a training.

Every scan of batches passes through `report_scan`. Functions that scan say what for by `scan_purpose`; those that make several scans
say which are to come by `pass_counter` and `expect`. Where nobody watches, a scan is not touched.
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
    """How far a scan has come.

    Attributes
    ----------
    purpose : what the rows are read for, such as "cross-products"; empty where nobody says, as for a look at the first rows.
    number, passes : which of how many passes over all rows it is, as far as these are known by now; 0 where it is none of them.
    count : the rows read so far.
    rows : how many there are, None if that is not known.
    is_over : whether it has ended, at the last row or before.
    unit : what is counted: "rows", "partitions" of scattered rows, or "epochs" of a training.
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
PositionedBatch = tuple[int, pa.RecordBatch]  # the position of its first row in the source, and a batch


@dataclass(eq=False, slots=True)
class _Reporter:
    """Who listens, and how many rows each source has turned out to have."""

    listener: Listener | None
    rows: dict[Source, int] = field(default_factory=dict)

    def report(self, scan: Scan) -> None:
        if self.listener is not None:
            self.listener(scan)


@dataclass(eq=False, slots=True)
class _PassCounter:
    """How many passes have begun, and what the next ones are for."""

    next_purposes: tuple[str, ...] = ()
    number: int = 0

    def begin(self, purpose: str) -> Scan:
        """Count a pass: the next of those that were to come, or one that turned out to be needed besides."""
        self.number += 1
        if self.next_purposes[:1] == (purpose,):
            self.next_purposes = self.next_purposes[1:]
        return Scan(purpose=purpose, number=self.number, passes=self.number + len(self.next_purposes))


_REPORTER: ContextVar[_Reporter | None] = ContextVar("watch", default=None)
_PASSES: ContextVar[_PassCounter | None] = ContextVar("passes", default=None)
_PURPOSE: ContextVar[str] = ContextVar("purpose", default="")


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Tell the listener of every scan in here: when it begins, after each batch, and when it is over."""
    watch = _Reporter(listener)
    token = _REPORTER.set(watch)
    try:
        with pass_counter():
            yield
    finally:
        _REPORTER.reset(token)
        watch.listener = None  # a scan that an error has left half-way is over only when it is collected as garbage


@contextmanager
def pass_counter(*purposes: str) -> Iterator[None]:
    """Count the passes in here from one: these, and what turns out to be needed besides. It decorates a function as well."""
    token = _PASSES.set(_PassCounter(purposes))
    try:
        yield
    finally:
        _PASSES.reset(token)


def expect(*purposes: str) -> None:
    """Say which passes come next, ahead of those that were to come already."""
    passes = _PASSES.get()
    if passes is not None:
        passes.next_purposes = (*purposes, *passes.next_purposes)


@contextmanager
def scan_purpose(purpose: str) -> Iterator[None]:
    """Say what the scans in here are for. It decorates a function as well."""
    token = _PURPOSE.set(purpose)
    try:
        yield
    finally:
        _PURPOSE.reset(token)


def report_scan(
    source: Source, batches: Iterable[PositionedBatch], parts: Sequence[int] | None = None
) -> Iterable[PositionedBatch]:
    """Give the batches of a scan of all rows, or of some parts, as they are, and tell whoever watches how far it has come."""
    watch = _REPORTER.get()
    return batches if watch is None else _report_batches(watch, source, batches, parts)


def _report_batches(
    watch: _Reporter, source: Source, batches: Iterable[PositionedBatch], parts: Sequence[int] | None
) -> Iterator[PositionedBatch]:
    scan = replace(_begin_scan(), rows=watch.rows.get(source, source.rows) if parts is None else _sum_rows(source, parts))
    watch.report(scan)
    try:
        for first, batch in batches:
            yield first, batch
            scan = replace(scan, count=scan.count + batch.num_rows)
            watch.report(scan)
        if parts is None:
            watch.rows[source] = scan.count
    finally:
        watch.report(replace(scan, is_over=True))


def _begin_scan() -> Scan:
    """Begin a scan: one of the passes, if somebody says what it is for."""
    purpose, passes = _PURPOSE.get(), _PASSES.get()
    return passes.begin(purpose) if purpose and passes is not None else Scan(purpose=purpose)


def report_arrivals(branches: Iterable[Branch[T]], total: int | None) -> Iterable[Branch[T]]:
    """Give what comes of the parts of scattered rows as it is, and tell whoever watches how many of them are done."""
    watch = _REPORTER.get()
    return branches if watch is None else _report_branches(watch, branches, total)


def _report_branches(watch: _Reporter, branches: Iterable[Branch[T]], total: int | None) -> Iterator[Branch[T]]:
    scan = replace(_begin_scan(), rows=total, unit="partitions")
    watch.report(scan)
    try:
        for parts, outcome in branches:
            yield parts, outcome
            scan = replace(scan, count=scan.count + parts)
            watch.report(scan)
    finally:
        watch.report(replace(scan, is_over=True))


@contextmanager
def report_count(purpose: str, total: int, unit: str = "epochs") -> Iterator[Callable[[int], None]]:
    """Tell whoever watches how far something else than a scan has come: call what this gives with how many of `total` are done.

    Scans in here are part of it, and are not told of.
    """
    watch = _REPORTER.get()
    if watch is None:
        yield _ignore_count
        return
    scan = Scan(purpose=purpose, rows=total, unit=unit)
    watch.report(scan)
    token = _REPORTER.set(None)
    try:
        yield lambda done: watch.report(replace(scan, count=done)) if done else None
    finally:
        _REPORTER.reset(token)
        watch.report(replace(scan, is_over=True))


@contextmanager
def silent(wish: bool) -> Iterator[None]:
    """Tell nobody of what is scanned in here, if that is the wish: others do the same, and one line for all is enough."""
    token = _REPORTER.set(None if wish else _REPORTER.get())
    try:
        yield
    finally:
        _REPORTER.reset(token)


def _ignore_count(done: int) -> None:
    """Nobody watches."""


def _sum_rows(source: Source, parts: Sequence[int]) -> int | None:
    known = source.parts()
    rows = [known[i].rows for i in parts]
    return None if None in rows else sum(row for row in rows if row is not None)
