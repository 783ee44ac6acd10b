"""The Keeping of a run: where and how often it is kept, and where it goes on from, as the user says it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

from squarely.descent.checkpoint.files import checkpoints_in
from squarely.errors import DataError, MissingExtraError, OptionError
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
    """Where and how often a run is kept, and where it goes on from.

    Attributes
    ----------
    folder : where checkpoints are written.
    number, unit : how often: so many "epochs", "steps" or "seconds".
    origin : the folder whose newest checkpoint the run goes on from, None to begin anew.
    is_required : whether there has to be one.
    """

    folder: Path
    number: float
    unit: str
    origin: Path | None
    is_required: bool


def checkpoint_policy(checkpoint: Any, every: Any = None, resume: Any = False) -> CheckpointPolicy | None:
    """Make sense of `checkpoint=`, `checkpoint_every=` and `resume=` before any row is read; None where nothing is to be kept.

    Raises
    ------
    OptionError, DataError : they make no sense, the folder cannot be written to, or what is in it would be lost.
    """
    number, unit = _parse_every(every)
    elsewhere = None if isinstance(resume, bool) or resume is None else _check_folder("resume", resume)
    if checkpoint is None and elsewhere is None:
        if resume is True:
            raise OptionError(
                "resume=True goes on from the checkpoints in checkpoint=, which names no folder. Give resume='the folder'."
            )
        if every is not None:
            raise OptionError(f"checkpoint_every={every!r} says how often, and nothing says where. Give checkpoint='a folder' too.")
        return None
    if find_spec("safetensors") is None:
        raise MissingExtraError("Keeping checkpoints", "safetensors", "torch")
    if elsewhere is not None and not elsewhere.is_dir():
        raise DataError(f"There is no folder {str(resume)!r} to go on from. Give the folder that checkpoint= named.")
    folder = writable_folder(elsewhere if checkpoint is None and elsewhere is not None else _check_folder("checkpoint", checkpoint))
    same = elsewhere is not None and elsewhere.resolve() == folder
    origin = folder if resume is True or same else elsewhere
    met = checkpoints_in(folder)
    if met and origin != folder:
        raise OptionError(
            f"The folder {str(folder)!r} holds checkpoints, the newest {met[0].name!r}, which would be lost. "
            "Give resume=True to go on from it (on the command line: --resume), or another folder."
        )
    demanded = elsewhere is not None and (checkpoint is None or not same)
    return CheckpointPolicy(folder=folder, number=number, unit=unit, origin=origin, is_required=demanded)


def _check_folder(name: str, given: Any) -> Path:
    if not isinstance(given, str | os.PathLike) or not os.fspath(given):
        raise OptionError(f"{name}={given!r} is not the path of a folder. Give one, such as {name}='runs/a'.")
    return local_path(given)


def _parse_every(given: Any) -> tuple[float, str]:
    if given is None:
        return 60.0, "seconds"
    advice = "Give one such as '30 s', '10 epochs' or '100 steps'."
    if isinstance(given, Real) and not isinstance(given, bool):
        raise OptionError(f"checkpoint_every={given!r} has no unit. {advice}")
    met = _EVERY.fullmatch(given) if isinstance(given, str) else None
    unit, size = _UNITS.get(met["unit"].lower(), ("", 0.0)) if met else ("", 0.0)
    number = size * float(met["number"]) if met else 0.0
    if not 0 < number < 1e12 or (unit != "seconds" and number != int(number)):
        raise OptionError(f"checkpoint_every={given!r} is not understood. {advice}")
    return number, unit
