"""What the names of columns say about how a file of text should be read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from squarely.errors import option_hint

_OTHER_DELIMITERS = ";|\t,:^~"
_COMMENTED_NAMES = re.compile(r"[#%]\s*(\w.*)")  # as numpy.savetxt writes them
_MOST_NAMES = 12
_NO_HEADER_LINE = re.compile(r"sep=|#|%|//")


def header_hint(names: Sequence[str], asked: str = "") -> str:
    """Return advice on a file of text whose names do not look like names, or lack the `asked` one; "" if they do.

    >>> header_hint(["Survey of 2020", ""])
    "If the names are in a later line, skip the lines before it, as with read={'skip_rows': 1}."
    >>> header_hint(["x^y"]), header_hint(["x", "y"])
    ("If these are several columns, give read={'delimiter': '^'}.", '')
    """
    first = names[0] if names else ""
    commented = _COMMENTED_NAMES.fullmatch(first)
    bare = ([commented[1].strip(), *names[1:]] if len(names) > 1 else commented[1].split()) if commented else []
    if bare and all(bare) and asked in ("", *bare):
        return f"If these are names behind a comment sign, give read={{'skip_rows': 1, 'names': {bare[:_MOST_NAMES]}}}."
    if _NO_HEADER_LINE.match(first) or not all(name.strip() for name in names[1:]):
        return f"If the names are in a later line, skip the lines before it, as with {option_hint('skip_rows', 1)}."
    if len(names) == 1 and (sign := next((sign for sign in _OTHER_DELIMITERS if sign in first), None)):
        return f"If these are several columns, give {option_hint('delimiter', sign)}."
    if len(names) == 1 and len(first.split()) > 1:
        return f"If these are several columns between blanks, give {option_hint('delimiter', 'whitespace')}."
    return ""
