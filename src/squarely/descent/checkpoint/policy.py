"""`CheckpointPolicy`: where and how often a run is saved, and where it resumes, from the options of the user."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

from squarely.descent.checkpoint.format import checkpoints_in
from squarely.errors import DataError, MissingExtraError, OptionError, show_value
from squarely.storage.disk import local_path, writable_folder

_EVERY = re.compile(r"\s*(?P<number>\d+(\.\d+)?|\.\d+)\s*(?P<unit>[a-z]+)\s*", re.IGNORECASE)
_UNITS = {
    **dict.fromkeys(("epoch", "epochs"), ("epochs", 1.0)),
    **dict.fromkeys(("step", "steps", "batch", "batches"), ("steps", 1.0)),
    **dict.fromkeys(("s", "second", "seconds"), ("seconds", 1.0)),
    **dict.fromkeys(("min", "minute", "minutes"), ("seconds", 60.0)),
    **dict.fromkeys(("h", "hour", "hours"), ("seconds", 3600.0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPolicy:
    """Where and how often a run is saved, and where it resumes."""

    folder: Path  # where checkpoints are written
    number: float
    unit: str  # of the interval: "epochs", "steps" or "seconds"
    origin: Path | None  # the folder whose newest checkpoint the run resumes, None to start at the beginning
    is_required: bool  # whether there must be one


def checkpoint_policy(checkpoint: Any, every: Any = None, resume: Any = False) -> CheckpointPolicy | None:
    """Check `checkpoint=`, `checkpoint_every=` and `resume=` before any row is read; return None where nothing is saved.

    Raises
    ------
    OptionError, DataError : they contradict each other, the folder cannot be written, or its checkpoints would be lost.
    """
    number, unit = _parse_every(every)
    elsewhere = None if isinstance(resume, bool) or resume is None else _check_folder("resume", resume)
    if checkpoint is None and elsewhere is None:
        if resume is True:
            raise OptionError("resume=True resumes from the folder of checkpoint=, which is not set. Give resume='the folder'.")
        if every is not None:
            raise OptionError(
                f"checkpoint_every={show_value(every)} says how often, but not where. Give checkpoint='a folder' too."
            )
        return None
    if find_spec("safetensors") is None:
        raise MissingExtraError("Saving checkpoints", "safetensors", "torch")
    if elsewhere is not None and not elsewhere.is_dir():
        raise DataError(f"There is no folder {str(resume)!r} to resume from. Give the folder that checkpoint= named.")
    folder = writable_folder(elsewhere if checkpoint is None and elsewhere is not None else _check_folder("checkpoint", checkpoint))
    same = elsewhere is not None and elsewhere.resolve() == folder
    origin = folder if resume is True or same else elsewhere
    existing = checkpoints_in(folder)
    if existing and origin != folder:
        raise OptionError(
            f"The folder {str(folder)!r} holds checkpoints, the newest {existing[0].name!r}, which would be lost. "
            f"Give resume={str(folder)!r} to resume from it, or another folder."
        )
    is_required = elsewhere is not None and (checkpoint is None or not same)
    return CheckpointPolicy(folder=folder, number=number, unit=unit, origin=origin, is_required=is_required)


def _check_folder(name: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise OptionError(f"{name}={show_value(value)} is not the path of a folder. Give one, such as {name}='runs/a'.")
    return local_path(value)


def _parse_every(value: Any) -> tuple[float, str]:
    if value is None:
        return 60.0, "seconds"
    advice = "Give one such as '30 s', '10 epochs' or '100 steps'."
    if isinstance(value, Real) and not isinstance(value, bool):
        raise OptionError(f"checkpoint_every={show_value(value)} has no unit. {advice}")
    match = _EVERY.fullmatch(value) if isinstance(value, str) else None
    unit, size = _UNITS.get(match["unit"].lower(), ("", 0.0)) if match else ("", 0.0)
    number = size * float(match["number"]) if match else 0.0
    if not 0 < number < 1e12 or (unit != "seconds" and number != int(number)):
        raise OptionError(f"checkpoint_every={show_value(value)} is not an interval. {advice}")
    return number, unit
