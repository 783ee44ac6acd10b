"""What the names of columns say about how a file of text should be read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from squarely.errors import option_hint

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_FRACTION = re.compile(r"\s*-?\d*\.\d+\s*|\s*-\d+\s*")  # a number that is rarely a name
_OTHER_DELIMITERS = ";|\t,:^~"
_NO_HEADER_LINE = re.compile(r"sep=|#|%|//|Unnamed: 0_level")


def are_values(names: Sequence[str]) -> bool:
    """Tell whether a first line looks like a row and not like names: all fields are numbers, or one is a fraction.

    Whole numbers in order, such as years, may be names.

    >>> are_values(["5.1", "3.5", "setosa"]), are_values(["1990", "1991"]), are_values(["7", "3"]), are_values(["x", "1"])
    (True, False, True, False)
    """
    if any(_FRACTION.fullmatch(name) for name in names):
        return True
    numbers = [float(name) for name in names if _NUMBER.fullmatch(name)]
    return len(numbers) == len(names) > 0 and numbers != sorted(set(numbers))


def header_hint(names: Sequence[str]) -> str:
    """Return advice on a file of text whose names do not look like names, "" if they do."""
    first = names[0] if names else ""
    if re.match(r"\s*<(!doctype|html|\?xml)", first, re.IGNORECASE):
        return "The file is a web page and not a table: download the data themselves."
    if are_values(names):
        return f"The first line looks like a row: give {option_hint('header', False)} if it is one, for columns x1, x2, ..."
    if _NO_HEADER_LINE.match(first) or sum(not name.strip() for name in names[1:]) > 0:
        return f"If the names are in a later line, skip the lines before it, as with {option_hint('skip_rows', 1)}."
    if len(names) == 1:
        sign = next((sign for sign in _OTHER_DELIMITERS if sign in first), "whitespace")
        if sign != "whitespace" or len(first.split()) > 1:
            return f"If these are several columns, give {option_hint('delimiter', sign)}."
    return ""
