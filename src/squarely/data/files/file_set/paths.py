"""Find the files of a pattern, a folder or a list, put them in order, and check that they stay the same."""

from __future__ import annotations

import filecmp
import glob
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from squarely.data.files.file_kinds import SUFFIXES, named_kind
from squarely.data.files.file_set.hive_partitions import read_folder_keys
from squarely.data.files.lake.detection import require_no_lake_table
from squarely.data.files.local_file import LocalFile
from squarely.data.files.staging.pipe import STANDARD_INPUT, copy_pipe, copy_standard_input, is_pipe
from squarely.errors import DataError, pluralize
from squarely.storage.disk import local_path, printable_name

_GLOB_SIGNS = "*?["
_MOST_COPIES = 3  # pairs that are named
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH_OF_URL = re.compile(r"(https?|s3|gs):/(?!/)")
_FILE_URL = re.compile(r"file://(localhost)?(?=/)", re.I)
_HIDDEN_PREFIXES = (".", "_", "~$")  # markers and checksums of the programs that write folders of data; ~$: open in Excel


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FileSet:
    """Several files, whose rows follow each other.

    Attributes
    ----------
    label : the name of all of them in messages.
    files : the files, in the order of their rows.
    notes : their order, and the number of files that were left out, for the summary.
    folders : for each file the keys and values of its key=value folders, below the folder that the user gave.
    folder_keys : the keys of such folders above it, which hold all files.
    find_paths : function that finds the paths again.
    """

    label: str
    files: tuple[LocalFile, ...]
    notes: tuple[str, ...]
    folders: tuple[Mapping[str, str], ...]
    folder_keys: frozenset[str]
    find_paths: Callable[[], list[Path]]

    def require_unchanged(self) -> None:
        """Raise a DataError if a file was added, removed or changed since they were opened."""
        before, now = {file.given_path for file in self.files}, set(self.find_paths())
        if gone := sorted(before - now):
            raise DataError(
                f"The file {str(gone[0])!r} of {self.label} no longer exists, and its rows are needed again. "
                "Restore it and open them again."
            )
        if new := sorted(now - before):
            raise DataError(
                f"The file {str(new[0])!r} was added to {self.label} after it was opened, so two scans would read different rows. "
                "Wait until all files are complete and open them again."
            )
        for file in self.files:
            file.require_unchanged()


def is_pattern(text: str) -> bool:
    """Return whether a path is a pattern; a path that exists as it is written is none."""
    return any(sign in text for sign in _GLOB_SIGNS) and not os.path.lexists(local_path(text))


def copy_remote(text: str) -> LocalFile | None:
    """Copy what a URL, a pipe or "-" (standard input) stands for to a temporary file; return None for any other path."""
    if text == STANDARD_INPUT:
        return copy_standard_input()
    if _URL.match(text):
        from squarely.data.files.staging.remote import download  # libraries for networks take time to import

        return download(text)
    if _PATH_OF_URL.match(text):
        raise DataError(f"{text!r} is a URL with one slash too few, as Path makes it. Give the URL as text.")
    return copy_pipe(local_path(text)) if is_pipe(local_path(text)) else None


def plain_file_path(text: str) -> str:
    """Return the path of a URL such as file:///data/cars.csv, and any other text unchanged.

    >>> plain_file_path("file:///my%20data/cars.csv"), plain_file_path("cars.csv")
    ('/my data/cars.csv', 'cars.csv')
    """
    return unquote(_FILE_URL.sub("", text)) if _FILE_URL.match(text) else text


