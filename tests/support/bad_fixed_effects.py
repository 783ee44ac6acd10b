"""Fixed effects that a formula or the rows cannot have."""

from typing import Any

from squarely.errors import DataError, FormulaError, OptionError, SquarelyError
from tests.support.bad_row import Row

_DATA = {
    "y": [1.0, 3, 2, 5, 4, 6], "x": [1.0, 2, 3, 4, 5, 7], "firm": ["a", "a", "b", "b", "c", "c"], "size": [1.0, 1, 2, 2, 3, 3],
    "row": [1, 2, 3, 4, 5, 6], "share": [0.5, 0.5, 1.5, 1.5, 2.5, 2.5], "one": [1.0, 2, 3, 4, 5, 6], "year": [1, 2, 1, 2, 1, 2],
}  # fmt: skip


def _row(name: str, formula: str, says: str, raises: type[SquarelyError] = FormulaError, **more: Any) -> Row:
    return Row(name=f"effects: {name}", data=_DATA, formula=formula, says=says, raises=raises, **more)


FIXED_EFFECTS = [
    _row("a name is missing", "y ~ x |", "A name of a column is missing after '|'. Write y ~ x | firm + year."),
    _row("a call", "y ~ x | C(firm)", "C(firm) is not an effect: write the name of a column alone, as in"),
    _row("a colon", "y ~ x | firm:year", "firm:year is not an effect: write firm^year for one effect of"),
    _row("three columns in one", "y ~ x | firm^year^row", "firm^year^row is not an effect of two columns. Make one column"),
    _row("slopes", "y ~ x | firm[x]", "firm[x] is not an effect: slopes that differ by level are not absorbed."),
    _row("a number", "y ~ x | 0", "0 is not an effect: write the name of a column alone"),
    _row("twice", "y ~ x | firm + firm", "The effect firm is there twice. Write it once."),
    _row("a second bar", "y ~ x | firm | year", "The formula has a second '|', and instruments are not supported."),
    _row("instruments", "y ~ 1 | firm | x ~ year", "Instruments are not supported."),
    _row("no predictor", "y ~ 1 | firm", "has effects after '|' and no predictor before it. Write a"),
    _row("the response", "y ~ x | y", "'y' is the response and an effect after '|'. Remove it from one."),
    _row("an unknown column", "y ~ x | frim", "There is no column 'frim' in <data>. Did you mean 'firm'?", DataError),
    _row("a fraction", "y ~ x | share", "Column 'share' has 0.5 among its labels, which is not a whole number, so the", DataError),
    _row("as many levels as rows", "y ~ x | row", "There are 6 complete rows in <data> for 1 coefficient and 6 effects of row: "
         "nothing is left to measure the errors with. Absorb a column with fewer levels.", DataError),
    _row("a predictor that they absorb", "y ~ size | firm", "No column is left to fit: size is absorbed by firm. Name a",
         DataError),
    _row("a response that they absorb", "size ~ x | firm", "The response 'size' of <data> does not vary within the levels of firm, "
         "so nothing is left to explain. Leave these effects out", DataError),
    _row("CR2", "y ~ x | firm", "vcov='CR2' needs the leverages of whole clusters, and those of absorbed effects are not summed. "
         "Use vcov='CR1', or write few levels as C(...)", OptionError, options={"vcov": "CR2", "cluster": "year"}),
    _row("training", "y ~ x | firm", "has fixed effects after '|', which ols absorbs and training does not. Use ols, or write few "
         "levels as columns: + C(firm).", OptionError, call="train"),
    _row("a certificate", "y ~ x | firm", "has fixed effects after '|', which ols absorbs and training does not.", OptionError,
         call="certify"),
]  # fmt: skip
