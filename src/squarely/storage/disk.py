"""Files and folders of our own: written whole or not at all, and small texts read with a bound on their size."""

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
    """Give the path of a file that may be written, links followed.

    Raises
    ------
    DataError : it is a folder or no regular file, or the folder that it would be in is not there.
    """
    target = local_path(path)
    if not target.parent.is_dir():
        raise DataError(f"The folder {str(target.parent)!r} does not exist. Make it first, or write to another one.")
    if target.is_dir():
        raise DataError(f"{str(path)!r} is a folder. Give the name of a file in it.")
    if target.exists() and not target.is_file():
        raise DataError(f"{str(path)!r} is not a regular file, and writing would replace it. Give the name of another file.")
    return target.resolve()


@contextmanager
def replacement(target: Path) -> Iterator[Path]:
    """Give a name beside the target; what was written there takes its place, or is removed if anything goes wrong."""
    part = target.with_name(f".squarely-{secrets.token_hex(8)}.part")  # a name of its own for each writer
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text atomically: what was there before stays as it is until all of the new text is on disk.

    Raises
    ------
    DataError : the folder is not there, the file cannot be written, or the text is larger than what `read_text` reads back.
    """
    target = writable_path(path)
    if len(text) > _MAX_CHARACTERS:
        raise DataError(
            f"{str(path)!r} was not written: it would have {len(text):,} characters, and {_MAX_CHARACTERS:,} are read back."
        )
    try:
        with replacement(target) as part, part.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(
            f"{str(path)!r} was not written: {error.strerror or error}. What was there before, if anything, is whole."
        ) from error


def printable_name(text: str) -> str:
    r"""Give a name as messages and files of our own can have it: bytes in it that are not UTF-8 are written as \xe4.

    >>> printable_name("Stra\udcdfe.csv")
    'Stra\\xdfe.csv'
    """
    return os.fsencode(text).decode("utf-8", "backslashreplace")


@cache
def plain_path(path: Path) -> Path:
    """Give the path itself, or a link to it where it has a name that is not UTF-8, which the engines refuse."""
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
    """Give a path on this machine, with `~` as the home folder.

    Raises
    ------
    DataError : it is no path, or there is no such user.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise DataError(f"{path!r} is no path, but of type {type(path).__name__}. Give the path of a file as text or as a Path.")
    text = os.fsdecode(path)
    if "\0" in text:
        raise DataError(f"The path {text!r} has a null character in it. Give the path of a file.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DataError(f"The path {text!r} begins with ~ and a name that is no user's here. Write the folder out.") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text.

    Raises
    ------
    DataError : there is no such file, it is not text, or it is beyond 256 MiB.
    """
    target = local_path(path)
    if not target.is_file():
        raise DataError(
            f"The file {str(target)!r} {'is a folder' if target.is_dir() else 'does not exist'}. Give the path of a file."
        )
    if target.stat().st_size > _MAX_CHARACTERS:
        raise DataError(
            f"The file {str(target)!r} has {target.stat().st_size:,} bytes, more than the {_MAX_CHARACTERS:,} that are read."
        )
    try:
        return target.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"The file {str(target)!r} is not text in UTF-8. Give another file.") from error
    except OSError as error:
        raise DataError(f"The file {str(target)!r} cannot be read: {error.strerror}.") from error


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Give the path of a folder that files can be written to, made if it is not there.

    Raises
    ------
    DataError : it is a file, or nothing can be made in it.
    """
    target = local_path(path)
    if target.exists() and not target.is_dir():
        raise DataError(f"{str(path)!r} is a file. Give the path of a folder.")
    probe = target / f".squarely-{secrets.token_hex(8)}.part"
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise DataError(
            f"Nothing can be written to the folder {str(path)!r}: {error.strerror or error}. Give another one."
        ) from error
    return target.resolve()


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files atomically: all of them are on disk when it appears; one that had its name goes.

    Raises
    ------
    OSError : it was not written, and nothing of it is left.
    """
    part, gone = (target.with_name(f".squarely-{secrets.token_hex(8)}.part") for _ in range(2))
    try:
        part.mkdir()
        for name, content in files.items():
            with (part / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(part)
        if target.exists():
            target.rename(gone)
        part.rename(target)
        _sync(target.parent)
    finally:
        for left in (part, gone):
            shutil.rmtree(left, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder."""
    for left in folder.glob(".squarely-*.part"):
        shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have the entries of a folder on disk; only POSIX can tell a system so."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
