"""Printed losses: their steps, their values and how far rounding may have moved them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from squarely.errors import DataError
from squarely.numerics import Array
from squarely.reprs import short_repr

FLOAT32_ROUNDING = 2.4e-7  # two units in the last place of float32, in which nearly every loss is computed
_DIGITS = 6  # of a number that is printed with %g
NUMBER = r"[-+]?(?:[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?|\d+(?:[.,]\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)\b"
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?$")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class LossSeries:
    """Losses in their order.

    Attributes
    ----------
    steps : (K,) the epoch or step of each loss; 0, 1, ... where none is printed.
    values : (K,) may end in NaN or infinities.
    half_width : (K,) the true loss is at most so far from the printed one.
    found : where the numbers were found, in words.
    unit : "epoch", "step", or "" if the log does not say.
    numbered : whether the log has the numbers of the steps.
    warnings : lines of torch in the log that name a mistake, with its key.
    """

    __repr__ = short_repr

    steps: Array
    values: Array
    half_width: Array
    found: str
    unit: str = ""
    numbered: bool = False
    warnings: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def part(self, rows: slice | np.ndarray) -> LossSeries:
        """Return some of the losses."""
        return replace(self, steps=self.steps[rows], values=self.values[rows], half_width=self.half_width[rows])

    def finite_start(self) -> LossSeries:
        """Return the losses before the first that is not finite."""
        bad = np.flatnonzero(~np.isfinite(self.values))
        return self.part(slice(0, int(bad[0]) if len(bad) else len(self)))

    def runs(self) -> list[LossSeries]:
        """Split where the numbers of the steps start again."""
        starts = [0, *(np.flatnonzero(np.diff(self.steps) < 0) + 1).tolist(), len(self)]
        return [self.part(slice(a, b)) for a, b in pairwise(starts)]


def make_series(
    texts: Sequence[str | float],
    steps: Sequence[float] | None,
    found: str,
    unit: str = "",
    warnings: tuple[tuple[str, str], ...] = (),
) -> LossSeries:
    """Make a series of numbers, or of texts that are printed numbers.

    Raises
    ------
    DataError : there is no number, or a text is not one.

    >>> series = make_series(["0.4682", "0.3685"], None, "the list")
    >>> series.values.tolist(), series.half_width.tolist()
    ([0.4682, 0.3685], [5e-05, 5e-05])
    """
    if not len(texts):
        raise DataError(f"There is no loss in {found}. Give numbers, or lines such as 'Epoch 1: loss = 0.4682'.")
    comma = any(isinstance(text, str) and "," in text and not _THOUSANDS.match(text) for text in texts)
    words = [_clean(text, comma) for text in texts]
    values = np.array([_read_number(word, text) for word, text in zip(words, texts, strict=True)])
    sizes = np.abs(np.where(np.isfinite(values), values, 0.0))
    half_width = np.maximum(
        _printed_half_width(words, values, are_texts=all(isinstance(text, str) for text in texts)), FLOAT32_ROUNDING * sizes
    )
    order = np.arange(float(len(values))) if steps is None else np.asarray(steps, dtype=float)
    return LossSeries(
        steps=order, values=values, half_width=half_width, found=found, unit=unit, numbered=steps is not None,
        warnings=warnings,
    )  # fmt: skip


def _clean(text: str | float, comma: bool) -> str:
    word = text.strip().lower() if isinstance(text, str) else repr(float(text)).removesuffix(".0")
    return word.replace(",", ".") if comma else word.replace(",", "")


def _read_number(word: str, text: str | float) -> float:
    try:
        return float(word)
    except ValueError:
        raise DataError(f"{text!r} is not a number. Leave the row out, or name the column of losses: column='loss'.") from None


def _printed_half_width(words: Sequence[str], values: Array, *, are_texts: bool) -> Array:
    """Return half a unit of the last printed digit (K,).

    Texts with equal decimals have these. Of other numbers trailing zeros may be left out: all have the decimals of the longest, and
    its significant digits if it has six or is a text.
    """
    finite = [word for word, value in zip(words, values, strict=True) if np.isfinite(value)]
    plain = [word for word in finite if "e" not in word]
    digits = max((len(re.sub(r"e.*|[^0-9e]", "", word).lstrip("0")) for word in finite), default=0)
    places = {len(word.partition(".")[2]) for word in plain} or {0}
    size = np.floor(np.log10(np.maximum(np.abs(np.where(np.isfinite(values), values, 1.0)), 1e-300))) + 1.0
    by_digits, by_places = 0.5 * 10.0 ** (size - digits), np.full(len(values), 0.5 * 10.0 ** -max(places))
    if len(plain) < len(finite):
        return by_digits if are_texts else np.zeros(len(values))
    return np.maximum(by_digits, by_places) if len(places) > 1 and (are_texts or digits >= _DIGITS) else by_places
