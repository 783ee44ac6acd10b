"""Polars LazyFrames: a plan that Polars carries out again for each scan, in batches and in the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import narwhals as nw
import pyarrow as pa

from squarely.data.file import first_line
from squarely.data.memory import FrameSource, cut
from squarely.data.source import BATCH_ROWS, Kind, Level, Source
from squarely.errors import DataError, SquarelyError


class LazyFrameSource(Source):
    """A Polars LazyFrame. It is never collected as a whole.

    The rows come in the same order each time only if the plan says which: a group_by, unique or join that does not maintain
    the order gives them in another one each time, until a sort follows.
    """

    def __init__(self, frame: nw.LazyFrame[Any]) -> None:
        self.label = "the LazyFrame"
        self._native = frame.to_native()
        self._polars = nw.get_native_namespace(frame)
        try:
            schema = self._native.collect_schema()
        except Exception as error:  # the user's own plan runs here and may raise anything
            raise _failed(error) from error
        self.columns = {name: str(kind) for name, kind in schema.items()}
        empty = nw.from_native(self._polars.DataFrame(schema=schema), eager_only=True)
        self._empty = FrameSource(empty, self.label)  # knows kinds and levels from the schema alone

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order in which Polars gives the rows."""
        names = list(dict.fromkeys((*numbers, *labels))) or list(self.columns)[:1]
        select = self._polars.selectors.by_name(*names)  # a name in a plain select may be taken for a pattern
        try:
            for frame in self._native.select(select).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
                if numbers or labels:
                    yield from FrameSource(nw.from_native(frame, eager_only=True), self.label).read(numbers, labels)
                else:
                    yield from cut([], len(frame))
        except SquarelyError:
            raise
        except Exception as error:
            raise _failed(error) from error

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return self._empty.kind(name)

    def order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of an Enum."""
        return self._empty.order(name)

    def column(self, values: Any, name: str) -> Any:
        """Give values, one for each row, as a Polars series."""
        return self._polars.Series(name, values)


def _failed(error: Exception) -> DataError:
    return DataError(
        f"The LazyFrame cannot be collected in batches: {first_line(error)}. "
        "See that its collect() works and that its files are there; batches need Polars 1.34 or newer."
    )
