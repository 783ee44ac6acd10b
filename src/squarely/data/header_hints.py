"""What the names of columns say about how a file of text should be read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from squarely.errors import option_hint

_OTHER_DELIMITERS = ";|\t,:^~"
_NO_HEADER_LINE = re.compile(r"sep=|#|%|//|Unnamed: 0_level")


def header_hint(names: Sequence[str]) -> str:
    """Return advice on a file of text whose names do not look like names, "" if they do."""
    first = names[0] if names else ""
    if re.match(r"\s*<(!doctype|html|\?xml)", first, re.IGNORECASE):
        return "The file is a web page and not a table: download the data themselves."
    if _NO_HEADER_LINE.match(first) or sum(not name.strip() for name in names[1:]) > 0:
        return f"If the names are in a later line, skip the lines before it, as with {option_hint('skip_rows', 1)}."
    if len(names) == 1:
        sign = next((sign for sign in _OTHER_DELIMITERS if sign in first), "whitespace")
        if sign != "whitespace" or len(first.split()) > 1:
            return f"If these are several columns, give {option_hint('delimiter', sign)}."
    return ""
