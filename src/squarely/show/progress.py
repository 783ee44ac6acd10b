"""Show progress on one line of a terminal or below a notebook cell, which appears after a second and disappears at the end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import RLock, Timer

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from squarely.show.notebook import Output, is_notebook
from squarely.show.text import align_left, escape_controls

_DELAY = 1.0  # seconds: shorter work needs no line
_REFRESHES = 8  # a second
_NOTEBOOK_PAUSE = 0.25  # seconds between two updates of a notebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of work: what it does, and how many units of how many, None if unknown, are done after how many seconds.

    `values` returns numbers to show beside it, by name, such as the loss.
    """

    label: str
    unit: str
    count: int
    total: int | None
    seconds: float
    values: Callable[[], Mapping[str, float]] = dict


class TerminalProgress:
    """A line on a terminal, which another thread draws."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = RLock()
        self._stage: Stage | None = None
        self._start = 0.0
        self._timer: Timer | None = None
        self._live: Live | None = None

    def begin(self, stage: Stage, *, start_time: float) -> None:
        """Begin a stage of work that started at `start_time` by `time.monotonic`; the delay counts from there."""
        self.end()
        with self._lock:
            self._start, self._stage = time.monotonic(), stage
            self._timer = Timer(max(start_time + _DELAY - self._start, 0.0), self._show)
            self._timer.daemon = True
            with _without_interrupts():
                self._timer.start()

    def reach(self, done: int) -> None:
        """Set how many units are done."""
        if self._stage is not None:
            self._stage = replace(self._stage, count=done)

    def end(self) -> None:
        """End the stage, if any, and remove the line."""
        with self._lock:
            self._stage = None
            if self._timer is not None:
                self._timer.cancel()
            live, self._timer, self._live = self._live, None, None
        if live is not None:
            live.stop()

    def _show(self) -> None:
        with self._lock:
            if self._stage is None:
                return
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=_REFRESHES,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

    def _render(self) -> Table | str:
        stage = self._stage
        return "" if stage is None else render_stage(replace(stage, seconds=time.monotonic() - self._start), self._console.width)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in threads started here: if one of them received it, the main thread would not wake."""
    if sys.platform == "win32":  # where only the main thread receives it
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class NotebookProgress:
    """A line below the cell of a notebook, drawn when units are done: kernels show nothing of other threads."""

    def __init__(self) -> None:
        self._output: Output | None = None
        self._stage: Stage | None = None
        self._start = self._next = 0.0

    def begin(self, stage: Stage, *, start_time: float) -> None:
        """Begin a stage of work that started at `start_time` by `time.monotonic`; the delay counts from there."""
        self._stage, self._start = stage, time.monotonic()
        self._next = max(self._next, start_time + _DELAY)

    def reach(self, done: int) -> None:
        """Set how many units are done."""
        now = time.monotonic()
        if self._stage is None or now < self._next:
            return
        self._next = now + _NOTEBOOK_PAUSE
        self._output = self._output or Output()
        text = describe_stage(replace(self._stage, count=done, seconds=now - self._start))
        total = self._stage.total
        bar = "" if not total else f'<progress value="{min(done, total)}" max="{total}"></progress> '
        self._output.update(text, f"<div>{bar}{escape_controls(text, 'html')}</div>")

    def end(self) -> None:
        """End the stage, if any, and remove the line."""
        if self._output is not None:
            self._output.update("", "")
        self._stage = None


def new_progress() -> TerminalProgress | NotebookProgress | None:
    """Return a progress line for a notebook, or on stderr if it is an interactive terminal; else None."""
    if is_notebook():
        return NotebookProgress()
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    console = Console(stderr=True)
    return TerminalProgress(console) if console.is_interactive else None


def describe_stage(stage: Stage) -> str:
    """Write a stage in one line: label, count, rate, time left or so far, and values."""
    return f"{escape_controls(stage.label)}: {_format_numbers(stage)}"


def render_stage(stage: Stage, width: int) -> Table:
    """Lay out one line: label, bar, count, rate, time left or so far, and values.

    On a narrow terminal the bar is omitted first; then the label is cut.
    """
    numbers, label = _format_numbers(stage), escape_controls(stage.label)
    label = align_left(label, max(min(cell_len(label), width - len(numbers) - 1), 0))
    bar = max(width - cell_len(label) - len(numbers) - 2, 0)
    bars = [ProgressBar(total=stage.total, completed=stage.count, width=bar)] if bar else []
    line = Table.grid(*(Column(no_wrap=True) for _ in ("label", *bars, "numbers")), padding=(0, 1, 0, 0), pad_edge=False)
    line.add_row(Text(label), *bars, Text(numbers))
    return line


def _format_numbers(stage: Stage) -> str:
    of = "" if stage.total is None else f" of {format_count(stage.total)}"
    count = f"{format_count(stage.count)}{of} {stage.unit}"
    rate = stage.count / stage.seconds if stage.seconds > 0 else 0.0
    if not rate or stage.total is None:
        time_text = f"{format_time(stage.seconds)} so far"
    else:
        time_text = f"{format_time(max(stage.total - stage.count, 0) / rate)} left"
    values = "".join(f" {name} {value:.4g}" for name, value in stage.values().items())
    return f"{count} {format_count(round(rate))}/s {time_text}{values}" if rate else f"{count} {time_text}{values}"


def format_count(number: int) -> str:
    """Write a count, with three digits from ten thousand on.

    >>> format_count(9_999), format_count(12_345), format_count(999_999), format_count(20_000_000)
    ('9,999', '12.3K', '1.00M', '20.0M')
    """
    if number < 10_000:
        return f"{number:,}"
    size, sign = next((number / 1000**i, sign) for i, sign in enumerate("KMGTP", start=1) if number / 1000**i < 999.5)
    return f"{size:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}{sign}"


def format_time(seconds: float) -> str:
    """Write a time as on a clock.

    >>> format_time(7.6), format_time(3_725)
    ('0:08', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
