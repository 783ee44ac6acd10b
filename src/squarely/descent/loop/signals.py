"""Ctrl-C and SIGTERM while a run keeps checkpoints: a wish that is granted between two updates, once the state is on disk."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_TERMINATED = 128 + signal.SIGTERM  # as a shell has it


class Halting:
    """Note a signal in place of being stopped by it; a second one does what it would have done without us.

    Only the main thread can, and a signal that is ignored, or handled by something that is not Python, stays as it is.

    Attributes
    ----------
    met : the signal, None as long as there was none.
    alone : whether it is for this process alone to grant the wish; of several that take steps together all have to have `agreed`.
    """

    def __init__(self) -> None:
        self.met: int | None = None
        self.alone, self.agreed = True, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Halting:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if before is not None and before != signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    @property
    def due(self) -> bool:
        """Whether it is time to stop."""
        return self.met is not None if self.alone else self.agreed

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._step_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.met = number
        self._step_back()

    def _step_back(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def grant(self, said: str) -> None:
        """Stop the run for the signal that was met: KeyboardInterrupt for Ctrl-C, the end of the process for SIGTERM.

        A handler of the user's for SIGTERM is called instead; if it returns, the run ends by a KeyboardInterrupt.
        """
        interrupt = KeyboardInterrupt(said)
        if self.met == signal.SIGTERM:
            if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                raise SystemExit(_TERMINATED) from interrupt
            signal.raise_signal(signal.SIGTERM)
        raise interrupt