def find_files(texts: Sequence[str], *, is_list: bool) -> FileSet:
    """Find the files of a list of paths, URLs, patterns and folders, in list order; or of a single one (`is_list` False).

    The files of a pattern or a folder are sorted by path, as text. A folder includes its subfolders, but not files whose
    name begins with a dot or an underscore, or ends in none of `SUFFIXES`. No file at all, or one given twice, is a DataError.
    """
    copies = {text: copy for text in dict.fromkeys(texts) if is_list and (copy := copy_remote(text)) is not None}
    places = [(text, copies[text].path if text in copies else local_path(text).absolute()) for text in texts]

    def find_paths() -> list[Path]:
        return [path for text, place in places for path in _find_named(text, place)]

    paths = find_paths()
    by_path = {copy.path: copy for copy in copies.values()}
    local = [path for path in paths if path not in by_path]
    require_no_lake_table(local)
    shared = Path(os.path.commonpath([path.parent for path in local])) if local else Path()
    files = tuple(by_path.get(path) or LocalFile.open(path, os.path.relpath(path, shared)) for path in paths)
    _require_once(files)
    label = files[0].label + (f" and {pluralize(len(files) - 1, 'other file')}" if len(files) > 1 else "") if is_list else texts[0]
    order = "" if len(files) == 1 else " in the order given" if is_list else " in the order of their names"
    notes: tuple[str, ...] = (f"{pluralize(len(files), 'file')}{order}",)
    walked = [file.name for _, place in places if os.path.isdir(place) for file in _walk(place)]
    notes += _describe_copies(files)
    if others := [name for name in walked if not named_kind(name)]:
        notes += (f"{pluralize(len(others), 'file')} of the folder left out, such as {others[0]!r}",)
    # The keys of a folder or pattern are those below it; the keys of a list are those below the common folder.
    begin = shared if is_list else places[0][1] if os.path.isdir(places[0][1]) else _pattern_folder(places[0][1])
    folders = tuple({} if path in by_path else read_folder_keys(path.parent.relative_to(begin)) for path in paths)
    keys = list(dict.fromkeys(key for each in folders for key in each))
    if keys:
        notes += (f"{' and '.join(map(repr, keys))} from the names of folders",)
    return FileSet(
        label=printable_name(label),
        files=files,
        notes=notes,
        folders=folders,
        folder_keys=frozenset(read_folder_keys(begin)),
        find_paths=find_paths,
    )


def _find_named(text: str, path: Path) -> list[Path]:
    if os.path.isdir(path):
        return _list_folder(text, path)
    return _match_pattern(text, path) if is_pattern(str(path)) else [path]


def _match_pattern(text: str, path: Path) -> list[Path]:
    folder = _pattern_folder(path)
    found = [folder / name for name in glob.glob(str(path.relative_to(folder)), root_dir=folder, recursive=True)]
    files = sorted((one for one in found if not os.path.isdir(one)), key=str)
    if not files:
        if found:
            raise DataError(f"The pattern {text!r} matches folders only. Give {text.rstrip('/') + '/*'!r} for the files in them.")
        raise DataError(
            f"The pattern {text!r} matches no file. Check its folders and name; * stands for any letters and ** for any folders."
        )
    return files


def _pattern_folder(pattern: Path) -> Path:
    """Return the deepest existing folder of a pattern; it may have a name such as data[1]."""
    return next(parent for parent in pattern.parents if os.path.isdir(parent))


def _list_folder(text: str, path: Path) -> list[Path]:
    files = [file for file in _walk(path) if named_kind(file.name)]
    if not files:
        others = [file.name for file in _walk(path)]
        found = f"only others, such as {others[0]!r}" if others else "nor any other file"
        raise DataError(
            f"The folder {text!r} has no file whose name ends in one of {', '.join(SUFFIXES)}, {found}. "
            f"Give another folder, or a pattern such as {os.path.join(text, '*')!r} for files with other names."
        )
    return files


def _walk(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders, sorted, without names that begin with a dot or an underscore."""

    def refuse(error: OSError) -> None:
        raise DataError(
            f"The folder {str(error.filename or folder)!r} cannot be read: {error.strerror or error}. Check its permissions."
        ) from error

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN_PREFIXES)]
        found += [Path(parent, name) for name in names if not name.startswith(_HIDDEN_PREFIXES)]
    return sorted(found, key=str)


def _describe_copies(files: Sequence[LocalFile]) -> tuple[str, ...]:
    """Name two files with the same content, or whose names differ only in .gz: their rows may count twice."""
    notes, by_size, by_name = [], dict[int, LocalFile](), dict[Path, LocalFile]()
    for file in files:
        same_size = by_size.setdefault(file.stamp[2], file)
        if same_size is not file and filecmp.cmp(same_size.path, file.path, shallow=False):
            notes.append(f"{same_size.label!r} and {file.label!r}, which have the same content, so their rows count twice")
        same_name = by_name.setdefault(file.given_path.with_name(file.given_path.name.removesuffix(".gz")), file)
        if same_name is not file:
            notes.append(f"{same_name.label!r} and {file.label!r}, whose rows count twice if one is a compressed copy of the other")
    more = (f"{len(notes) - _MOST_COPIES:,} more such pairs",) if len(notes) > _MOST_COPIES else ()
    return (*notes[:_MOST_COPIES], *more)


def _require_once(files: Sequence[LocalFile]) -> None:
    by_path: dict[Path, LocalFile] = {}
    for file in files:
        if (other := by_path.get(file.path)) is not None:
            twice = "is given twice" if other.label == file.label else f"is the same file as {other.label!r}"
            raise DataError(f"{file.label!r} {twice}, and its rows would count twice. Give each file once.")
        by_path[file.path] = file
