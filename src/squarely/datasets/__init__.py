"""Small public data sets that come with the package, unchanged."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from squarely.data import read_csv

if TYPE_CHECKING:
    import pandas as pd


def cars() -> pd.DataFrame:
    """Load auto-mpg: fuel efficiency of 398 cars of the model years 1970 to 1982.

    Returns a new DataFrame of 398 rows and 9 columns: mpg (miles per US gallon), cylinders, displacement (cubic inches),
    horsepower (missing in 6 rows), weight (pounds), acceleration (seconds to 60 mph), model (year - 1900), origin
    (1 America, 2 Europe, 3 Japan), name.

    Source: StatLib, 1983 ASA Data Exposition; UCI Machine Learning Repository, "Auto MPG", doi:10.24432/C5859H.

    >>> cars().shape
    (398, 9)
    """
    with (files("squarely.datasets") / "cars.csv").open("rb") as file:
        return read_csv(file)


def __dir__() -> list[str]:
    return ["cars"]
