"""The tree of errors, and the phrases that many messages need.

    SquarelyError
    |-- InputError (also a ValueError)      the input cannot be used; the CLI exits with 2
    |   |-- DataError                       the file, frame, column or value
    |   |   `-- IllConditionedError         the cross-products do not determine the rank
    |   |-- FormulaError                    the formula
    |   `-- OptionError                     an option such as lr or epochs
    |-- MissingExtraError (also an ImportError)   an optional package is not installed; the CLI exits with 2
    |-- ProcessError (also a RuntimeError)      another process of the same training run has ended; the CLI exits with 3
    `-- NumericalError                      `.require()` on a failed result, or rounding alone; the CLI exits with 1

A message says what was found and what to do. It quotes names and values of the user through `repr`, so that control
characters in them cannot reach a terminal. It writes an option as `lr=0.1` or `lr=`, which the command line prints as `--lr 0.1`
or `--lr`.

`ConvergenceWarning` is a warning and not an error: a result is there, and should not be used.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import MAX_EMAX, Context, Decimal
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, SupportsFloat, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

READ_OPTIONS = (
    "delimiter", "header", "names", "skip_rows", "na_values", "decimal", "thousands", "encoding", "comment", "quote", "sheet",
)  # fmt: skip
READ_SYNONYMS = {  # the names that pandas, DuckDB and R have for the same options
    "sep": "delimiter", "delim": "delimiter", "skiprows": "skip_rows", "skip": "skip_rows", "na": "na_values",
    "nullstr": "na_values", "decimal_separator": "decimal", "quotechar": "quote", "sheet_name": "sheet", "col_names": "names",
}  # fmt: skip
SYNONYMS = {**READ_SYNONYMS, "learning_rate": "lr", "exog": "new", "newdata": "new"}  # names of options in other libraries

_ROBUST = "vcov='HC3' for heteroscedasticity, cluster='firm' for clusters, or vcov='HAC' for serial correlation"
_COVARIANCE_ADVICE = {  # what other packages have for the covariance of the coefficients, where a function has `vcov`
    "cov_type": f"Write {_ROBUST}.",
    "cov_kwds": "Write its entries as arguments: cluster='firm' for groups, lags=4 for maxlags. Columns are named, not passed.",
    "robust": "Write vcov='HC1' for the numbers of Stata, or vcov='HC3', which is better in small samples.",
    "vce": f"Write {_ROBUST}.",
    "se_type": "Write vcov='HC2' for the default of estimatr, or vcov='CR2', cluster='firm' with clusters.",
    "clusters": "Write cluster='firm' with the name of a column.",
    "groups": "Write cluster='firm' with the name of a column.",
    "maxlags": "Write vcov='HAC', lags=4.",
    "use_correction": "Write correction='usual' or correction='none'.",
}
_PREDICTION_ADVICE = {  # what predictions have in R, statsmodels and pyfixest
    "se_fit": "Write fit.get_prediction(new).se_mean for standard errors.",
    "alpha": "Write fit.get_prediction(new).summary_frame(alpha=0.1), or fit.predict(new, interval='prediction', level=0.9).",
    "obs": "Write fit.get_prediction(new).conf_int(obs=True).",
    "transform": "Leave it out: new rows have the columns of the formula.",
}

_LONGEST_VALUE = 202  # characters of a value in a message
_SHORT = Context(prec=17, Emax=MAX_EMAX)  # digits of a long whole number in a message


class SquarelyError(Exception):
    """Base of all errors that squarely raises on purpose."""

    local_only = False  # whether one of several processes may raise it while the others do not

    def _render_traceback_(self) -> Any:
        """Return the lines of the traceback for IPython, which calls this: they end at the line of the user."""
        frame = self.__traceback__
        while frame and (below := frame.tb_next):
            if below.tb_next is None and below.tb_frame.f_globals is globals():  # of `short_traceback`
                frame.tb_next = None
            frame = frame.tb_next
        shell = sys.modules["IPython"].get_ipython()
        return shell.InteractiveTB.structured_traceback(type(self), self, self.__traceback__)


class InputError(SquarelyError, ValueError):
    """The input cannot be used."""


class DataError(InputError):
    """A file, frame, column or value cannot be used."""


class IllConditionedError(DataError):
    """The cross-products have too few digits to tell whether the columns are dependent."""


class FormulaError(InputError):
    """A formula cannot be parsed, or uses syntax that is not supported."""


class OptionError(InputError):
    """An option has a value that cannot be used."""


class MissingExtraError(SquarelyError, ImportError):
    """An optional package is not installed."""

    def __init__(self, verb: str, package: str, extra: str) -> None:
        names = package.replace("PyTorch", "torch").replace(" and ", " ")
        which, them = ("which are", "them") if " and " in package else ("which is", "it")
        super().__init__(
            f"{verb} needs {package}, {which} not installed. Install {them} with: pip install {names}, or squarely with its extra: "
            f'pip install "squarely[{extra}]"'
        )


class ProcessError(SquarelyError, RuntimeError):
    """Another process of the same training run has ended, or does not answer."""

    local_only = True


class NumericalError(SquarelyError, ArithmeticError):
    """A result that was required to be good is not, or would consist of rounding alone."""


class ConvergenceWarning(UserWarning):
    """A training run diverged, or its loss is not a number."""


def short_traceback(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a public function: the traceback of an error that squarely raises on purpose ends there.

    SQUARELY_TRACEBACK=1 keeps all frames. Other exceptions keep theirs.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except SquarelyError as error:
            if os.environ.get("SQUARELY_TRACEBACK") == "1":
                raise
            raise error.with_traceback(None) from error.__cause__
        except TypeError:
            _require_arguments(function, kwargs)
            raise

    return run


def _require_arguments(function: Callable[..., object], arguments: Mapping[str, object]) -> None:
    """Raise a TypeError with advice if a function does not have these keyword arguments, as Python does without advice."""
    parameters = {name: parameter for name, parameter in signature(function).parameters.items() if name != "self"}
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in arguments.keys() - parameters.keys():
        known = SYNONYMS.get(name, name)
        is_reading = known in READ_OPTIONS and "read" in parameters
        advice = f"Use {option_hint(known, arguments[name])}." if is_reading else suggest_name(known, parameters)
        if name in _COVARIANCE_ADVICE and "vcov" in parameters:
            advice = _COVARIANCE_ADVICE[name]
        if name in _PREDICTION_ADVICE and {"unseen", "weights"} <= parameters.keys():
            advice = _PREDICTION_ADVICE[name]
        raise TypeError(f"{function.__name__}() has no argument {name!r}. {advice}") from None


def option_hint(name: str, value: object) -> str:
    r"""Write an option with a value for a message, in the form of Python; the command line prints its flag instead.

    >>> option_hint("na_values", ["?"]), option_hint("where", "x != '?'")
    ("read={'na_values': ['?']}", 'where="x != \'?\'"')
    """
    return f"read={{{name!r}: {show_value(value)}}}" if name in READ_OPTIONS else f"{name}={show_value(value)}"


def require_one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise an OptionError unless the value of an option is one of the choices.

    >>> require_one_of("missing", [], ("drop", "raise"))
    Traceback (most recent call last):
    squarely.errors.OptionError: missing=[] is not understood. Use 'drop' or 'raise'.
    """
    if not isinstance(value, str) or value not in choices:
        raise OptionError(f"{name}={show_value(value)} is not understood. Use {join_words([*map(repr, choices)], 'or')}.")


