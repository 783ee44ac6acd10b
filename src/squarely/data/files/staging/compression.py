"""Decompress files into temporary copies; their checksums are verified. Gzipped text stays as it is: its readers decompress it."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from squarely.data.files.file_kinds import HEAD, detect_compression, detect_kind, named_kind
from squarely.data.files.local_file import LocalFile
from squarely.data.files.staging.temporary_copy import TemporaryCopy, read_pieces, require_disk_space
from squarely.errors import DataError, listed, pluralize
from squarely.storage.disk import printable_name

_IGNORED_MEMBERS = ("__MACOSX/", ".")  # what macOS adds
_CONTENTS = {  # what a zip file is, by the beginning of a name in it
    "xl/workbook.": "Excel", "xl/worksheets/": "Excel", "word/": "Word", "META-INF/": "a Java archive",
}  # fmt: skip


def decompress(file: LocalFile, most: int = 3) -> LocalFile:
    """Return a file whose `path` is a decompressed copy; the same file if it is not compressed, or is gzipped text.

    A compressed file inside is decompressed, too, up to `most` levels: a zip file may have itself inside.

    Raises
    ------
    DataError : it is damaged or cut short, has several members, or its content does not fit on the disk.
    """
    with file.reading("a compressed file"):
        method = detect_compression(file.head(HEAD))
        if method is None or (method == "gzip" and _is_text(read_text_head(file))) or (method == "zip" and detect_zip_kind(file)):
            return file
        if most == 0:
            raise DataError(
                f"The file {file.label!r} is compressed many times over. Unpack it, and give the path of what is in it."
            )
        if method == "zip":
            inner = _unzip(file)
        else:
            try:
                copy = TemporaryCopy(_iter_pieces(file.path, method), file.label)
            except ImportError as error:
                raise DataError(
                    f"The file {file.label!r} is compressed by {method}, which this Python was built without. Decompress it first, "
                    "or use another Python."
                ) from error
            inner = file.with_copy(copy, method, file.name)
    return decompress(inner, most - 1)


def detect_zip_kind(file: LocalFile) -> str | None:
    """Return the kind of a file that is a zip file inside, such as a workbook; None for any other file."""
    if detect_compression(file.head(HEAD)) != "zip":
        return None
    with file.reading("a zip file"), _open_zip(file.path) as archive:
        names = archive.namelist()
        if "mimetype" in names and archive.read("mimetype").startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
            return "Excel"
        if names and all(name.endswith(".npy") for name in names):
            return "NumPy archive"
        return next((kind for name in names for begin, kind in _CONTENTS.items() if name.startswith(begin)), None)


def read_text_head(file: LocalFile) -> bytes:
    """Return the first bytes of a text that may be gzipped."""
    with file.reading("a compressed file" if file.is_gzip else "text"), file.open_content() as opened:
        return opened.read(HEAD)


def _iter_pieces(path: Path, method: str) -> Iterator[bytes]:
    """Yield the decompressed bytes; several streams one after the other are one text."""
    if method == "xz":
        yield from _iter_xz(path)
    elif method == "bz2":
        import bz2  # some builds of Python lack it, and lzma

        with bz2.open(path) as opened:
            yield from read_pieces(opened)
    else:
        with gzip.open(path) if method == "gzip" else pa.CompressedInputStream(pa.OSFile(str(path)), method) as opened:
            yield from read_pieces(opened)


def _iter_xz(path: Path) -> Iterator[bytes]:
    import lzma

    try:
        with lzma.open(path) as opened:
            yield from read_pieces(opened)
    except lzma.LZMAError as error:
        raise EOFError(str(error)) from error


def _unzip(file: LocalFile) -> LocalFile:
    with _open_zip(file.path) as archive:
        members = [each for each in archive.infolist() if not each.is_dir() and not _is_ignored(each.filename)]
        member = _choose_member(members, file.label)
        if member.flag_bits & 1:
            raise DataError(
                f"The file {file.label!r} is a zip file with a password. Unpack it, and give the path of what is in it."
            )
        require_disk_space(member.file_size, file.label)
        try:
            with archive.open(member) as opened:
                copy = TemporaryCopy(read_pieces(opened), file.label)
        except RuntimeError as error:  # deflate64, for example, or a module that this Python lacks
            raise DataError(
                f"The file {file.label!r} is compressed in a way that Python cannot read: {error}. Unpack it, and give the path of "
                "the file in it."
            ) from error
    others = [each for each in members if each is not member]
    notes: tuple[str, ...] = ()
    if others:
        notes = (f"{pluralize(len(others), 'file')} of the zip file left out, such as {printable_name(others[0].filename)!r}",)
    return file.with_copy(copy, "zip", member.filename, notes)


def _is_text(head: bytes) -> bool:
    return detect_kind(head) is None and detect_compression(head) is None


@contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise EOFError(str(error)) from error


def _is_ignored(name: str) -> bool:
    return name.startswith(_IGNORED_MEMBERS) or "/." in name


def _choose_member(members: Sequence[zipfile.ZipInfo], label: str) -> zipfile.ZipInfo:
    """Choose the only member, or the only one whose name is that of a table."""
    tables = [member for member in members if named_kind(member.filename)] or list(members)
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise DataError(f"The zip file {label!r} has no file in it. Give a file with column names and rows.")
    names = [printable_name(member.filename) for member in tables]
    raise DataError(
        f"The zip file {label!r} has {len(names):,} tables: {listed(map(repr, names))}. Unpack it (unzip {label}) and give the "
        "path of one of them, or of the folder."
    )
