"""Delta and Iceberg tables, read by their own logs through deltalake and pyiceberg, one snapshot of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from squarely.data.files.lake.detection import DELTA, ICEBERG, alternative
from squarely.data.frames.arrow_dataset import ArrowDatasetSource
from squarely.data.source import Source
from squarely.errors import DataError, MissingExtraError, first_line
from squarely.storage.disk import printable_name

_PACKAGES = {DELTA: ("deltalake", "delta"), ICEBERG: ("pyiceberg", "iceberg")}  # each with its extra of squarely
_METADATA = re.compile(r"v?(\d+)(-.*)?(\.gz)?\.metadata\.json(\.gz)?")


def open_lake_table(folder: Path, kind: str, label: str) -> Source:
    """Open the newest snapshot of a table; later changes of the table have no effect.

    Raises
    ------
    MissingExtraError : the package that reads it is not installed.
    DataError : the table is damaged, or has a feature that the package does not support.
    """
    package, extra = _PACKAGES[kind]
    try:
        dataset, note = _open_delta(folder) if kind == DELTA else _open_iceberg(folder)
    except ImportError:
        raise MissingExtraError(f"Reading {kind}", package, extra) from None
    except Exception as error:  # errors without a common base; a damaged manifest raises EOFError, SystemError or zlib.error too
        raise DataError(
            f"The folder {label!r} is {kind} that {package} cannot read: {first_line(error)}. Read it with "
            f"{alternative(kind, label)}, and pass the result as the data."
        ) from error
    source = ArrowDatasetSource(dataset, printable_name(label))
    source.notes = (note,)
    return source


def _open_delta(folder: Path) -> tuple[Any, str]:
    from deltalake import DeltaTable

    table = DeltaTable(str(folder))
    return table.to_pyarrow_dataset(), f"version {table.version():,} of a Delta table"


class _IcebergSnapshot:
    """What `ArrowDatasetSource` needs of a dataset, from a scan of pyiceberg."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.schema = table.scan().to_arrow_batch_reader().schema

    def scanner(self, columns: list[str], batch_size: int) -> _IcebergSnapshot:
        """Choose columns; the batches are as large as those of the files."""
        chosen = _IcebergSnapshot.__new__(_IcebergSnapshot)
        chosen._table, chosen.schema = self._table.scan(selected_fields=tuple(columns or self.schema.names[:1])), self.schema
        return chosen

    def to_batches(self) -> Any:
        """Return the batches of the chosen columns, in the order of the manifests."""
        return self._table.to_arrow_batch_reader()


def _open_iceberg(folder: Path) -> tuple[Any, str]:
    from pyiceberg.table import StaticTable

    newest = _find_metadata(folder / "metadata")
    return _IcebergSnapshot(StaticTable.from_metadata(str(newest))), f"{newest.name!r}, the newest metadata of an Iceberg table"


def _find_metadata(folder: Path) -> Path:
    """Return the metadata file with the highest number; a number that two files have leaves open which is the table."""
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := _METADATA.fullmatch(path.name))]
    highest = max(number for number, _ in numbered)
    newest = [path for number, path in numbered if number == highest]
    if len(newest) > 1:
        raise ValueError(
            f"{newest[0].name!r} and {newest[1].name!r} have the same number, and only the catalog knows which is the table"
        )
    return newest[0]
