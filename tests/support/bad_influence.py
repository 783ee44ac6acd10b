"""Influence that cannot be measured."""

from typing import Any

from tests.support.bad_row import TABLE, Row

_NAMED_TOP = "the option is --top there: tests/cli/test_influence.py has it"


def _influence(name: str, says: str, python_only: str = "", **options: Any) -> Row:
    return Row(name=name, data=TABLE, call="influence", says=says, python_only=python_only, options=options)


INFLUENCE = [
    _influence("a measure by another name", "by='cooks' is not a measure of influence. Did you mean 'cooks_d'?", by="cooks"),
    _influence("a coefficient without dfb_", "by='x' is not a measure of influence. Known names: 'cooks_d', ", by="x"),
    _influence("the change of no coefficient", "by='dfb_z' is not a measure of influence.", by="dfb_z"),
    _influence("no rows", "k=0 is not a number of rows. Give a whole number of at least 1.", _NAMED_TOP, k=0),
    _influence("half a row", "k=2.5 is not a number of rows. Give a whole number of at least 1.", _NAMED_TOP, k=2.5),
]