def read_float(name: str, value: SupportsFloat) -> float:
    """Return the number that an option has as a float; an OptionError for a whole number that is too large for one.

    >>> read_float("lr", 10**400)
    Traceback (most recent call last):
    squarely.errors.OptionError: lr=1e+400 is beyond the range of double precision. Give a number with fewer digits.
    """
    try:
        return float(value)
    except OverflowError:
        raise OptionError(
            f"{name}={show_value(value)} is beyond the range of double precision. Give a number with fewer digits."
        ) from None


def show_value(value: object) -> str:
    """Return the `repr` of a value; a whole number of many digits in scientific notation, and a long text cut.

    >>> show_value("a"), show_value(2**70), show_value(-(10**400)), len(show_value("a" * 10**6))
    ("'a'", '1180591620717411303424', '-1e+400', 202)
    """
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"{_SHORT.normalize(Decimal(value)):g}"
    try:
        text = repr(value)
    except ValueError:  # a list of integers of more digits than Python prints
        return f"<{type(value).__name__}>"
    text = " ".join(text.split()) if "\n" in text else text  # an array has several lines
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 4]}...{text[-1]}"


def changed_error(label: str, before: str = "", now: str = "") -> DataError:
    """Return the error for data that differ between two reads; `before` and `now` say how.

    >>> str(changed_error("the table", "3 rows", "2"))
    'the table has changed since it was first read: 3 rows then, 2 now. Run again when nothing writes to it.'
    """
    difference = f": {before} then, {now} now" if before else ""
    return DataError(f"{label} has changed since it was first read{difference}. Run again when nothing writes to it.")


def suggest_name(name: object, choices: Iterable[str], otherwise: str = "") -> str:
    """Suggest the choice that is closest to `name`, or give other advice, by default the list of choices.

    A name that is not text is close to none.

    >>> suggest_name("displacment", ["mpg", "displacement"])
    "Did you mean 'displacement'?"
    >>> suggest_name("zzz", ["mpg", "displacement"])
    "Known names: 'mpg', 'displacement'."
    """
    names = list(choices)
    text = name if isinstance(name, str) else ""
    bare = text.strip().casefold()
    near = difflib.get_close_matches(text, names, n=1) or [n for n in names if n.strip().casefold() == bare]
    near = near or [n for n in names if bare and re.split(r"\W", n.strip().casefold())[0] == bare]
    if near:
        same = unicodedata.normalize("NFC", near[0]) == unicodedata.normalize("NFC", text) and near[0] != text
        return f"Did you mean {near[0]!r}?" + (f" It is stored as {near[0]!a}: copy the name from there." if same else "")
    if otherwise:
        return otherwise
    if not names:
        return "It has no column whose name is text. Give its columns names."
    return f"Known names: {listed(map(repr, names))}."


def pluralize(number: int, noun: str) -> str:
    """Write a count with its noun.

    >>> pluralize(1, "row"), pluralize(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(values: Iterable[object], most: int = 12) -> str:
    """Write values separated by commas, cut after `most` of them. Pass `map(repr, names)` to quote names.

    >>> listed(range(3)), listed("abc", most=2)
    ('0, 1, 2', 'a, b, ... (3 in all)')
    """
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (f", ... ({len(texts):,} in all)" if len(texts) > most else "")


def join_words(words: Sequence[str], last: str = "and") -> str:
    """Join words as in a sentence.

    >>> join_words(["a"]), join_words(["a", "b", "c"]), join_words(["a", "b"], "or")
    ('a', 'a, b and c', 'a or b')
    """
    return f" {last} ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])


def first_line(error: Exception) -> str:
    """Return the first line of another library's error without its full stop, at most 300 characters of it."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300].rstrip(".")


def __dir__() -> list[str]:
    return sorted(name for name, value in globals().items() if isinstance(value, type) and issubclass(value, SquarelyError))
