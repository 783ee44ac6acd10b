"""SQL that reads the texts of a CSV file as numbers, and refuses those that only DuckDB takes for numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from squarely.data.dtypes import grouped_digits_pattern
from squarely.data.files.csv.connection import quote_sql
from squarely.data.files.csv.decimal_commas import AMBIGUOUS_THOUSANDS, CommaValues


def null_sql(number: str, na_numbers: Iterable[float]) -> str:
    """Return SQL that makes the numbers among `na_values` NULL, as pandas does: -999.0 is -999."""
    numbers = ", ".join(f"CAST({quote_sql(repr(value))} AS DOUBLE)" for value in na_numbers)
    return f"CASE WHEN {number} IN ({numbers}) THEN NULL ELSE {number} END" if numbers else number


def number_sql(place: int, odd: Sequence[str], commas: CommaValues, thousands: str) -> str:
    """Return SQL that writes the texts of a column with a decimal point, and makes those invalid that meet an `odd` condition."""
    text = f"c{place}"
    if thousands:
        text = f"replace({text}, {quote_sql(thousands)}, '')"
    text = f"translate({text}, '.,', '?.')" if commas.is_decimal else text
    return f"CASE WHEN {' OR '.join(odd)} THEN '?' || {text} ELSE {text} END" if odd else text


def odd_text_sql(place: int, signs: Iterable[str], commas: CommaValues, thousands: str) -> list[str]:
    """Return SQL conditions for texts that only DuckDB reads as numbers, or 1.234 beside small integers in the sample."""
    odd = [f"contains(c{place}, {quote_sql(sign)})" for sign in signs if sign != thousands]
    if thousands:  # 3,5 is not 35
        groups = grouped_digits_pattern(thousands)
        odd.append(f"contains(c{place}, {quote_sql(thousands)}) AND NOT regexp_full_match(c{place}, {quote_sql(groups)})")
    if place in commas.small_columns:
        sign = "," if commas.is_decimal else "."
        odd.append(f"contains(c{place}, '{sign}') AND regexp_full_match(c{place}, {quote_sql(AMBIGUOUS_THOUSANDS)})")
    return odd
