"""The tree of errors, and the two sentences that many of them need.

    SquarelyError
    |-- InputError (also a ValueError)      what was handed in cannot be used; the CLI exits with 2
    |   |-- DataError                       the file, frame, column or value
    |   |-- FormulaError                    the formula
    |   `-- OptionError                     an option such as lr or epochs
    |-- MissingExtraError (also an ImportError)   an optional package is not installed; the CLI exits with 2
    |-- ProcessError (also a RuntimeError)      another of the processes that train together ended; the CLI exits with 3
    `-- NumericalError                      `.require()` of a result that is a "no", or nothing but rounding; the CLI exits with 1

Every message says what was met, what it means and what to do. Names and values of the user's
appear through `repr`, so that control characters in them cannot reach a terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class SquarelyError(Exception):
    """Everything squarely raises on purpose.

    Attributes
    ----------
    local_only : whether one of several processes may have met it and the others not.
    """

    local_only: bool = False


class InputError(SquarelyError, ValueError):
    """What was handed in cannot be used."""


class DataError(InputError):
    """A file, frame, column or value cannot be used."""


class FormulaError(InputError):
    """A formula cannot be read, or asks for something that is not understood."""


class OptionError(InputError):
    """An option has a value that makes no sense."""


class MissingExtraError(SquarelyError, ImportError):
    """An optional package is not installed."""

    def __init__(self, verb: str, package: str, extra: str) -> None:
        super().__init__(f"{verb} needs {package}, which is not installed. Install it with: pip install 'squarely[{extra}]'")


class ProcessError(SquarelyError, RuntimeError):
    """Another of the processes that train together has ended, or does not answer."""

    local_only = True


class NumericalError(SquarelyError, ArithmeticError):
    """A result was required to be good, and is not; or it would be nothing but rounding."""


def require_one_of(option: str, value: object, words: tuple[str, ...]) -> None:
    """Raise an OptionError unless an option is one of some words.

    >>> require_one_of("missing", [], ("drop", "raise"))
    Traceback (most recent call last):
    squarely.errors.OptionError: missing=[] is not understood. Use 'drop' or 'raise'.
    """
    if not isinstance(value, str) or value not in words:
        *others, last = map(repr, words)
        raise OptionError(f"{option}={value!r} is not understood. Use {', '.join(others)} or {last}.")


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Say which known name is near `name`, or which names there are.

    >>> suggest_name("displacment", ["mpg", "displacement"])
    "Did you mean 'displacement'?"
    >>> suggest_name("zzz", ["mpg", "displacement"])
    "Known names: 'mpg', 'displacement'."
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1) or [n for n in names if n.casefold() == name.casefold()]
    if near:
        return f"Did you mean {near[0]!r}?"
    if not names:
        return "It has no column whose name is text. Give its columns names."
    shown = ", ".join(repr(n) for n in names[:12])
    return f"Known names: {shown}{', ...' if len(names) > 12 else ''}."


def pluralize(number: int, noun: str) -> str:
    """Write a count with its noun.

    >>> pluralize(1, "row"), pluralize(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Write names one after another.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), names[-1]])


_LONGEST_QUOTE = 300


def first_line(error: Exception) -> str:
    """Give the beginning of what another library says, without its full stop."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0][:_LONGEST_QUOTE].rstrip(".")


class IllConditionedError(DataError):
    """The cross-products cannot tell columns apart that are not dependent either."""
