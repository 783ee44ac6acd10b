"""The source of a loaded or merged fit, which has no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from squarely.data.source import Source
from squarely.errors import DataError


class DetachedSource(Source):
    """The name and columns of data whose rows are not available; `file` is the file of the loaded fit."""

    def __init__(
        self, label: str, columns: Mapping[str, str], notes: tuple[str, ...] = (), file: str = "", *, is_redrawn: bool = False
    ) -> None:
        self._is_redrawn = is_redrawn
        self.label, self.notes, self.file = label, notes, file
        self.columns = dict(columns)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> NoReturn:
        raise DataError(
            f"This needs the rows of {self.label}, which a loaded or merged result does not have. Fit the data again; predictions "
            "need only new rows."
        )

    @property
    def is_redrawn(self) -> bool:
        return self._is_redrawn

    def kind(self, name: str) -> NoReturn:
        self.read([name])
