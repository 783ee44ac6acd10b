"""Handle Ctrl-C and SIGTERM: finish the update, write a checkpoint, then stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_SIGTERM_EXIT_CODE = 128 + signal.SIGTERM  # as in a shell


class SignalHandler:
    """Record a signal instead of stopping; a second one acts as it would without this handler.

    Only the main thread can. A signal that is ignored, or handled outside Python, keeps its handler.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.is_single, self.is_agreed = True, False  # a single process decides alone; others stop together, once all agree
        self._previous_handlers: dict[int, Any] = {}

    def install(self) -> None:
        """Take over the handlers of Ctrl-C and SIGTERM."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if before is not None and before != signal.SIG_IGN:
                    self._previous_handlers[number] = before
                    signal.signal(number, self._note)

    def uninstall(self) -> None:
        """Restore the handlers of before."""
        for number, before in self._previous_handlers.items():
            signal.signal(number, before)
        self._previous_handlers = {}

    @property
    def is_due(self) -> bool:
        """Whether it is time to stop."""
        return self.signal_number is not None if self.is_single else self.is_agreed

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self.uninstall()

    def raise_pending(self, message: str) -> None:
        """Stop the run for the recorded signal: KeyboardInterrupt for Ctrl-C, the end of the process for SIGTERM.

        A user's own handler of SIGTERM is called instead; if it returns, the run raises a KeyboardInterrupt.
        """
        interrupt = KeyboardInterrupt(message)
        if self.signal_number == signal.SIGTERM:
            if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                raise SystemExit(_SIGTERM_EXIT_CODE) from interrupt
            signal.raise_signal(signal.SIGTERM)
        raise interrupt
