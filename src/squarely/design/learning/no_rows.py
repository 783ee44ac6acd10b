"""The error for a fit that has no row left: what the condition and the gaps have taken."""

from __future__ import annotations

from collections.abc import Sequence

from squarely.data import RowAccount, Source
from squarely.design.formula.where import Where
from squarely.errors import DataError, listed, pluralize

_NO_VALUE = " An expression has no value where it divides by zero, or takes a root or logarithm of a number that is too small."
_GAPS = {"null": "empty", "nan": "not a number", "inf": "infinite"}


def no_rows_error(source: Source, account: RowAccount, columns: Sequence[str], where: Where | None) -> DataError:
    """Return the error that says why no row is complete in these columns."""
    if account.read == 0:
        return DataError(f"There are column names but no rows in {source.label}. Give at least {len(columns) + 1} rows.")
    remaining = account.read - account.filtered
    if where and not remaining:
        return DataError(
            f"None of the {pluralize(account.read, 'row')} of {source.label} meets where={where.text!r}. Change the condition."
        )
    causes = "; ".join(
        f"{name!r} is {' or '.join(_GAPS[cause] for cause, n in causes.items() if n)} in {pluralize(sum(causes.values()), 'row')}"
        for name, causes in list(account.dropped.items())[:12]
    )
    meeting = f" that meet where={where.text!r}" if where else ""
    return DataError(
        f"None of the {pluralize(remaining, 'row')} of {source.label}{meeting} is complete in the columns "
        f"{listed(map(repr, columns))}: {causes}. "
        "Fill these gaps, or leave these columns out." + (_NO_VALUE if account.dropped.keys() - columns else "")
    )
