"""Count the rows read and used, and the causes of dropping the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from squarely.errors import pluralize

CAUSES = ("null", "nan", "inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAccount:
    """Counts of rows in one scan.

    Attributes
    ----------
    read, used : rows read; rows that satisfy `where` and are complete in every column of the formula.
    filtered : rows that do not satisfy `where`.
    weightless : complete rows of weight zero, which are left out.
    dropped : column -> {"null", "nan", "inf"} -> number of rows with that gap. A row with gaps in two columns counts for both.
    rounded : column -> number of integers of 2**53 and above, which are rounded to double.
    casts : column -> its type, if it is neither integers nor binary fractions: booleans, decimals.
    """

    read: int = 0
    used: int = 0
    filtered: int = 0
    weightless: int = 0
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rounded: Mapping[str, int] = field(default_factory=dict)
    casts: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: RowAccount) -> RowAccount:
        return self._combine(other, 1)

    def _combine(self, other: RowAccount, sign: int) -> RowAccount:
        dropped = {
            name: {c: self.dropped.get(name, {}).get(c, 0) + sign * other.dropped.get(name, {}).get(c, 0) for c in CAUSES}
            for name in {**self.dropped, **other.dropped}
        }
        return RowAccount(
            read=self.read + sign * other.read,
            used=self.used + sign * other.used,
            filtered=self.filtered + sign * other.filtered,
            weightless=self.weightless + sign * other.weightless,
            dropped=dropped,
            rounded={n: self.rounded.get(n, 0) + sign * other.rounded.get(n, 0) for n in {**self.rounded, **other.rounded}},
            casts={**self.casts, **other.casts},
        )

    def __sub__(self, other: RowAccount) -> RowAccount:
        """Subtract another account; raise a ValueError that names the first count that would be negative."""
        rest = self._combine(other, -1)
        counts = {
            "rows": rest.read,
            "complete rows": rest.used,
            "rows outside the condition": rest.filtered,
            "rows of weight zero": rest.weightless,
            **{f"rows with {cause} in {name!r}": n for name, causes in rest.dropped.items() for cause, n in causes.items()},
            **{f"rounded integers in {name!r}": n for name, n in rest.rounded.items()},
        }
        for what, number in counts.items():
            if number < 0:
                raise ValueError(f"{-number:,} more {what}")
        dropped = {name: causes for name, causes in rest.dropped.items() if any(causes.values())}
        return replace(rest, dropped=dropped, rounded={name: n for name, n in rest.rounded.items() if n}, casts=self.casts)

    def lines(self) -> list[str]:
        """Return the account in sentences. Names in them come from the user and still need `show.escape_controls`."""
        lines = [f"{pluralize(self.read, 'row')} read, {self.used:,} used."]
        if self.filtered:
            lines.append(f"{pluralize(self.filtered, 'row')} left out because they do not meet the condition.")
        if self.weightless:
            lines.append(f"{pluralize(self.weightless, 'row')} of weight zero left out, as in R.")
        for name, causes in self.dropped.items():
            counts = ", ".join(f"{number:,} {cause}" for cause, number in causes.items() if number)
            lines.append(f"Rows dropped for {name}: {counts}.")
        for name, number in self.rounded.items():
            lines.append(f"{name}: {pluralize(number, 'integer')} beyond 2**53 read as the nearest double.")
        for name, kind in self.casts.items():
            lines.append(f"{name}: {kind} read as {'0 and 1' if kind == 'bool' else 'the nearest double'}.")
        return lines

    def as_dict(self) -> dict[str, object]:
        """Return the account as plain numbers, for JSON."""
        return {
            "read": self.read,
            "used": self.used,
            "filtered": self.filtered,
            "weightless": self.weightless,
            "dropped": {n: dict(c) for n, c in self.dropped.items()},
        }
