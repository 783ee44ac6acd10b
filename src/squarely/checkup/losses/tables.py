"""Read losses from whatever a user has: numbers, frames, CSV and JSON files, logs, standard input."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from squarely.checkup.losses.log_text import choose_name, read_log
from squarely.checkup.losses.series import LossSeries, make_series
from squarely.errors import DataError, OptionError, first_line, show_value

_STEPS = ("epoch", "epochs", "step", "steps", "global_step", "trainer/global_step", "iteration", "iter", "batch", "_step")
_LARGEST = 2**28  # characters of a log
_SENTENCE = re.compile(r"[:=]\s*[\[(]?\s*[-+.\d]|[:=]\s*(?:nan|inf)|\d\.\d", re.IGNORECASE)  # a line of a log, not a header
_ENDINGS = (".csv", ".tsv", ".txt", ".log", ".json", ".jsonl", ".ndjson", ".out")


def read_losses(losses: object, column: str | None = None) -> LossSeries:
    """Read losses from a list, an array, a frame, a dict, a path, the text of a log, or "-" for standard input.

    Raises
    ------
    DataError : there is no such file, or no loss in it.
    OptionError : `column` is not text.

    >>> read_losses([0.5, 0.4]).found
    'the numbers'
    >>> read_losses({"epoch": [0, 50], "train_loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}).found
    "column 'train_loss' of the table"
    """
    if column is not None and not isinstance(column, str):
        raise OptionError(f"column={show_value(column)} is not text. Give the name of a column, such as column='loss'.")
    if isinstance(losses, str | os.PathLike):
        return _read_text(losses, column)
    if isinstance(losses, Mapping):
        return _choose_column({str(name): _as_list(values, str(name)) for name, values in losses.items()}, "the table", column)
    if hasattr(losses, "columns") and not callable(losses.columns):
        frame: Any = losses
        names = list(frame.columns)
        return _choose_column({str(name): list(frame[name]) for name in names}, "the data frame", column)
    rows = _as_list(losses)
    if rows and isinstance(rows[0], Mapping):
        return _choose_column(_columns_of(rows), "the list of dicts", column)
    if rows and all(isinstance(row, Sequence | np.ndarray) and not isinstance(row, str) and len(row) == 2 for row in rows):
        steps, values = ([_to_float(row[i]) for row in rows] for i in (0, 1))
        return make_series(values, steps, "the pairs of step and loss")
    if column is not None:
        raise OptionError(f"column={column!r} has no meaning for a list of numbers. Leave it out, or give a table.")
    return make_series([_to_float(row) for row in rows], None, "the numbers")


def _as_list(losses: object, name: str = "") -> list[Any]:
    if isinstance(losses, Iterable):
        return list(losses)
    where = f"column {name!r}" if name else f"losses={show_value(losses)}"
    raise DataError(f"{where} is not a list of losses. Give numbers, a table, the path of a file or the text of a log.")


def _to_float(value: Any) -> float:
    if isinstance(value, str):
        return make_series([value], None, "the list").values[0].item()  # type: ignore[no-any-return]
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError):
        raise DataError(f"{show_value(value)} is not a loss. Give one number for each epoch.") from None


def _read_text(losses: str | os.PathLike[str], column: str | None) -> LossSeries:
    """Read a path, or the text itself."""
    text, name = os.fspath(losses), "the text"
    if text == "-":
        text, name = sys.stdin.read(_LARGEST), "standard input"
    elif "\n" not in text and len(text) < 4096 and (isinstance(losses, os.PathLike) or _is_path(text)):
        text, name = _read_file(Path(text)), text
    if not text.strip():
        raise DataError(f"{name} is empty. Give a log with lines such as 'Epoch 1: loss = 0.4682', or a CSV file.")
    table = _parse_table(text)
    return read_log(text, name, column) if table is None else _choose_column(table, name, column)


def _is_path(text: str) -> bool:
    return bool(text.strip()) and (Path(text).exists() or text.lower().endswith(_ENDINGS))


def _read_file(path: Path) -> str:
    try:
        content = path.read_bytes()[:_LARGEST]
    except FileNotFoundError:
        raise DataError(f"There is no file {str(path)!r}. Check the path, or give the losses as a list.") from None
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {first_line(error)}. Give the path of a file.") from None
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return content.decode(encoding, errors="replace").replace("\r\n", "\n")


def _parse_table(text: str) -> dict[str, list[Any]] | None:
    """Return the columns of JSON lines, of a JSON array or object, or of CSV with a header; None for other text."""
    start = text.lstrip()[:1]
    if start in ("{", "["):
        table = _parse_json(text)
        if table is not None:
            return table
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    first = lines[0]
    if "\r" in text or _SENTENCE.search(first):
        return _parse_columns_of_text(lines)
    mark = max(",;\t", key=first.count)
    names = next(csv.reader([first], delimiter=mark))
    if first.count(mark) and all(name.strip() and not _is_number(name) for name in names):
        rows = list(csv.DictReader(lines[1:], names, delimiter=mark))
        if rows and not any(None in row for row in rows) and _has_known_name(names):
            return {name.strip(): [row[name] for row in rows] for name in names}
    if len(lines) > 1 and choose_name([first], None, "columns") and all(map(_is_number, lines[1:])):
        return {first: lines[1:]}
    return _parse_columns_of_text(lines)


def _parse_columns_of_text(lines: Sequence[str]) -> dict[str, list[Any]] | None:
    """Return the columns of a table that is aligned by spaces, as skorch and fastai print it; None if there is none."""
    for i, line in enumerate(lines):
        names = line.split()
        if len(names) > 1 and not any(map(_is_number, names)) and not _SENTENCE.search(line) and _has_known_name(names):
            rows = [row.split() for row in lines[i + 1 :]]
            rows = [row for row in rows if len(row) >= len(names) and _is_number(row[0]) and _is_number(row[1])]
            if rows and not any(choose_name([word], None, "words") for row in rows for word in row if not _is_number(word)):
                return {name: [row[j] for row in rows] for j, name in enumerate(names)}
    return None


def _has_known_name(names: Sequence[str]) -> bool:
    return any(choose_name([name], None, "columns") for name in names) or any(name.strip().lower() in _STEPS for name in names)


def _parse_json(text: str) -> dict[str, list[Any]] | None:
    try:
        whole = json.loads(text)
    except ValueError:
        try:
            whole = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError:
            return None
    if isinstance(whole, dict):
        lists = {name: values for name, values in whole.items() if isinstance(values, list)}
        return lists or _columns_of([whole])
    if isinstance(whole, list) and all(isinstance(row, dict) for row in whole):
        return _columns_of(whole)
    return {"loss": whole} if isinstance(whole, list) else None


def _columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _is_number(text: str) -> bool:
    try:
        float(text.strip() or "nan?")
    except ValueError:
        return False
    return True


def _choose_column(table: Mapping[str, Sequence[Any]], name: str, column: str | None) -> LossSeries:
    """Return the series of a column, without the rows in which it is empty; Lightning's metrics.csv has many."""
    names = [each for each in table if each.strip().lower() not in _STEPS]
    chosen = choose_name(names, column, f"columns of {name}")
    if chosen is None and len(names) == 1:
        chosen = names[0]
    if chosen is None:
        raise DataError(
            f"No column of {name} looks like a loss: {', '.join(map(repr, names))}. Name it: column={(names or ['loss'])[0]!r}."
        )
    rows = [i for i, value in enumerate(table[chosen]) if not _is_missing(value)]
    values = [value if isinstance(value := table[chosen][i], str) else _to_float(value) for i in rows]
    unit, steps = _find_steps(table, rows)
    return make_series(values, steps, f"column {chosen!r} of {name}", unit)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _find_steps(table: Mapping[str, Sequence[Any]], rows: Sequence[int]) -> tuple[str, list[float] | None]:
    """Return the unit and the numbers of the steps, from the first such column that counts; epochs first."""
    unit = ""
    for name in sorted(
        table, key=lambda name: _STEPS.index(name.strip().lower()) if name.strip().lower() in _STEPS else len(_STEPS)
    ):
        if name.strip().lower() not in _STEPS:
            break
        texts = [str(table[name][i]) for i in rows]
        steps = [float(text) for text in texts if _is_number(text)]
        if len(steps) == len(texts) and all(a != b for a, b in pairwise(steps)):
            return "epoch" if "epoch" in name.lower() and not unit else "step", steps
        unit = "step"
    return unit, None
