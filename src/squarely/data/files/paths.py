"""Which files a pattern, a folder or a list names: in an order of their own, and the same ones at every scan."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from squarely.data.files.hive_partitions import read_folder_keys
from squarely.data.files.lake_formats import require_no_lake_table
from squarely.data.files.local_file import SUFFIXES, LocalFile, named_kind
from squarely.errors import DataError, pluralize
from squarely.storage.disk import local_path, printable_name

_GLOB_SIGNS = "*?["
_HIDDEN_PREFIXES = (".", "_")  # marks and checksums of the programs that write folders of data
_ENDINGS = ", ".join(SUFFIXES)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FileSet:
    """Several files, whose rows follow each other.

    Attributes
    ----------
    label : what messages call them all.
    files : the files in the order of their rows.
    notes : how they were put in order, and what was left out.
    folders : for each file the keys and values of its folders called key=value, below the folder that was given.
    folder_keys : the keys of such folders above, which all files lie in.
    find_paths : finds the paths again.
    """

    label: str
    files: tuple[LocalFile, ...]
    notes: tuple[str, ...]
    folders: tuple[Mapping[str, str], ...]
    folder_keys: frozenset[str]
    find_paths: Callable[[], list[Path]]

    def require_unchanged(self) -> None:
        """Raise a DataError if a file has come, gone or changed since they were opened."""
        before, now = [file.given_path for file in self.files], self.find_paths()
        if gone := sorted(set(before).difference(now)):
            raise DataError(
                f"The file {str(gone[0])!r} of {self.label} is not there any more, and its rows are needed again. "
                "Put it back and open them again."
            )
        if new := sorted(set(now).difference(before)):
            raise DataError(
                f"The file {str(new[0])!r} has come to {self.label} since it was opened, so two scans would not see the same rows. "
                "Wait until all files are complete and open them again."
            )
        for file in self.files:
            file.require_unchanged()


def is_pattern(text: str) -> bool:
    """Tell whether a path stands for all files whose names fit; one that is there as it is written does not."""
    return any(sign in text for sign in _GLOB_SIGNS) and not os.path.lexists(local_path(text))


def find_files(texts: Sequence[str], *, is_list: bool) -> FileSet:
    """Find the files that paths, patterns and folders name: `is_list` in a list, whose order is kept, or by a single one of them.

    The files of a pattern or a folder come in the order of their paths, as text. In a folder, those in its folders count too;
    names that begin with a dot or an underscore do not, nor do those whose ending is none of data.

    Raises
    ------
    DataError : there is no such file, or one is named twice.
    """
    places = [(text, local_path(text).absolute()) for text in texts]

    def look() -> list[Path]:
        return [path for text, place in places for path in _find_named(text, place)]

    paths = look()
    require_no_lake_table(paths)
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    files = tuple(LocalFile.open(path, os.path.relpath(path, shared)) for path in paths)
    _require_once(files)
    label = files[0].label + (f" and {pluralize(len(files) - 1, 'other file')}" if len(files) > 1 else "") if is_list else texts[0]
    order = "" if len(files) == 1 else " in the order given" if is_list else " in the order of their names"
    notes = (f"{pluralize(len(files), 'file')}{order}", *_describe_skipped([place for _, place in places]))
    # The keys of one folder or pattern begin where it does; those of a list where its paths part.
    begin = shared if is_list else places[0][1] if os.path.isdir(places[0][1]) else _pattern_folder(places[0][1])
    folders = tuple(read_folder_keys(path.parent.relative_to(begin)) for path in paths)
    keys = list(dict.fromkeys(key for each in folders for key in each))
    notes += (f"{' and '.join(map(repr, keys))} from the names of folders",) if keys else ()
    return FileSet(
        label=printable_name(label),
        files=files,
        notes=notes,
        folders=folders,
        folder_keys=frozenset(read_folder_keys(begin)),
        find_paths=look,
    )


def _find_named(text: str, path: Path) -> list[Path]:
    if os.path.isdir(path):
        return _list_folder(text, path)
    return _match_pattern(text, path) if is_pattern(str(path)) else [path]


def _match_pattern(text: str, path: Path) -> list[Path]:
    folder = _pattern_folder(path)
    met = [folder / name for name in glob.glob(str(path.relative_to(folder)), root_dir=folder, recursive=True)]
    files = sorted((one for one in met if not os.path.isdir(one)), key=str)
    if not files:
        inside = (
            f"It fits folders only: {text.rstrip('/') + '/*'!r} are the files in them." if met else "Check its folders and name."
        )
        raise DataError(f"The pattern {text!r} fits no file. {inside} In it, * stands for any letters and ** for any folders.")
    return files


def _pattern_folder(pattern: Path) -> Path:
    """Give the folder that a pattern begins in: what is there literally is none, so data[1] may hold the files of *.csv."""
    return next(parent for parent in pattern.parents if os.path.isdir(parent))


def _list_folder(text: str, path: Path) -> list[Path]:
    files = [file for file in _walk(path) if named_kind(file.name)]
    if not files:
        others = [file.name for file in _walk(path)]
        found = f"only others, such as {others[0]!r}" if others else "no others either"
        raise DataError(
            f"The folder {text!r} has no data in it: there is no file whose name ends in one of {_ENDINGS}, and {found}. "
            "Give another folder, or a pattern such as 'folder/*.txt' for files of other names."
        )
    return files


def _walk(folder: Path) -> list[Path]:
    """Give the files in a folder and the folders in it, sorted, without those whose names begin with a dot or an underscore."""
    found = []
    try:
        for here, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(_HIDDEN_PREFIXES)]
            found += [Path(here, name) for name in names if not name.startswith(_HIDDEN_PREFIXES)]
    except OSError as error:
        raise DataError(
            f"The folder {str(error.filename or folder)!r} cannot be read: {error.strerror or error}. Check its rights."
        ) from error
    return sorted(found, key=str)


def _raise(error: OSError) -> None:
    raise error


def _describe_skipped(places: Sequence[Path]) -> list[str]:
    """Say which files of the folders were taken for none of data."""
    others = [file.name for place in places if os.path.isdir(place) for file in _walk(place) if not named_kind(file.name)]
    return [f"{pluralize(len(others), 'file')} of the folder left out, such as {others[0]!r}"] if others else []


def _require_once(files: Sequence[LocalFile]) -> None:
    met: dict[Path, str] = {}
    for file in files:
        if file.path in met:
            other = met[file.path]
            twice = "is given twice" if other == file.label else f"is the same file as {other!r}"
            raise DataError(f"{file.label!r} {twice}, and its rows would count twice. Give each file once.")
        met[file.path] = file.label
