"""The graphs of predictions: which forward pass made a node, and how many graphs stay in memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

_KEY = "squarely"
_MAX_COLLECTIONS = 10  # of garbage, each of which takes a tenth of a second


class _Mark:
    """Lies in the metadata of a node, and so lives as long as the graph."""

    __slots__ = ("__weakref__", "forward", "turn")

    def __init__(self, forward: int, turn: int) -> None:
        self.forward, self.turn = forward, turn


class Graphs:
    """Maps nodes of autograd to forward passes, and counts graphs that later training keeps in memory.

    A turn begins with the first forward pass after a backward pass. A loop that drops its graphs has those of this turn and of the
    turn before.

    Attributes
    ----------
    alive : the largest number of older graphs at one time.
    kept : how many graphs became older than that.
    turn : the number of this turn.
    backward_is_last : whether no forward pass has followed the last backward pass.
    """

    def __init__(self) -> None:
        self.alive = self.kept = 0
        self.turn = 0
        self.backward_is_last = False
        self._collections = 0
        self._marks: list[weakref.ref[_Mark]] = []
        self._old: set[int] = set()

    def __contains__(self, node: object) -> bool:
        return _KEY in node.metadata  # type: ignore[attr-defined]

    def __getitem__(self, node: Any) -> int:
        return int(node.metadata[_KEY].forward)

    def add(self, node: Any, forward: int) -> None:
        """Note that a forward pass made a node."""
        mark = _Mark(forward, self.turn)
        node.metadata[_KEY] = mark
        self._marks.append(weakref.ref(mark))

    def note_backward(self) -> None:
        """Note that a backward pass ends."""
        self.backward_is_last = True

    def begin_forward(self) -> None:
        """Note that a forward pass begins."""
        if not self.backward_is_last:
            return
        self.backward_is_last = False
        self.turn += 1
        old = self._find_old()
        if len(old) >= max(2, 2 * self.alive) and self._collections < _MAX_COLLECTIONS:
            self._collections += 1
            gc.collect()
            old = self._find_old()
            self.alive = max(self.alive, len(old))
        if self.alive and self._collections < _MAX_COLLECTIONS:
            self.alive = max(self.alive, min(len(old), 2 * self.alive))
            self.kept += len(old - self._old)
            self._old |= old

    def is_old(self, turn: int) -> bool:
        """Return whether a turn is older than the last two."""
        return turn <= self.turn - 2

    def _find_old(self) -> set[int]:
        self._marks = [known for known in self._marks if known() is not None]
        marks = [known() for known in self._marks]
        return {mark.forward for mark in marks if mark is not None and self.is_old(mark.turn)}
