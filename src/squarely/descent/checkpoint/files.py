"""A Checkpoint on disk: a folder with JSON and safetensors. Nothing is pickled, and nothing that was pickled is read.

Each is written beside the ones before, whole or not at all; the last two are kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from squarely.descent.checkpoint.serialize import NamedTensors
from squarely.errors import DataError
from squarely.storage.disk import remove_unfinished, write_folder
from squarely.storage.json_fields import as_int, as_text

FORMAT = 1
_MAX_CHECKPOINTS = 2
_MAX_JSON_BYTES = 2**28  # bytes of JSON; the tensors have as many as the JSON says
_NAME = re.compile(r"epoch-(\d{6,18})-batch-(\d{6,18})")
_JSON, _TENSORS = "state.json", "state.safetensors"


class UnreadableCheckpointError(Exception):
    """A checkpoint that cannot be read: the one before it may serve."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Checkpoint:
    """A run between two updates, as it is on disk.

    Attributes
    ----------
    epoch, batch : epochs done, and batches of the one that is going on.
    run : all else that is not a tensor, as JSON knows values.
    tensors : name -> tensor, on the CPU.
    """

    epoch: int
    batch: int
    run: Mapping[str, Any]
    tensors: NamedTensors

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"epoch-{self.epoch:06d}-batch-{self.batch:06d}"


def checkpoints_in(folder: Path) -> list[Path]:
    """Find the checkpoints in a folder, the newest first."""
    met = [(place, path) for path in folder.glob("epoch-*") if (place := _position_of(path)) is not None]
    return [path for _, path in sorted(met, reverse=True)]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into a folder, then remove those that it and the one before make needless.

    Raises
    ------
    DataError : it was not written; the ones before are whole.
    """
    from safetensors.torch import save

    content = save(checkpoint.tensors)
    run = {"epoch": checkpoint.epoch, "batch": checkpoint.batch, **checkpoint.run}
    run["tensors"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps({"squarely checkpoint": FORMAT, "sha256": _digest(FORMAT, run), "run": run}, allow_nan=False)
    path = folder / checkpoint.name
    if len(text) > _MAX_JSON_BYTES:
        raise DataError(
            f"The checkpoint {str(path)!r} was not written: its JSON has {len(text):,} bytes, and {_MAX_JSON_BYTES:,} are read back."
        )
    try:
        write_folder(path, {_TENSORS: content, _JSON: text.encode("ascii")})
    except OSError as error:
        before = [str(other) for other in checkpoints_in(folder)[:1]]
        whole = f"The one before, {before[0]!r}, is whole." if before else "There is none before it."
        raise DataError(f"The checkpoint {str(path)!r} was not written: {error.strerror or error}. {whole}") from error
    _prune(folder, checkpoint)
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    DamagedError : it is cut short, changed or not there.
    DataError : it may not be read, or is of a later version of squarely.
    """
    run = _read_json(path)
    try:
        tensors = _read_tensors(path, run["tensors"])
        place = as_int(run["epoch"]), as_int(run["batch"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableCheckpointError(f"it was changed by hand ({error})") from error
    if place != _position_of(path):
        raise UnreadableCheckpointError("its folder was renamed")
    return Checkpoint(epoch=place[0], batch=place[1], run=run, tensors=tensors)


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


def _read_bytes(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise UnreadableCheckpointError(f"{path.name} is longer than it was")
        return path.read_bytes()
    except PermissionError as error:
        raise DataError(
            f"The file {str(path)!r} may not be read: {error.strerror}. Change who may, or give another folder."
        ) from error
    except OSError as error:
        raise UnreadableCheckpointError(f"{path.name} cannot be read: {error.strerror}") from error


def _digest(format_: object, run: Mapping[str, Any]) -> str:
    """Give the checksum of what the JSON says, however it is spaced; later formats have it too, lest they be taken for damage."""
    return hashlib.sha256(json.dumps([format_, run], allow_nan=False).encode("ascii")).hexdigest()


def _position_of(path: Path) -> tuple[int, int] | None:
    met = _NAME.fullmatch(path.name)
    return (int(met[1]), int(met[2])) if met else None


def _prune(folder: Path, last: Checkpoint) -> None:
    """Remove all but the last two; whatever stands at a later place could not be read, or the run would have gone on from it."""
    here = last.epoch, last.batch
    before = [path for path in checkpoints_in(folder) if (_position_of(path) or here) <= here]
    for path in {*checkpoints_in(folder)} - {*before[:_MAX_CHECKPOINTS]}:
        shutil.rmtree(path, ignore_errors=True)
    remove_unfinished(folder)
