"""The log of a run: its events in order, and when nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

from squarely.checkup.recorder.trace import Event, Trace
from squarely.checkup.recorder.user_lines import user_line


class EventLog:
    """Appends events to a trace.

    Attributes
    ----------
    trace : what is recorded.
    is_quiet : whether calls of torch are not recorded now.
    in_optimizer : whether the step of an optimizer without a closure is running.
    optimizers : in the order in which they first stepped.
    """

    def __init__(self) -> None:
        self.trace = Trace()
        self.is_quiet = False
        self.in_optimizer = False
        self.optimizers: list[Optimizer] = []

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Do not record what torch does inside. An exception there ends the reading of this event, not the user's loop."""
        before, self.is_quiet = self.is_quiet, True
        try:
            yield
        except Exception as error:  # what a tensor that we do not expect may raise
            self.trace.failures.append(f"{type(error).__name__}: {error}")
        finally:
            self.is_quiet = before or self.trace.truncated

    def number_of_optimizer(self, optimizer: Optimizer) -> int:
        """Return the number of an optimizer, the first being 0."""
        for number, known in enumerate(self.optimizers):
            if known is optimizer:
                return number
        self.optimizers.append(optimizer)
        return len(self.optimizers) - 1

    def add(self, kind: type[Event], **fields: Any) -> Any:
        """Append an event with the user's line; return it."""
        event = kind(index=len(self.trace.events), line=user_line(), **fields)
        self.trace.events.append(event)
        return event

    @property
    def last(self) -> Event | None:
        """The last event."""
        return self.trace.events[-1] if self.trace.events else None

    def end(self) -> None:
        """Record no more; the run goes on."""
        self.trace.truncated = self.is_quiet = True
