"""Ctrl-C and SIGTERM while a run keeps checkpoints: a wish that is granted between two updates, once the state is on disk."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGTERM_EXIT_CODE = 128 + signal.SIGTERM  # as a shell has it


class SignalHandler:
    """Note a signal in place of being stopped by it; a second one does what it would have done without us.

    Only the main thread can, and a signal that is ignored, or handled by something that is not Python, stays as it is.

    Attributes
    ----------
    signal_number : the signal, None as long as there was none.
    is_single : whether it is for this process alone to grant the wish; of several that take steps together all have to have `is_agreed`.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.is_single, self.is_agreed = True, False
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if before is not None and before != signal.SIG_IGN:
                    self._previous_handlers[number] = before
                    signal.signal(number, self._note)
        return self

    @property
    def is_due(self) -> bool:
        """Whether it is time to stop."""
        return self.signal_number is not None if self.is_single else self.is_agreed

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore_handlers()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, before in self._previous_handlers.items():
            signal.signal(number, before)
        self._previous_handlers = {}

    def raise_pending(self, said: str) -> None:
        """Stop the run for the signal that was met: KeyboardInterrupt for Ctrl-C, the end of the process for SIGTERM.

        A handler of the user's for SIGTERM is called instead; if it returns, the run ends by a KeyboardInterrupt.
        """
        interrupt = KeyboardInterrupt(said)
        if self.signal_number == signal.SIGTERM:
            if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                raise SystemExit(_SIGTERM_EXIT_CODE) from interrupt
            signal.raise_signal(signal.SIGTERM)
        raise interrupt
