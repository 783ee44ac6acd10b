"""Read losses from the text of a log: lines of any training loop, progress bars, and the warnings of PyTorch among them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from squarely.checkup.losses.series import NUMBER, LossSeries, make_series
from squarely.errors import DataError, listed

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x08+")
_LABELED = re.compile(
    r"(?P<label>[A-Za-z][A-Za-z_/.\-]*(?:[ ][A-Za-z_/.\-]+){0,3})['\"]?\s*(?:\([^()]*\))?"
    rf"\s*(?:[:=]|\bis\b)+\s*(?:tensor\(|\[)*\s*(?P<number>{NUMBER})",
    re.IGNORECASE,
)
_SPACED = re.compile(rf"(?P<label>(?:[A-Za-z]+[ _])?(?:loss|mse|cost))\s+(?P<number>{NUMBER})", re.IGNORECASE)
_COUNTER = re.compile(
    r"\b(?P<unit>epochs?|global_step|steps?|iter(?:ation)?s?|batch|t)\b['\"]?\s*[:#=\[(]*\s*(?P<number>\d+)", re.IGNORECASE
)
_PLAIN = re.compile(
    rf"\s*(?:(?P<step>\d+)[\s:,;|/)\]]+)?(?:tensor\(|\[)*(?P<number>{NUMBER})(?:,\s*(?:grad_fn|device|dtype).*|[^\d]*)$",
    re.IGNORECASE,
)
_BAR = re.compile(r"\d+/\d+\s*(?:\[|━|\x1b)|\d+%\|")
_WARNINGS = (
    ("Using a target size", "shape-broadcast"),
    ("`lr_scheduler.step()` before `optimizer.step()`", "scheduler-before-optimizer"),
    ("Trying to backward through the graph a second time", "graph-kept"),
    ("does not require grad and does not have a grad_fn", "graph-detached"),
    ("Expected all tensors to be on the same device", "wrong-device-or-dtype"),
    ("must have the same dtype", "wrong-device-or-dtype"),
)


@dataclass(frozen=True, slots=True)
class _Line:
    """A loss in a log: its label, its number, the numbers of its epoch and step, and whether a progress bar printed it."""

    label: str
    number: str
    epoch: int | None
    step: int | None
    bar: bool


def read_log(text: str, name: str, column: str | None = None) -> LossSeries:
    r"""Read the losses of a log.

    Raises
    ------
    DataError : no loss is found, or `column` is none of the labels.

    >>> read_log("Epoch 50: train loss = 0.4682\nEpoch 100: train loss = 0.3685", "the text").found
    "2 lines 'train loss = ...' of the text"
    """
    lines = [line for line in _ESCAPES.sub("", text).replace("\r", "\n").split("\n") if line.strip()]
    marks = tuple((key, line.strip()) for line in lines for words, key in _WARNINGS if words in line)
    found = _find_labeled(lines)
    labels = Counter(line.label for line in found)
    label = choose_name(list(labels), column, f"labels in {name}") if labels else None
    if label is None:
        return _read_plain(lines, name, marks, column)
    chosen = _without_unfinished([line for line in found if line.label == label])
    unit, steps = _number_steps(chosen)
    count = f"{len(chosen)} line{'s' if len(chosen) > 1 else ''}"
    return make_series([line.number for line in chosen], steps, f"{count} '{label} = ...' of {name}", unit, marks)


def choose_name(names: Sequence[str], column: str | None, what: str) -> str | None:
    """Return the column or label of the training loss, None if no name looks like one.

    Raises
    ------
    DataError : `column` is not there, or several names are equally good.

    >>> choose_name(["val_loss", "train_loss", "acc"], None, "columns")
    'train_loss'
    """
    if column is not None:
        same = [name for name in names if _plain(name) == _plain(column)]
        if column in names or same:
            return column if column in names else same[0]
        raise DataError(f"There is no {column!r} among the {what}. Known names: {listed(map(repr, names))}.")
    ranks = {name: _rank(name) for name in names}
    best = [name for name in names if ranks[name] == max(ranks.values()) > 0]
    if len(best) > 1:
        raise DataError(f"Several {what} may be the loss: {listed(map(repr, best))}. Name one, such as column={best[0]!r}.")
    return best[0] if best else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()


def _rank(name: str) -> int:
    """Return how well a name fits the training loss, from 0 (not at all)."""
    words = _plain(name).split()
    if re.search(r"__(min|max)$", name, re.IGNORECASE) or {"acc", "accuracy", "lr"} & set(words):
        return 0
    held_out = bool({"val", "valid", "validation", "test", "eval", "dev", "best"} & set(words))
    losses = bool({"loss", "losses", "mse", "cost", "objective"} & set(words)) or words[-1:] == ["trainloss"]
    if not losses:
        return 1 if words in (["value"], ["error"]) else 0
    if held_out:
        return 2
    return 3 + 3 * bool({"train", "training", "trainloss"} & set(words)) + (words[-1] in ("epoch", "loss")) + (words[-1] != "step")


def _find_labeled(lines: Sequence[str]) -> list[_Line]:
    found, epoch = [], None
    for line in lines:
        counters = {match["unit"].lower()[:4]: int(match["number"]) for match in _COUNTER.finditer(line)}
        epoch = counters.get("epoc", epoch)
        step = next((number for unit, number in counters.items() if unit != "epoc"), None)
        bar = bool(_BAR.search(line))
        matches = [*_LABELED.finditer(line)] or [*_SPACED.finditer(line)]
        for match in matches:
            label = re.sub(
                r"^(?:(?:epoch|step|iteration|iter|batch)s?\b[\s:,\-]*)+",
                "",
                match["label"].rpartition(" - ")[2].strip(" .-/_"),
                flags=re.IGNORECASE,
            )
            if _rank(label):
                found.append(_Line(label, match["number"], epoch, step, bar))
    return found


def _without_unfinished(lines: Sequence[_Line]) -> list[_Line]:
    """Leave out what a progress bar printed before the end of its epoch."""
    return [
        line
        for line, after in zip(lines, [*lines[1:], None], strict=True)
        if not (line.bar and after is not None and after.bar and line.epoch is not None and after.epoch == line.epoch)
    ]


def _number_steps(lines: Sequence[_Line]) -> tuple[str, list[float] | None]:
    """Return the unit of the steps and their numbers; None if two losses of a run have the same."""
    epochs, steps = [line.epoch for line in lines], [line.step for line in lines]
    if all(epoch is not None for epoch in epochs) and not _repeats(epochs):
        return "epoch", [float(epoch) for epoch in epochs if epoch is not None]
    if all(step is not None for step in steps):
        return "step", None if _repeats(steps) or any(epochs) else [float(step) for step in steps if step is not None]
    return ("step" if any(epoch is not None for epoch in epochs) else ""), None


def _repeats(numbers: Sequence[int | None]) -> bool:
    return any(a == b for a, b in pairwise(numbers))


def _read_plain(lines: Sequence[str], name: str, marks: tuple[tuple[str, str], ...], column: str | None) -> LossSeries:
    """Read lines that are a number, or the number of a step and a loss."""
    matches = [match for match in map(_PLAIN.match, lines) if match]
    if not matches or column is not None:
        what = f"no {column!r}" if column is not None else "no loss"
        raise DataError(f"There is {what} in {name}. Give lines such as 'Epoch 1: loss = 0.4682', or a column of numbers.")
    numbered = all(match["step"] for match in matches)
    found = f"{len(matches)} line{'s' if len(matches) > 1 else ''} of {name}, each {'a step and ' if numbered else ''}a number"
    return make_series(
        [match["number"] for match in matches], [float(match["step"]) for match in matches] if numbered else None, found, "", marks
    )
