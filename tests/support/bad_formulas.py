"""Bad names and formulas."""

from typing import Any

from squarely.errors import DataError, FormulaError, InputError
from tests.support.bad_row import LINE, NO_OBJECTS, ON_A_LINE, SMALL, TABLE, At, File, Row, with_columns

NAMES = [
    Row(
        name="a misspelled name",
        data=File("mpg,displacement\n1,2\n2,3\n3,5\n"),
        formula="mpg ~ displacment",
        says="no column 'displacment' in <data>. Did you mean 'displacement'?\n    mpg ~ displacment\n          ^^^^^^^^^^^",
    ),
    Row(name="capital letters", data=SMALL, formula="y ~ X", says="There is no column 'X' in <data>. Did you mean 'x'?"),
    Row(name="small letters", data=File("X,Y\n" + LINE), says="There is no column 'y' in <data>. Did you mean 'Y'?"),
    Row(name="an unknown name", data=SMALL, formula="y ~ temperature", says="Known names: 'x', 'y'."),
    Row(
        name="a name with a space, bare",
        data=TABLE,
        formula="y ~ model year",
        raises=FormulaError,
        says="A name with spaces goes into backticks, like `model year`.\n    y ~ model year\n        ^^^^^^^^^^",
    ),
    Row(
        name="a name in quotes",
        data=SMALL,
        formula="y ~ 'x'",
        raises=FormulaError,
        says="The text 'x' is used as a column. Write the name without quotes, or in backticks.",
    ),
    Row(
        name="the response in quotes",
        data=SMALL,
        formula="'y' ~ x",
        raises=FormulaError,
        says="'y' is used as the name of the response. Write the name without quotes.",
    ),
    Row(name="a misspelled name in Q", data=TABLE, formula="y ~ Q('model yeer')", says="Did you mean 'model year'?"),
    Row(
        name="blanks around names",
        data=File("| x | y |\n| 1 | 2 |\n| 2 | 4 |\n"),
        says="There is no column 'y' in <data>. Did you mean ' y '? Write it in backticks: ` y `.",
    ),
    Row(
        name="a name with a minus, bare",
        data=File("x-1,y\n1,2\n2,4\n3,7\n"),
        formula="y ~ x-1",
        says="There is no column 'x' in <data>. Did you mean 'x-1'? Write it in backticks: `x-1`.",
    ),
    Row(
        name="the first word of a name",
        data=File("sales (EUR),y\n1,2\n2,4\n3,7\n"),
        formula="y ~ sales",
        says="There is no column 'sales' in <data>. Did you mean 'sales (EUR)'? Write it in backticks: `sales (EUR)`.",
    ),
    Row(
        name="a letter that is stored as two signs",
        data=File("Gro\u0308ße,y\n1,2\n2,4\n3,7\n"),
        formula="y ~ Gr\u00f6ße",
        says="It is stored as 'Gro\\u0308\\xdfe': copy the name from there.",
    ),
    Row(
        name="a space before a name",
        data=File("x, y\n1, 2\n2, 4\n3, 7\n"),
        says="There is no column 'y' in <data>. Did you mean ' y'? Write it in backticks: ` y`.",
    ),
    Row(
        name="a column without a name",
        data=File(",y\n1,2\n2,3\n3,5\n4,4\n"),
        says="There is no column 'x' in <data>. Known names: '', 'y'.",
    ),
    Row(name="an empty name", data=SMALL, formula="y ~ ``", says="There is no column '' in <data>."),
    Row(
        name="two columns with one name",
        data=File("x,x,y\n1,2,3\n2,4,3\n3,5,9\n4,4,1\n"),
        says="<data> has two or more columns called 'x'. Rename all but one.",
    ),
    Row(name="a character that reverses the text direction", data=File("\u202ex,y\n" + LINE), says="Did you mean '\\u202ex'?"),
    Row(name="a no-break space", data=File("\u00a0x,y\n" + LINE), says="Did you mean '\\xa0x'?"),
    Row(
        name="a name that colors the terminal", data=SMALL, formula="y ~ `\x1b[31mred`", says="no column '\\x1b[31mred' in <data>."
    ),
    Row(
        name="SQL as a name",
        data=SMALL,
        formula="y ~ `x'); DROP TABLE cars; --`",
        says='There is no column "x\'); DROP TABLE cars; --" in <data>.',
    ),
    Row(
        name="a file whose name colors the terminal",
        data=At("\x1b[31m.csv"),
        says="The pattern '\\x1b[31m.csv' matches no file.",
    ),
    Row(
        name="a column called Intercept",
        data={"Intercept": [1.0, 2, 3, 5], "y": [1.0, 2, 3, 4]},
        formula="y ~ Intercept",
        raises=FormulaError,
        says="A column called 'Intercept' would have the name of the intercept. Give the column another one.",
    ),
    Row(name="an emoji, bare", data=SMALL, formula="y ~ 😀", raises=FormulaError, says="A name that has it goes into backticks."),
    Row(name="an emoji in backticks", data=File("😀,y\n" + LINE), formula="y ~ `😀`", params=ON_A_LINE),
    Row(name="a word of SQL", data=File("select,from\n" + LINE), formula="from ~ select", params=ON_A_LINE),
    Row(name="x beside X", data=File("x,X,z,z,y\n1,9,0,0,2\n2,9,0,0,4\n3,9,0,0,6\n4,9,0,0,8\n"), params=ON_A_LINE),
    Row(name="a comment sign before a name", data=File("#x,y,x\n9,2,1\n9,4,2\n9,6,3\n9,8,4\n"), params=ON_A_LINE),
    Row(name="a number in backticks", data=File("1,y\n" + LINE), formula="y ~ `1`", params=ON_A_LINE),
]


