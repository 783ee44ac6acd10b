"""Report the progress of scans and of training to a listener.

Every scan of batches passes through `report_scan`. `scan_purpose` sets the purpose of scans; `pass_counter` and `expect` announce
the passes to come. Without a listener a scan is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TypeVar

from squarely.data.source import PlacedBatch, Source, total_rows
from squarely.data.tree_reduce import Branch

T = TypeVar("T")


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
    values : returns the present losses of training by name; empty for rows.
    """

    purpose: str
    number: int = 0
    passes: int = 0
    count: int = 0
    rows: int | None = None
    is_over: bool = False
    unit: str = "rows"
    values: Callable[[], Mapping[str, float]] = dict


Listener = Callable[[Scan], None]


@dataclass(eq=False, slots=True)
class _Reporter:
    """The listener, and the number of rows of each source that was scanned."""

    listener: Listener
    rows: dict[Source, int] = field(default_factory=dict)

    def report_items(self, scan: Scan, items: Iterable[T], count: Callable[[T], int], source: Source | None) -> Iterator[T]:
        """Yield the items unchanged, and report the scan before and after each; all counts make up the rows of `source`."""
        self.listener(scan)
        try:
            for item in items:
                yield item
                scan = replace(scan, count=scan.count + count(item))
                self.listener(scan)
            if source is not None:
                self.rows[source] = scan.count
        finally:
            self.listener(replace(scan, is_over=True))


@dataclass(eq=False, slots=True)
class _PassCounter:
    """The number of passes so far, and the purposes of the next ones."""

    next_purposes: tuple[str, ...] = ()
    number: int = 0


_REPORTER: ContextVar[_Reporter | None] = ContextVar("reporter", default=None)
_PASSES: ContextVar[_PassCounter | None] = ContextVar("passes", default=None)
_PURPOSE: ContextVar[str] = ContextVar("purpose", default="")


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Report every scan in this context to the listener: at its start, after each batch, and at its end."""
    reporter = _Reporter(listener)
    try:
        with _set(_REPORTER, reporter), pass_counter():
            yield
    finally:
        reporter.listener = lambda scan: None  # a scan that an error has interrupted ends only at garbage collection


@contextmanager
def pass_counter(*purposes: str) -> Iterator[None]:
    """Count the passes in this context from one: those with these purposes, and any others. Also a decorator."""
    with _set(_PASSES, _PassCounter(purposes)):
        yield


def expect(*purposes: str) -> None:
    """Announce passes ahead of those already expected."""
    passes = _PASSES.get()
    if passes is not None:
        passes.next_purposes = (*purposes, *passes.next_purposes)


@contextmanager
def scan_purpose(purpose: str) -> Iterator[None]:
    """Set the purpose of the scans in this context. Also a decorator."""
    with _set(_PURPOSE, purpose):
        yield


def silent(enabled: bool) -> AbstractContextManager[None]:
    """Report nothing in this context if enabled: one of several processes reports for all."""
    return _set(_REPORTER, None if enabled else _REPORTER.get())


@contextmanager
def _set(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def report_scan(source: Source, batches: Iterable[PlacedBatch], parts: Sequence[int] | None = None) -> Iterable[PlacedBatch]:
    """Yield the batches of a scan of all rows, or of some parts, unchanged, and report its progress."""
    reporter = _REPORTER.get()
    if reporter is None:
        return batches
    if parts is None:
        rows = reporter.rows.get(source, source.rows)
    else:
        every = source.parts()
        rows = total_rows([every[i].rows for i in parts])
    scan = replace(_begin_scan(), rows=rows)
    return reporter.report_items(scan, batches, lambda item: item[1].num_rows, source if parts is None else None)


def report_arrivals(branches: Iterable[Branch[T]], total: int | None) -> Iterable[Branch[T]]:
    """Yield the results of partitions unchanged, and report how many are done."""
    reporter = _REPORTER.get()
    if reporter is None:
        return branches
    return reporter.report_items(replace(_begin_scan(), rows=total, unit="partitions"), branches, lambda branch: branch[0], None)


def _begin_scan() -> Scan:
    """Begin a scan; if it has a purpose, it counts as a pass, expected or not."""
    purpose, passes = _PURPOSE.get(), _PASSES.get()
    if not purpose or passes is None:
        return Scan(purpose=purpose)
    passes.number += 1
    if passes.next_purposes[:1] == (purpose,):
        passes.next_purposes = passes.next_purposes[1:]
    return Scan(purpose=purpose, number=passes.number, passes=passes.number + len(passes.next_purposes))


@contextmanager
def report_count(
    purpose: str, total: int, unit: str = "epochs", values: Callable[[], Mapping[str, float]] = dict
) -> Iterator[Callable[[int], None]]:
    """Report progress other than that of a scan: call the function that this yields with the number of `total` done.

    `values` returns numbers to show beside it, by name, whenever a listener asks for them. Scans in this context are not reported.
    """
    reporter = _REPORTER.get()
    if reporter is None:
        yield lambda done: None
        return
    scan = Scan(purpose=purpose, rows=total, unit=unit, values=values)
    reporter.listener(scan)
    try:
        with silent(True):
            yield lambda done: reporter.listener(replace(scan, count=done)) if done else None
    finally:
        reporter.listener(replace(scan, is_over=True))
