"""Texts and numbers that a person reads as dates."""

from __future__ import annotations

import re

import numpy as np

from squarely.numerics import Array

_YEAR = r"(?:1[5-9]|20|21)\d\d"
_MONTH_NUMBER, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NAME = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?)\.?"
)
_TIME = r"(?:[T ,]+\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?(?: ?(?:z|utc|gmt|[+-]\d\d:?\d\d))?)?"
_DATE = re.compile(
    "|".join(
        [
            rf"{_YEAR}[-/]{_MONTH_NUMBER}(?:[-/]{_DAY}{_TIME})?",  # 2020-01, 2020-01-31 12:00
            rf"{_YEAR}\.{_MONTH_NUMBER}\.{_DAY}{_TIME}",
            rf"{_YEAR}[- ]?(?:m{_MONTH_NUMBER}|q[1-4]|[hs][12]|w\d\d?)",  # 2020M01, 2020-Q1, 2020S1, 2020-W05
            rf"(?:q[1-4]|[hs][12])[- /]?{_YEAR}",  # Q1 2020
            rf"{_MONTH_NUMBER}[-/.]{_YEAR}",  # 01/2020
            rf"{_MONTH_NAME}[- /,]+(?:{_YEAR}|'?\d\d)",  # Jan-20, January 2020
            rf"(?:{_YEAR}|\d\d)[- ]?{_MONTH_NAME}",  # 2020Jan, 20-Jan
            rf"{_DAY}[- ./]*{_MONTH_NAME}[- ./,]*(?:{_YEAR}|'?\d\d)?{_TIME}",  # 01-Jan-2020, 1Jan2020
            rf"{_MONTH_NAME} {_DAY},? {_YEAR}{_TIME}",  # January 1, 2020
            rf"(?:{_DAY}([-/.]){_MONTH_NUMBER}|{_MONTH_NUMBER}([-/.]){_DAY})(?:\1|\2)(?:{_YEAR}|\d\d){_TIME}",  # 1/31/2020 9:30
        ]
    ),
    re.IGNORECASE,
)
_FEWEST_DATES = 6  # different numbers; fewer may look like dates by chance


def is_date(text: str) -> bool:
    """Return whether a text is a day, a month, a quarter or a week of a year.

    >>> [is_date(text) for text in ("2020M01", "2020-01", "Jan-20", "01-Jan-2020", "2020Q1", "1/31/2020 9:30")]
    [True, True, True, True, True, True]
    >>> [is_date(text) for text in ("2020", "may", "10-20", "A1", "1.25", "q1")]
    [False, False, False, False, False, False]
    """
    return len(text) <= 40 and _DATE.fullmatch(text.strip()) is not None


def are_dates(values: Array) -> bool:
    """Return whether numbers (m,) are dates such as 202001 or 20200131.

    >>> are_dates(np.array([202011.0, 202012, 202101, 202102, 202103, 202104])), are_dates(np.arange(202011.0, 202017))
    (True, False)
    """
    if not (values == np.floor(values)).all():
        return False
    different = np.unique(values)
    if len(different) < _FEWEST_DATES:
        return False
    days = np.where(different > 10**7, different % 100, 1)
    months = np.where(different > 10**7, different // 100, different)
    year, month = months // 100, months % 100
    same_length = (different > 10**7).all() or (different < 10**7).all()
    return bool(same_length and ((year >= 1900) & (year <= 2100) & (month >= 1) & (month <= 12) & (days >= 1) & (days <= 31)).all())
