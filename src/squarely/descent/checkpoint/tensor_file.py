"""Read the tensors of a safetensors file, which holds numbers and no code."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from squarely.errors import DataError, MissingExtraError, first_line

if TYPE_CHECKING:
    import torch


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file by name, on the CPU.

    Raises
    ------
    DataError : the file does not exist, or is not a safetensors file.
    """
    if find_spec("safetensors") is None:
        raise MissingExtraError("Reading a state dict", "safetensors", "torch")
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not path.is_file():
        raise DataError(f"The file {str(path)!r} {'is a folder' if path.is_dir() else 'does not exist'}. Give the path of a file.")
    try:
        return dict(load(path.read_bytes()))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(
            f"The file {str(path)!r} is not a safetensors file ({first_line(error)}). Save one with "
            "safetensors.torch.save_file(model.state_dict(), path)."
        ) from None
