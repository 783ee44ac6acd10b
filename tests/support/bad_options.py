"""Bad options, and conditions on rows."""

from dataclasses import replace
from typing import Any

from squarely.errors import DataError, FormulaError, SquarelyError
from tests.support.bad_row import NO_OBJECTS, ON_A_LINE, TABLE, At, File, Row, with_columns
from tests.support.checks import CARS


def _option(name: str, says: str = "", *, call: str = "train", **options: Any) -> Row:
    return Row(name=name, data=At(CARS), formula="mpg ~ displacement", call=call, options=options, says=says)


def _where(name: str, where: Any, says: str = "", raises: type[SquarelyError] | None = None, **more: Any) -> Row:
    return Row(**{"name": name, "data": TABLE, "options": {"where": where}, "says": says, "raises": raises, **more})


def _read(name: str, says: str, raises: type[SquarelyError] | None = None, **read: Any) -> Row:
    return Row(name=name, data=File(b"y,x\n1,2\n2,4\n3,\xff\xff\n"), options={"read": read}, says=says, raises=raises)


_READ_BY_TYPER = "the command line reads this option as a number and refuses others itself"
_FLAG = "on the command line it is a flag"
_NO_START = "the command line has no such option"
OPTIONS = [
    _option("a learning rate of zero", "lr=0.0 is not a learning rate: it must be a finite number above zero.", lr=0.0),
    _option("a negative learning rate", "lr=-0.1 is not a learning rate", lr=-0.1),
    _option("a learning rate of NaN", "lr=nan is not a learning rate", lr=float("nan")),
    _option("an infinite learning rate", "lr=inf is not a learning rate", lr=float("inf")),
    _option("a learning rate of 1e300", "lr=1e+300 is beyond the range of float32. The best rate is rarely above 1", lr=1e300),
    _option("a word for a number", "lr='fast' is not a number. Give one, such as lr=0.01, or lr='auto'.", lr="fast"),
    replace(_option("True for a number", "lr=True is of type bool, not a number.", lr=True), python_only=_READ_BY_TYPER),
    replace(_option("no learning rate", "lr=[] names no learning rate.", call="sweep", lr=[]), python_only=_READ_BY_TYPER),
    _option("one bad rate among good ones", "lr=-1.0 is not a learning rate", call="sweep", lr=[0.1, -1.0]),
    _option("no epochs", "epochs=0 asks for no update. Give a whole number of at least 1.", epochs=0),
    _option("negative epochs", "epochs=-5 asks for no update.", epochs=-5),
    replace(_option("a rate of 401 digits", "lr=1e+400 is beyond the range of double precision.", lr=10**400),
            python_only=_READ_BY_TYPER),
    _option("epochs of 401 digits", "epochs=1e+400 is beyond the range of double precision.", epochs=10**400),
    _option("a batch without rows", "batch_size=0 is not a batch size. Give a whole number of at least 1.", batch_size=0),
    replace(_option("a fraction of an epoch", "epochs=2.5 is not a whole number.", epochs=2.5), python_only=_READ_BY_TYPER),
    _option("a misspelled optimizer", "optimizer='sdg' is not known. Did you mean 'sgd'?", optimizer="sdg"),
    _option("an unknown optimizer", "optimizer='newton' is not known.", optimizer="newton"),
    replace(_option("no optimizer", "optimizer=None is not known.", optimizer=None), python_only=NO_OBJECTS),
    _option("a momentum of one", "momentum=1.0 is not in [0, 1). Usual values are 0 and 0.9.", momentum=1.0),
    _option("momentum for Adam", "momentum= and nesterov= belong to optimizer='sgd'", momentum=0.9, optimizer="adam"),
    _option("Nesterov without momentum", "nesterov=True needs momentum above zero.", nesterov=True),
    replace(_option("a word for a boolean", "nesterov='no' is neither True", nesterov="no", momentum=0.9), python_only=_FLAG),
    _option("an unknown dtype", "dtype='float16' is not understood. Use 'float32' or 'float64'.", dtype="float16"),
    replace(_option("a seed that is a fraction", "seed=1.5 is not a whole number.", seed=1.5), python_only=_READ_BY_TYPER),
    _option("a seed of 71 bits", f"seed={2**70} does not fit into 64 bits. Give a smaller number.", seed=2**70),
    _option("an unknown device", "device='abacus' cannot be used here. Use device='auto'", device="abacus"),
    _option("a device without numbers", "device='meta' cannot be used here.", device="meta"),
    replace(_option("too short a start", "start=[1.0] has 1 value", start=[1.0]), python_only=_NO_START),
    replace(_option("a start that is not finite", "Give finite numbers.", start=[1.0, float("nan")]), python_only=_NO_START),
    replace(_option("a start beyond float32", "is not finite in float32.", start=[1e200, 0.0]), python_only=_NO_START),
    replace(_option("a number for a start", "start=1.0 is not a list of numbers.", start=1.0), python_only=_NO_START),
    _option("a tolerance of zero", "tau=0.0 is not a number of standard errors above zero.", call="certify", tau=0.0),
    _option("an unknown value of collinear", "collinear='keep' is not understood. Use 'drop'", call="ols", collinear="keep"),
    Row(
        name="columns that depend on each other, refused",
        data=with_columns(z=[2.0, 4, 6, 10]),
        formula="y ~ x + z",
        options={"collinear": "raise"},
        raises=DataError,
        says="Columns depend on each other: z = 2 x. Leave one of them out.",
    ),
    _option("an unknown value of missing", "missing='keep' is not understood. Use 'drop' or 'raise'.", call="ols", missing="keep"),
    _option("an unknown value of missing, trained", "missing='keep' is not understood.", missing="keep"),
    Row(
        name="gaps, refused",
        data=File("x,y\n1,2\nNA,3\n2,4\n3,7\n"),
        options={"missing": "raise"},
        raises=DataError,
        says="There are rows with gaps in <data>, and missing='raise' refuses them. 4 rows read, 3 used.",
    ),
    replace(_option("intercept= beside a formula", "intercept=False is for X= and y=. In a formula, write '- 1'.", call="ols",
                    intercept=False), python_only=_NO_START),
    _where("where: an empty condition", "", "where= has 0 characters; it needs a condition of at most 20,000.", FormulaError),
    _where("where: = for ==", "x = 3", "'x = 3' cannot be read here. Equality is written ==.\n    x = 3\n      ^", FormulaError),
    _where("where: => for >=", "x => 3", "These comparisons are written <= and >=.", FormulaError),
    _where("where: <> for !=", "x <> 3", "Unequal is written !=.", FormulaError),
    _where("where: AND", "x > 3 AND z < 2", "The words and, or, not and in are written in small letters.", FormulaError),
    _where("where: a word of SQL", "x IS NOT NULL", "That is SQL. Rows with gaps are left out anyway;", FormulaError),
    _where("where: half a condition", "x > 3 and", "Something is missing after the last word.", FormulaError),
    _where("where: no condition", "x + 1", "This is not a condition. Write it like where=", FormulaError),
    _where("where: a misspelled name", "zz > 3", "There is no column 'zz' in <data>. Did you mean 'z'?", DataError),
    _where("where: text without quotes", "origin == usa", "A text to compare with goes in quotes.\n    origin == usa\n", DataError),
    _where("where: double quotes that are not closed", 'origin == "usa', "a bracket or a quote that is missing", FormulaError),
    _where("where: text by its order", "origin < 'usa'", "Text and booleans have no order here", FormulaError),
    _where("where: text against a number", "origin > 3", "Column 'origin' holds text, and this compares numbers.", DataError),
    _where("where: a number in quotes", "x == 'usa'", "Column 'x' holds numbers and is compared with text.", DataError),
    _where("where: text for a boolean", "origin", "Column 'origin' is used as true or false but holds other values.", DataError),
    _where("where: a name with a space, bare", "model year > 2", "A name with spaces goes into backticks", FormulaError),
    _where("where: Python", "__import__('os').system('touch pwned')", "nothing is evaluated as Python.", FormulaError),
    _where("where: SQL after it", "x > 3; DROP TABLE cars", "One condition or expression is read", FormulaError),
    _where("where: no row satisfies it", "x > 100", "None of the 6 rows of <data> meets where='x > 100'.", DataError),
    _where("where: an unknown level", "origin == 'moon'", "None of the 6 rows of <data> meets where=", DataError),
    _where("where: too few rows satisfy it", "x > 6", "There are 2 complete rows for 2 coefficients in <data>", DataError),
    _where("where: the same in training", "x = 3", "Equality is written ==.", FormulaError, call="train"),
    _where("where: a number", 3, "where=3 is of type int, not text.", FormulaError, python_only=NO_OBJECTS),
    _where("where: & and |", "x < 5 & z > 0 | x > 100", params=ON_A_LINE, data=File("x,y,z\n1,2,1\n2,4,1\n3,6,1\n9,0,1\n")),
    _read("read: one sign for two things", "The delimiter and the decimal sign of read= are both ','. Give two signs",
          delimiter=",", decimal=","),
    _read("read: too few names", "There is 1 name for the 2 columns of <data>. Give one for each.",
          header=True, names=["y"], encoding="latin-1"),
    _read("read: names for a file that has some", "The first line of <data>, y, x, looks like names. Replace them by yours with",
          DataError, names=["a", "b"]),
    _read("read: all lines skipped", "The file '<data>' has only lines that are blank, skipped or", DataError, skip_rows=9),
    _read("read: an unknown encoding", "is not the name of an encoding, such as 'latin-1',", encoding="utf_42"),
    _read("read: a wrong encoding", "The file '<data>' is not encoded in 'shift_jis'", DataError, encoding="shift_jis"),
    _read("read: two signs as delimiter", "is not a single character, 'tab' or 'whitespace'.", delimiter="||"),
]  # fmt: skip
