"""The errors of weights and frequencies that rows cannot have."""

from __future__ import annotations

from squarely.data import RowAccount
from squarely.design.formula.formula import Formula
from squarely.errors import DataError, pluralize


def weights_error(formula: Formula, value: float, where: str, label: str) -> DataError:
    """Return the error for weights below zero, or frequencies that are not whole numbers."""
    option, text = next(iter(formula.weights_option.items()))
    advice = "Give numbers of at least 0."
    if formula.has_frequencies:
        advice = "A frequency says how many rows one stands for: give whole numbers of at least 0, or use weights."
    return DataError(f"{option}={text!r} is {value:g} in {where} of {label}. {advice}")


def require_finite_weights(formula: Formula, account: RowAccount, label: str) -> None:
    """Raise a DataError if rows were dropped because of an infinite weight."""
    for option, text in formula.weights_option.items():
        if infinite := account.dropped.get(text, {}).get("inf", 0):
            raise DataError(
                f"{option}={text!r} is infinite in {pluralize(infinite, 'row')} of {label}. Give finite numbers: an infinite "
                "weight would force a residual of zero there."
            )
