"""Small texts on disk: written whole or not at all, and read with a bound on their size."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from squarely.errors import DataError

_LARGEST = 256 * 2**20


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text atomically: what was there before stays as it is until all of the new text is on disk.

    Raises
    ------
    DataError : the folder is not there, or the file cannot be written.
    """
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise DataError(f"The folder {str(target.parent)!r} does not exist, so {target.name!r} cannot be written. Make it first.")
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".", delete=False) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"The file {str(target)!r} cannot be written: {error.strerror}. Nothing was changed.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text.

    Raises
    ------
    DataError : there is no such file, it is not text, or it is beyond 256 MiB.
    """
    target = Path(path).expanduser()
    if not target.is_file():
        raise DataError(
            f"The file {str(target)!r} {'is a folder' if target.is_dir() else 'does not exist'}. Give the path of a file."
        )
    if target.stat().st_size > _LARGEST:
        raise DataError(f"The file {str(target)!r} has {target.stat().st_size:,} bytes, more than the {_LARGEST:,} that are read.")
    try:
        return target.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"The file {str(target)!r} is not text in UTF-8. Give another file.") from error
    except OSError as error:
        raise DataError(f"The file {str(target)!r} cannot be read: {error.strerror}.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