def _formula(name: str, formula: Any, says: str = "", **more: Any) -> Row:
    return Row(**{"name": name, "data": TABLE, "formula": formula, "says": says, **more})


_ARITHMETIC = "is not the name of a column. Arithmetic goes into I(...), such as I(2 * x); 0 and 1 stand alone in a sum."
_NO_TILDE = "has no '~' between the response and the predictors. Write it like 'mpg ~ displacement + weight'."
_NO_FUNCTION = "is not a function that formulas know, and nothing is evaluated as Python."
FORMULAS = [
    _formula("nothing", "", f"The formula '' {_NO_TILDE}"),
    _formula("a name without ~", "y", f"The formula 'y' {_NO_TILDE}"),
    _formula("= instead of ~", "y = x", f"The formula 'y = x' {_NO_TILDE}"),
    _formula("an arrow instead of ~", "y <- x", f"The formula 'y <- x' {_NO_TILDE}"),
    _formula("another wave than ~", "y ∼ x", _NO_TILDE),
    _formula("~ alone", "~", "The formula '~' has nothing to the left of the '~'."),
    _formula("no response", "~ x", "The formula '~ x' has nothing to the left of the '~'."),
    _formula("no predictor", "y ~", "The formula has nothing to the right of the '~'. For a mean alone write 'y ~ 1'."),
    _formula("two ~", "y ~ x ~ z", "The formula has a second '~'."),
    _formula("neither intercept nor predictor", "y ~ 0", "has no terms to the right of the '~'. For a mean alone write 'y ~ 1'."),
    _formula("a power of a column", "y ~ x^2", "Write I(x**2) for the power.\n    y ~ x^2\n        ^^^"),
    _formula("a power as in Python", "y ~ x**2", "of x alone it is x. Write I(x**2) for the power."),
    _formula(
        "a power that is no whole number", "y ~ (x + z)^2.5", "The exponent of a sum of terms must be a whole number from 1 to 999."
    ),
    _formula("a column times a number", "y ~ 2*x", f"2 {_ARITHMETIC}"),
    _formula("a column divided by a number", "y ~ x/2", f"2 {_ARITHMETIC}"),
    _formula(
        "one divided by a column",
        "y ~ 1/x",
        "A number in a product of terms has no meaning. Arithmetic goes into I(...)",
    ),
    _formula("a number", "y ~ 5", f"5 {_ARITHMETIC}"),
    _formula("a column that is removed but is not there", "y ~ x - z", "The formula has no term z to remove. Leave the '-' out;"),
    _formula("the negative of a column", "y ~ -x", "the negative of a column is I(-x)."),
    _formula("a bracket that is not closed", "y ~ (x", "Add the other one, or remove it.\n    y ~ (x\n        ^"),
    _formula("one bracket too many", "y ~ x)", "This bracket is closed but not opened. Add the other one, or remove it."),
    _formula("a call that is not closed", "y ~ log(x", "The formula ends before this is closed: a ) is missing."),
    _formula("a backtick that is not closed", "y ~ `x", "The formula ends before this is closed: a ` is missing."),
    _formula("a quote that is not closed", "y ~ 'x", "The formula ends before this is closed: a ' is missing."),
    _formula(
        "a sum without its last term",
        "y ~ x +",
        "The sign '+' has no operand on one of its sides. Write what is missing, or remove the",
    ),
    _formula("a sign without a term", "y ~ x:", "The sign ':' has no operand on one of its sides."),
    _formula("no sign between two names", "y ~ x z", "There is no operator such as + between the words of 'x z'."),
    _formula("a comma", "y ~ x, z", "',' is not understood in a formula. Terms are joined by +, as in a + b;"),
    _formula("only brackets", "y ~ (())", "The formula has nothing to the right of the '~'. For a mean alone write 'y ~ 1'."),
    _formula(
        "a comment on the response", "y # size ~ x", "'#' is not understood in a formula. Comments are not read. Leave it out."
    ),
    _formula("a comment", "y ~ x # size", "'#' is not understood in a formula. Comments are not read. Leave it out."),
    _formula("a comparison", "y ~ x > 2", "'>' is not understood in a formula. Conditions on rows go into where=."),
    _formula("and", "y ~ x & z", "'&' is not understood in a formula. Terms are joined by + or, for their product, by a colon"),
    _formula("a minus of a word processor", "y ~ x − 1", "It looks like a sign from a word processor. Type the plain one"),
    _formula("quotes of a word processor", "y ~ “x”", "It looks like a sign from a word processor."),
    _formula("R: as.factor", "y ~ as.factor(origin)", "'as.factor(origin)' cannot be read here. Write factor(...) or C(...)."),
    _formula("R: %in%", "y ~ x %in% z", "'in' is not understood in a formula. Write b:a for b %in% a."),
    _formula("R: a random effect", "y ~ (1|origin)", "Effects to absorb come last, as in y ~ x | firm + year; random effects are"),
    _formula("R: T for TRUE", "y ~ poly(x,2,raw=T)", "'T' is not a number, a text in quotes, True or False. Write one of these."),
    _formula("R: a column of a data frame", "y ~ df$x", "'$' is not understood in a formula. Write the name of the column alone"),
    _formula("R: the whole call", "lm(y ~ x)", "a formula is written alone, without a call around it."),
    _formula(
        "R: relevel", "y ~ relevel(origin, ref='usa')", "Write C(x), or C(x, Treatment(reference='a')) for another reference level."
    ),
    _formula("Python: np.power", "y ~ np.power(x, 2)", f"'power' {_NO_FUNCTION} Write I(x**2) for a power."),
    _formula("Python: a method", "y ~ x.astype(float)", f"'x.astype' {_NO_FUNCTION} Known are + - * / ** and log, log2, log10"),
    _formula("Python: an attribute", "y ~ C(origin).codes", "The text after the dot would be Python, and nothing is evaluated as"),
    _formula("Python: a position in a list", "y ~ x[0]", "'x[0]' is not understood in a formula."),
    _formula("Python: a comparison in I", "y ~ I(x > 2)", "'x > 2' is not understood in a formula. Known are + - * / **"),
    _formula("Python: a lambda", "y ~ I(lambda: x)", "is not understood in a formula."),
    _formula("Python in braces", "y ~ {x + 1}", "Braces are not supported. Arithmetic goes into I(...)"),
    _formula("Python that removes files", "y ~ __import__('os').system('touch pwned')", "nothing is evaluated as Python."),
    _formula("Python that computes", "y ~ eval('1')", f"'eval' {_NO_FUNCTION}"),
    _formula("SQL after the formula", "y ~ x; DROP TABLE cars", "';' is not understood in a formula."),
    _formula("an unknown function", "y ~ sin(x)", f"'sin' {_NO_FUNCTION} Known are"),
    _formula("a misspelled function", "y ~ logg(x)", f"'logg' {_NO_FUNCTION} Did you mean 'log'?"),
    _formula("ln", "y ~ ln(x)", "Write log(x), which is the natural logarithm."),
    _formula("a call without arguments", "y ~ C()", "C() has nothing in its brackets: C(x, contrast, levels), as in"),
    _formula("one argument too many", "y ~ log(x, 2)", "This is one argument too many: log(x) is the form."),
    _formula("an unknown argument", "y ~ bs(x, df=4, degre=2)", "The argument 'degre' is not known: bs(x, df, knots, degree"),
    _formula(
        "a reference outside of Treatment", "y ~ C(origin, reference='usa')", "as in C(x, Treatment(reference='a')), is the form."
    ),
    _formula(
        "a misspelled reference level",
        "y ~ C(origin, Treatment(reference='usaa'))",
        "names 'usaa', not among the 3 levels of 'origin' in the rows that are used. Did you mean 'usa'?",
    ),
    _formula("an unknown reference level", "y ~ C(origin, Sum('moon'))", "Known levels: 'europe', 'japan', 'usa'."),
    _formula(
        "levels that lack one",
        "y ~ C(origin, levels=['usa', 'japan'])",
        "lacks 'europe', which is in data row 3. List every level, or leave such rows out with where=.",
    ),
    _formula("an unknown contrast", "y ~ C(origin, Helmert)", "This contrast is not known. Known names: 'Treatment', 'Sum'"),
    _formula("categories of a sum", "y ~ C(x + z)", "C(...) takes the name of one column. Make a column of it in your data"),
    _formula("a polynomial of degree zero", "y ~ poly(x, 0)", "degree must be a whole number from 1 to 100 here."),
    _formula(
        "a degree too high for the values",
        "y ~ poly(x, 9)",
        "poly(x, 9) needs more than 9 different values of its argument",
        raises=DataError,
    ),
    _formula("a spline without a size", "y ~ bs(x)", "bs(...) needs either df, such as bs(x, df=4), or knots"),
    _formula(
        "knots outside the values",
        "y ~ bs(x, knots=[100])",
        "has inner knots 100, not all strictly between the ends 1 and 8 of the values. Choose knots inside, or fewer columns (df).",
        raises=DataError,
    ),
    _formula("a number beyond doubles", "y ~ I(x + 1e400)", "This number is beyond the range of double precision."),
    _formula("the response on both sides", "y ~ x + y", "'y' is on both sides of the formula."),
    _formula("a difference as the response", "y - z ~ x", "Arithmetic goes into I(...): I(y - z) ~ ...;"),
    _formula("a number as the response", "1 ~ x", "1 is used as the name of the response."),
    _formula(
        ". with no other column", "y ~ .", "The '.' stands for all other columns, and there are none.", data={"y": [1.0, 2, 3, 4]}
    ),
    _formula(
        "more coefficients than rows",
        "y ~ x * z * C(origin)",
        "There are 6 complete rows for 12 coefficients in <data>: nothing is left to measure the errors with.",
        raises=DataError,
    ),
    _formula(
        "15 terms to the 8th power",
        f"y ~ ({' + '.join(f'x{i}' for i in range(15))})**8",
        "This would make 29,100 terms or more; at most 2,000 are fitted. Write fewer, or a lower power.",
    ),
    _formula("10,000 terms", "y ~ " + " + ".join(["x"] * 10_000), "at most 20,000 and 2,000 are read. Write it shorter."),
    _formula(
        "60 brackets", "y ~ " + "(" * 60 + "x" + ")" * 60, "The brackets are nested more than 50 deep. Write it in fewer steps."
    ),
    _formula("a color of the terminal", "y ~ \x1b[31mred", "'\\x1b' is not understood in a formula. It is invisible. Remove it;"),
    _formula(
        "a character that reverses the text direction", "y ~ \u202ex", "'\\u202e' is not understood in a formula. It is invisible."
    ),
    _formula("a null character", "y ~ x\0", "'\\x00' is not understood in a formula. It is invisible."),
    _formula(
        "None", None, "There is no formula. Give a formula and data, or X= and y=.", raises=InputError, python_only=NO_OBJECTS
    ),
    _formula("a number for a formula", 3, "The formula is 3, of type int, not text.", python_only=NO_OBJECTS),
    _formula("bytes", b"y ~ x", "The formula is b'y ~ x', of type bytes, not text.", python_only=NO_OBJECTS),
    _formula("a list", ["y", "x"], "The formula is ['y', 'x'], of type list, not text.", python_only=NO_OBJECTS),
    _formula("no spaces", "y~x", params=ON_A_LINE, data=File("x,y\n" + LINE)),
    _formula("a column named twice", "y ~ x + x", params=ON_A_LINE, data=File("x,y\n" + LINE)),
    _formula("R: factor", "y ~ factor(x)", params=(1.5, 2.0), data=with_columns(x=["a", "a", "b", "b"])),
    _formula("a formula on two lines", "y ~\n x", params=ON_A_LINE, data=File("x,y\n" + LINE)),
    _formula("a power in I, as in R", "y ~ I(x^2)", params=(0.0, 1.0), data=with_columns(y=[1.0, 4, 9, 25])),
    _formula("Python: np.log10", "y ~ np.log10(x)", params=(0.0, 1.0), data={"x": [1.0, 10, 100, 1000], "y": [0.0, 1, 2, 3]}),
    _formula("the intercept taken out twice", "y ~ x - 1 + 0", params=(2.0,), data=File("x,y\n" + LINE)),
]
