"""Read a JSON file of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from squarely.errors import InputError
from squarely.storage.disk import read_text
from squarely.storage.json_fields import parse_json


def read_json(path: Path) -> Any:
    """Return what a JSON file has.

    Raises
    ------
    InputError : the file does not exist, or is not JSON of finite numbers.
    """
    try:
        return parse_json(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The file {str(path)!r} is not JSON of finite numbers ({error}). Give a .json file.") from None
