"""Write files and folders atomically, and read small text files with a limit on their size."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from squarely.errors import DataError

_MAX_CHARACTERS = 256 * 2**20


def writable_path(path: str | os.PathLike[str]) -> Path:
    """Return the resolved path of a file that may be written.

    Raises
    ------
    DataError : it is a folder or not a regular file, or its folder does not exist.
    """
    target = local_path(path)
    if not target.parent.is_dir():
        raise DataError(f"The folder {str(target.parent)!r} does not exist. Create it, or write to another folder.")
    if target.is_dir():
        raise DataError(f"{str(path)!r} is a folder. Give the name of a file in it.")
    if target.exists() and not target.is_file():
        raise DataError(f"{str(path)!r} is not a regular file, and writing would replace it. Give the name of another file.")
    return target.resolve()


@contextmanager
def replacement(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside the target; the file written there replaces it, or is removed after an error."""
    part = target.with_name(f".squarely-{secrets.token_hex(8)}.part")  # unique for each writer
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text atomically: a file at the path is replaced once all of the text is on disk.

    Raises
    ------
    DataError : the file cannot be written, or the text is longer than `read_text` accepts.
    """
    if len(text) > _MAX_CHARACTERS:
        raise DataError(
            f"{str(path)!r} was not written: it would have {len(text):,} characters, and the limit is {_MAX_CHARACTERS:,}."
        )
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: a file at the path is replaced once all of the content is on disk.

    Raises
    ------
    DataError : the file cannot be written.
    """
    target = writable_path(path)
    try:
        with replacement(target) as part:
            _write_synced(part, content)
    except OSError as error:
        raise DataError(f"{str(path)!r} was not written: {error.strerror or error}. A file of this name is unchanged.") from error


def printable_name(text: str) -> str:
    r"""Return a name for messages and files, with bytes that are not UTF-8 written as \xe4.

    >>> printable_name("Stra\udcdfe.csv")
    'Stra\\xdfe.csv'
    """
    return os.fsencode(text).decode("utf-8", "backslashreplace")


@cache
def plain_path(path: Path) -> Path:
    """Return the path, or a link to it if its name is not UTF-8, which engines refuse."""
    if printable_name(str(path)) == str(path):
        return path
    folder = Path(tempfile.mkdtemp(prefix="squarely-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = folder / f"file{''.join(path.suffixes[-2:])}"
    if printable_name(link.name) != link.name:
        link = folder / "file"
    link.symlink_to(path)
    return link


def local_path(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Path:
    """Return a path on this machine, with `~` expanded.

    Raises
    ------
    DataError : it is not a path, or the user after `~` does not exist.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise DataError(
            f"{path!r} has type {type(path).__name__}, not that of a path. Give the path of a file as text or as a Path."
        )
    text = os.fsdecode(path)
    if "\0" in text:
        raise DataError(f"The path {text!r} has a null character in it. Give the path of a file.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DataError(f"The path {text!r} begins with ~ and the name of an unknown user. Write the folder out.") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file.

    Raises
    ------
    DataError : the file does not exist, is not text, or exceeds 256 MiB.
    """
    target = local_path(path)
    if not target.is_file():
        raise DataError(
            f"The file {str(target)!r} {'is a folder' if target.is_dir() else 'does not exist'}. Give the path of a file."
        )
    if target.stat().st_size > _MAX_CHARACTERS:
        raise DataError(f"The file {str(target)!r} has {target.stat().st_size:,} bytes, and the limit is {_MAX_CHARACTERS:,}.")
    try:
        return target.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"The file {str(target)!r} is not text in UTF-8. Give another file.") from error
    except OSError as error:
        raise DataError(f"The file {str(target)!r} cannot be read: {error.strerror}.") from error


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Return the resolved path of a writable folder, which is created if it does not exist.

    Raises
    ------
    DataError : it is a file, or it is not writable.
    """
    target = local_path(path)
    if target.exists() and not target.is_dir():
        raise DataError(f"{str(path)!r} is a file. Give the path of a folder.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".squarely-", suffix=".part", dir=target).cleanup()
    except OSError as error:
        raise DataError(f"The folder {str(path)!r} is not writable: {error.strerror or error}. Give another one.") from error
    return target.resolve()


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files atomically: it appears, or replaces one of its name, once all files are on disk.

    Raises
    ------
    OSError : it was not written, and its temporary files are removed.
    """
    part, replaced = (target.with_name(f".squarely-{secrets.token_hex(8)}.part") for _ in range(2))
    try:
        part.mkdir()
        for name, content in files.items():
            _write_synced(part / name, content)
        _sync(part)
        if target.exists():
            target.rename(replaced)
        part.rename(target)
        _sync(target.parent)
    finally:
        for folder in (part, replaced):
            shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary folders of killed writers."""
    for part in folder.glob(".squarely-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Flush the entries of a folder to disk, which only POSIX supports."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
