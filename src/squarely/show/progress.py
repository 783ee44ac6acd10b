"""Show progress on one line of the terminal, which appears after a second and disappears at the end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import RLock, Timer

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from squarely.show.text import align_left, escape_controls

_DELAY = 1.0  # seconds: shorter work needs no line
_REFRESHES = 8  # a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of work: what it does, and how many units of how many, None if unknown, are done after how many seconds."""

    label: str
    unit: str
    count: int
    total: int | None
    seconds: float


class Progress:
    """A line on a terminal for one stage of work after another; `end` removes it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = RLock()  # other threads draw the line
        self._stage: Stage | None = None
        self._start = 0.0
        self._timer: Timer | None = None
        self._live: Live | None = None

    def begin(self, label: str, *, unit: str, total: int | None, start_time: float) -> None:
        """Begin a stage of work that started at `start_time` by `time.monotonic`; the delay counts from there."""
        self.end()
        with self._lock:
            self._start = time.monotonic()
            self._stage = Stage(label=label, unit=unit, count=0, total=total, seconds=0.0)
            self._timer = Timer(max(start_time + _DELAY - self._start, 0.0), self._show)
            self._timer.daemon = True
            with _without_interrupts():
                self._timer.start()

    def reach(self, done: int) -> None:
        """Set how many units are done."""
        if self._stage is not None:
            self._stage = replace(self._stage, count=done)

    def end(self) -> None:
        """End the stage, if any, remove the line and show the cursor."""
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


def terminal_progress() -> Progress | None:
    """Return a progress line on stderr; None if stderr is not an interactive terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    console = Console(stderr=True)
    return Progress(console) if console.is_interactive else None


def render_stage(stage: Stage, width: int) -> Table:
    """Lay out one line: label, bar, count, rate, and time left or so far.

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
    return f"{count} {format_count(round(rate))}/s {time_text}" if rate else f"{count} {time_text}"


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
