"""Checkpoints on disk: folders of JSON and safetensors. Nothing is pickled or unpickled.

Each is written beside the ones before, completely or not at all, and the last two stay.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squarely.descent.checkpoint.serialize import NamedTensors
from squarely.errors import DataError
from squarely.storage.disk import remove_unfinished, write_folder
from squarely.storage.json_fields import as_int, as_text

if TYPE_CHECKING:
    import torch

FORMAT = 1
_MAX_CHECKPOINTS = 2
_MAX_JSON_BYTES = 2**28  # bytes of JSON; the JSON has the size of the tensors
_NAME = re.compile(r"epoch-(\d{6,18})-batch-(\d{6,18})")
_JSON, _TENSORS = "state.json", "state.safetensors"


class UnreadableCheckpointError(Exception):
    """A checkpoint cannot be read; the one before it may be readable."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Checkpoint:
    """A run between two updates, as it is on disk."""

    epoch: int  # complete epochs
    batch: int  # complete batches of the present one
    run: Mapping[str, Any]  # everything else that is not a tensor, as JSON values
    tensors: NamedTensors  # on the CPU


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest first."""
    found = [(position, path) for path in folder.glob("epoch-*") if (position := position_of(path)) is not None]
    return [path for _, path in sorted(found, reverse=True)]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into a folder, then remove all but it and the one before.

    Raises
    ------
    DataError : it was not written; the ones before are complete.
    """
    from safetensors.torch import save

    content = save(checkpoint.tensors)
    run = {"epoch": checkpoint.epoch, "batch": checkpoint.batch, **checkpoint.run}
    run["tensors"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps({"squarely checkpoint": FORMAT, "sha256": _digest(FORMAT, run), "run": run}, allow_nan=False)
    path = folder / f"epoch-{checkpoint.epoch:06d}-batch-{checkpoint.batch:06d}"
    if len(text) > _MAX_JSON_BYTES:
        raise DataError(
            f"The checkpoint {str(path)!r} was not written: its JSON has {len(text):,} bytes, and {_MAX_JSON_BYTES:,} are read "
            "back."
        )
    try:
        write_folder(path, {_TENSORS: content, _JSON: text.encode("ascii")})
    except OSError as error:
        before = (f"The one before, {str(other)!r}, is complete." for other in checkpoints_in(folder))
        advice = next(before, "There is none before it.")
        raise DataError(f"The checkpoint {str(path)!r} was not written: {error.strerror or error}. {advice}") from error
    _prune(folder, (checkpoint.epoch, checkpoint.batch))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    UnreadableCheckpointError : it is truncated, changed or missing.
    DataError : there is no permission to read it, or a later version of squarely wrote it.
    """
    run = _read_json(path)
    try:
        tensors = _read_tensors(path, run["tensors"])
        position = as_int(run["epoch"]), as_int(run["batch"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableCheckpointError(f"it was changed by hand ({error})") from error
    if position != position_of(path):
        raise UnreadableCheckpointError("its folder was renamed")
    return Checkpoint(epoch=position[0], batch=position[1], run=run, tensors=tensors)


def _read_json(path: Path) -> dict[str, Any]:
    text = _read_bytes(path / _JSON, _MAX_JSON_BYTES)
    try:
        document = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise UnreadableCheckpointError(f"{_JSON} is not JSON") from error
    if not isinstance(document, dict) or "squarely checkpoint" not in document:
        raise UnreadableCheckpointError(f"{_JSON} is not a checkpoint's")
    format_, run = document["squarely checkpoint"], document.get("run")
    try:
        same = isinstance(run, dict) and document.get("sha256") == _digest(format_, run)
    except (ValueError, RecursionError):
        same = False
    if not isinstance(run, dict) or not same:
        raise UnreadableCheckpointError(f"{_JSON} is not what was written")
    if format_ != FORMAT:
        raise DataError(f"The checkpoint {str(path)!r} has format {format_!r}, and this version reads {FORMAT}. Update squarely.")
    return run


def _read_tensors(path: Path, written: Mapping[str, Any]) -> NamedTensors:
    from safetensors import SafetensorError
    from safetensors.torch import load

    size, digest = as_int(written["bytes"]), as_text(written["sha256"])
    content = _read_bytes(path / _TENSORS, size)
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise UnreadableCheckpointError(f"{_TENSORS} is not what was written")
    try:
        tensors: dict[str, torch.Tensor] = load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise UnreadableCheckpointError(f"{_TENSORS} cannot be read") from error
    return tensors


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        if path.stat().st_size > max_bytes:
            raise UnreadableCheckpointError(f"{path.name} is longer than it was")
        return path.read_bytes()
    except PermissionError as error:
        raise DataError(
            f"The file {str(path)!r} cannot be read: {error.strerror}. Change its permissions or the folder."
        ) from error
    except OSError as error:
        raise UnreadableCheckpointError(f"{path.name} cannot be read: {error.strerror}") from error


def _digest(format_: object, run: Mapping[str, Any]) -> str:
    """Return a checksum of the JSON values. All formats have it, so that a later one does not look damaged."""
    return hashlib.sha256(json.dumps([format_, run], allow_nan=False).encode("ascii")).hexdigest()


def position_of(path: Path) -> tuple[int, int] | None:
    """Return the epoch and batch in the name of a checkpoint's folder, None for another name."""
    match = _NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2])) if match else None


def _prune(folder: Path, position: tuple[int, int]) -> None:
    """Remove all but the last two. One at a later position was unreadable, or the run would have resumed from it."""
    before = [path for path in checkpoints_in(folder) if (position_of(path) or position) <= position]
    for path in {*checkpoints_in(folder)} - {*before[:_MAX_CHECKPOINTS]}:
        shutil.rmtree(path, ignore_errors=True)
    remove_unfinished(folder)
