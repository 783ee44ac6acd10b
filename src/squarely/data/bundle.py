"""The modules that the processes of a cluster need, packed for them.

NumPy, SciPy, pandas and pyarrow are compiled and must be there; squarely and what it needs besides is pure Python and is sent.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_SENT = ("squarely", "narwhals", "threadpoolctl")


@cache
def bundle() -> Path:
    """Pack the modules that other processes need into a file, which lasts as long as this process."""
    folder = tempfile.mkdtemp(prefix="squarely-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "squarely_modules.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in _SENT:
            origin = Path(find_spec(name).origin)  # type: ignore[union-attr, arg-type]  # they are imported
            if origin.name != "__init__.py":
                bundle.write(origin, origin.name)
                continue
            for file in sorted(origin.parent.rglob("*.py")):
                bundle.write(file, Path(name) / file.relative_to(origin.parent))
    return path
