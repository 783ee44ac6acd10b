"""HAC and Driscoll-Kraay: lags that cannot be, rows without an order, periods that are none."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from squarely.errors import DataError, SquarelyError
from tests.support.bad_row import NO_OBJECTS, File, Row
from tests.support.engines import ibis_sqlite

_TABLE = {
    "y": [1.0, 3, 2, 5, 4, 6, 8, 7],
    "x": [1.0, 2, 3, 4, 5, 6, 7, 8],
    "k": [1, 2, 1, 1, 3, 1, 1, 1],
    "year": [2001, 2001, 2002, 2002, 2003, 2003, 2004, 2004],
    "one": ["same"] * 8,
}


def _unordered() -> Any:
    return ibis_sqlite(pa.table(_TABLE), Path())


def _row(name: str, says: str, raises: type[SquarelyError] | None = None, *, data: Any = _TABLE, **options: Any) -> Row:
    return Row(name=name, data=data, options=options, says=says, raises=raises, python_only=NO_OBJECTS if callable(data) else "")


SERIAL_CORRELATION = [
    _row("lags: negative", "lags=-1 is not a whole number of at least 0. Leave it out", vcov="HAC", lags=-1),
    _row("lags: a fraction", "lags=1.5 is not a whole number of at least 0.", vcov="HAC", lags=1.5),
    _row("lags: as many as rows", "lags=8 needs more than 8 rows. Give fewer, or leave lags out.", vcov="HAC", lags=8),
    _row("lags: as many as periods", "lags=3 needs at least 5 periods, and 'year' has 4. Give fewer lags, or leave lags out.",
         vcov="DK", time="year", lags=3),
    _row("HAC: rows without an order", "vcov='HAC' needs rows in their order in time, and the Ibis table",
         data=_unordered, vcov="HAC"),
    _row("HAC: frequencies", "vcov='HAC' and frequencies= do not go together, because the copies of a row have no order.",
         vcov="HAC", frequencies="k"),
    _row("DK: frequencies", "vcov='DK' and frequencies= do not go together, because the copies of a row have no order. Use",
         vcov="DK", time="year", frequencies="k"),
    _row("DK: a period in two ways", "Column 'month' has '1' and '01' among its labels, which are the same number.", DataError,
         data=File("y,x,month\n1,1,1\n3,2,2\n2,3,01\n5,4,3\n"), vcov="DK", time="month"),
    _row("DK: no periods", "vcov='DK' (Driscoll-Kraay) needs the periods. Name their column, such as time='year'.", vcov="DK"),
    _row("DK: one period", "'one' of <data> has one value in all rows of the fit, and Driscoll-Kraay needs at least two periods.",
         DataError, vcov="DK", time="one"),
    _row("DK: a column that is not there", "There is no column 'yaer' in <data>. Did you mean 'year'?", DataError, vcov="DK",
         time="yaer"),
    _row("time: without DK", "time='year' is for vcov='DK' (Driscoll-Kraay), and vcov is 'HAC'. Leave one of them out.", vcov="HAC",
         time="year"),
]  # fmt: skip
