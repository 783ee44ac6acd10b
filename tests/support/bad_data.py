"""Bad frames and values: what is wrong with columns and what they hold."""

import numpy as np
import pandas as pd

from squarely.errors import InputError
from tests.support.bad_row import NO_OBJECTS, NOT_IN_CSV, ON_A_LINE, SMALL, TABLE, At, File, Row, file_of, with_columns

FRAMES = [
    Row(
        name="arrays of different lengths",
        data={"x": [1, 2], "y": [1, 2, 3]},
        says="The arrays have different lengths: {'x': 2, 'y': 3}. Every column needs one value for each row.",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="a matrix as a column",
        data={"x": np.ones((3, 2)), "y": [1, 2, 3]},
        says="Column 'x' has shape (3, 2). Give an array of one dimension for each column.",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="one number as a column",
        data={"x": 5, "y": [1, 2, 3]},
        says="Column 'x' has shape (). Give an array of one dimension",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="a list of lists as a column",
        data={"x": [[1], [2], [3]], "y": [1, 2, 3]},
        says="Column 'x' of <data> holds list",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="text and numbers in one list",
        data={"x": ["a", 1, 2], "y": [1, 2, 3]},
        says="Column 'x' mixes kinds of values: 'a' in row 1 is text among numbers. Convert them all to numbers, for example with",
        cli_says="Column 'x' of <data> holds text among numbers: 'a' in data row 1.",
    ),
    Row(
        name="objects of Python",
        data=pd.DataFrame({"x": [Ellipsis, 2, 3], "y": [1, 2, 3]}),
        says="Column 'x' mixes kinds of values. Convert them all to numbers, or all to text. Arrow says:",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="complex numbers",
        data=with_columns(x=[1 + 2j, 2, 3, 4]),
        says="Column 'x' mixes kinds of values. Convert them all to numbers, or all to text. Arrow says:",
        python_only="in CSV they are text, and so categories",
    ),
    Row(
        name="a name that is a number",
        data={1: [1, 2, 3]},
        says="The name of a column is 1, of type int. Give strings as names.",
        cli_says="There is no column 'y' in <data>. Known names: '1'.",
    ),
    Row(
        name="no columns",
        data={},
        says="There is no column 'y' in <data>. It has no column whose name is text. Give its columns names.",
        cli_says="The first line of 'data.csv' is blank. Begin the file with a line of column names",
    ),
    Row(
        name="columns without names",
        data=pd.DataFrame([[1, 2], [2, 4], [3, 5]]),
        says="There is no column 'y' in <data>. It has no column whose name is text. Give its columns names.",
        cli_says="There is no column 'y' in <data>. Known names: '0', '1'.",
    ),
    Row(
        name="no rows",
        data=pd.DataFrame({"x": [], "y": []}),
        says="There are column names but no rows in <data>. Give at least 3 rows.",
    ),
    Row(
        name="two columns with one name",
        data=pd.DataFrame([[1, 2, 3]], columns=["x", "x", "y"]),
        says="<data> has two or more columns called 'x'. Rename all but one.",
    ),
    Row(
        name="series with different indexes",
        data={"x": pd.Series([1.0, 2, 3]), "y": pd.Series([1.0, 2, 3], index=[2, 1, 0])},
        says="The series 'x' and 'y' have different indexes. Put them into one DataFrame, which aligns them, or pass plain arrays.",
        python_only="pandas aligns them when it writes CSV",
    ),
    Row(name="a number", data=7, says="Data of type 'int' is not understood. Give the path or URL of", python_only=NO_OBJECTS),
    Row(name="a list", data=[1, 2, 3], says="Data of type 'list' is not understood.", python_only=NO_OBJECTS),
    Row(name="an array", data=np.ones((3, 2)), says="Data of type 'ndarray' is not understood.", python_only=NO_OBJECTS),
    Row(
        name="a series",
        data=pd.Series([1, 2, 3], name="x"),
        says="Data of type 'Series' is not understood.",
        python_only=NO_OBJECTS,
    ),
    Row(
        name="no data",
        data=None,
        raises=InputError,
        says="There is no data. Give a formula and data, or X= and y=.",
        python_only=NO_OBJECTS,
    ),
    Row(
        name="the text of a file instead of its path",
        data=At("x,y\n1,2\n2,3"),
        says="The file 'x,y\\n1,2\\n2,3' does not exist.",
    ),
    Row(name="ranges", data={"x": range(4), "y": range(4)}, params=(0.0, 1.0)),
    Row(name="arrays of the other byte order", data={"x": np.arange(4.0).astype(">f8"), "y": 2 * np.arange(4.0)}, params=ON_A_LINE),
    Row(
        name="a broken column that the formula does not name",
        data={"x": [0.0, 1, 2, 3], "y": [0.0, 2, 4, 6], "note": [1, "a", None, 2.5]},
        params=ON_A_LINE,
    ),
]

VALUES = [
    Row(
        name="a question mark among numbers",
        data=file_of("1", "?", "3"),
        says="Column 'x' of <data> holds text among numbers: '?' in data row 2. Give read={'na_values': ['?']} if it means",
    ),
    Row(name="a dash for a gap", data=file_of("1", "-", "3"), says="holds text among numbers: '-' in data row 2."),
    Row(
        name="an error of a spreadsheet",
        data=file_of("1", "#DIV/0!", "3"),
        says="holds text among numbers: '#DIV/0!' in data row 2.",
    ),
    Row(name="a row of totals", data=file_of("1", "2", "3", "Total"), says="holds text among numbers: 'Total' in data row 4."),
    Row(
        name="text after 30,000 numbers",
        data=File("x,y\n" + "1,2\n" * 30_000 + "oops,3\n"),
        says="Column 'x' of <data> holds text, not a number: 'oops' in data row 30,001. Correct or clear that value.",
    ),
    Row(
        name="a number among text",
        data=with_columns(x=["a", "b", "1", "c"]),
        says="Column 'x' of <data> holds a number among text: '1' in data row 3.",
    ),
    Row(
        name="numbers stored as text",
        data=pd.DataFrame({"x": ["1", "2", "4"], "y": [1, 2, 3]}),
        says="Column 'x' of <data> is stored as text, although every value is a number. Convert it before the fit,",
        python_only="in a CSV file they are numbers",
    ),
    Row(
        name="separators of thousands",
        data=File('x,y\n"1,234",2\n"2,345",3\n"3,456",5\n'),
        says="Column 'x' of <data> holds numbers with signs or separators: '1,234' in data row 1. Give read={'thousands': ','} if",
    ),
    Row(
        name="percent signs", data=file_of("10%", "20%", "30%"), says="holds numbers with signs or separators: '10%' in data row 1."
    ),
    Row(
        name="currency signs",
        data=file_of("$10", "$20", "$30"),
        says="holds numbers with signs or separators: '$10' in data row 1.",
    ),
    Row(
        name="a question mark among decimal commas",
        data=File("x;y\n1,5;3\n2,5;5\n?;7\n4,5;9\n"),
        says="Column 'x' of <data> holds text among numbers: '?' in data row 3.",
    ),
    Row(
        name="a word among prices",
        data=file_of("$4.99", "Free", "$2.49", "$1.99"),
        says="holds text among numbers such as '$4.99': 'Free' in data row 2. Correct or clear that value, and write numbers as",
    ),
    Row(
        name="a detection limit among percent signs",
        data=file_of("5.1%", "6.2%", "k.A.", "4.4%"),
        says="holds text among numbers such as '5.1%': 'k.A.' in data row 3.",
    ),
    Row(
        name="units",
        data=file_of("998 CC", "1197 CC", "1248 CC"),
        says="Column 'x' of <data> holds numbers with a unit or sign: '998 CC' in data row 1. Write them as 1234.5",
    ),
    Row(
        name="a word among units",
        data=file_of("19M", "2.4M", "Varies with device", "201k"),
        says="holds text among numbers such as '19M': 'Varies with device' in data row 3.",
    ),
    Row(
        name="a minus sign after the number",
        data=file_of("1200-", "980-", "1100-"),
        says="holds numbers with signs or separators: '1200-' in data row 1.",
    ),
    Row(
        name="an underscore after 30,000 numbers",
        data=File("x,y\n" + "1,2\n" * 30_000 + "1_2,3\n"),
        says="Column 'x' of <data> holds text, not a number: '1_2' in data row 30,001.",
    ),
    Row(name="two signs", data=file_of("+-5", "1", "2"), says="'+-5' in data row 1."),
    Row(
        name="commas that may separate thousands beside a decimal comma",
        data=File("x;y;codes\n1,250;50;a\n2,300;61;3,5\n900;57;a\n"),
        says="Column 'x' of <data> has values such as '1,250', in which the comma may stand for a decimal point or separate",
    ),
    Row(
        name="points that may separate thousands",
        data=File("x;y\n987;40\n1.234;55\n560;22\n"),
        says="Column 'x' of <data> has values such as '1.234', in which the point may stand for a decimal point or separate",
    ),
    Row(
        name="decimal commas in quotes",
        data=File('x,y\n1,"1,5"\n2,"2,5"\n3,"4,1"\n4,"4,4"\n'),
        says="The response 'y' of <data> holds text, '1,5' in data row 1, and a regression explains numbers. "
        "Give read={'decimal': ','} if these are numbers.",
    ),
    Row(name="decimal commas", data=File("x;y\n1,5;3\n2,5;5\n3,5;7\n4,5;9\n"), params=ON_A_LINE),
    Row(
        name="dates",
        data=file_of("2020-01-01", "2020-01-02", "2020-01-03"),
        says="Column 'x' of <data> holds DATE values, which are neither numbers nor categories. Convert it to a number with a unit",
    ),
    Row(
        name="dates in a data frame",
        data=pd.DataFrame({"x": pd.to_datetime(["2020-01-01"] * 3), "y": [1, 2, 3]}),
        says="values, which are neither numbers nor categories. Convert it to a number with a unit",
    ),
    Row(name="times of the day", data=file_of("12:30", "12:40", "12:50"), says="Column 'x' of <data> holds TIME values"),
    Row(
        name="text after 30,000 dates",
        data=File("x,y\n" + "2020-01-01,1\n" * 30_000 + "foo,3\n"),
        says="Column 'x' of <data> holds DATE values, which are neither numbers nor categories.",
    ),
    Row(
        name="a number after 40,000 booleans",
        data=File("x,y\n" + "true,1\nfalse,2\n" * 20_000 + "7,3\n"),
        says="Column 'x' of <data> holds a number among text: '7' in data row 40,001.",
    ),
    Row(
        name="text as the response",
        data=with_columns(y=["good", "bad", "good", "bad"]),
        says="The response 'y' of <data> holds text, 'good' in data row 1, and a regression explains numbers.",
    ),
    Row(
        name="text in arithmetic",
        data=TABLE,
        formula="y ~ log(origin)",
        says="Column 'origin' of <data> holds text, not a number: 'usa' in data row 1. Correct or clear that value.",
    ),
    Row(
        name="gaps in every row",
        data=File("x,y\n,2\n2,\n"),
        says="None of the 2 rows of <data> is complete in the columns 'x', 'y': 'x' is empty in 1 row; 'y' is empty in 1 row.",
    ),
    Row(
        name="a column of NaN",
        data=with_columns(x=[np.nan] * 4),
        says="None of the 4 rows of <data> is complete in the columns 'x', 'y': 'x' is not a number in 4 rows.",
        cli_says="None of the 4 rows of <data> is complete in the columns 'x', 'y': 'x' is empty in 4 rows.",
    ),
    Row(
        name="logarithms of only negative numbers",
        data=with_columns(x=[-1.0, -2, -3, -4]),
        formula="y ~ log(x)",
        says="'log(x)' is not a number in 4 rows. Fill these gaps, or leave these columns out. An expression has no value where it",
    ),
    Row(name="division by zero", data=SMALL, formula="y ~ I(x / 0)", says="'I(x / 0)' is infinite in 4 rows."),
    Row(
        name="numbers near the end of the range",
        data=with_columns(x=[1e308, -1e308, 1, 2]),
        says="and their squares leave the range of double precision: between 1e-75 and 1e+75 is safe. Rescale the column",
    ),
    Row(
        name="numbers near zero",
        data=with_columns(x=[1e-320, 2e-320, 3e-320, 5e-320]),
        says="squares leave the range of double precision",
    ),
    Row(
        name="a point for a missing value in the response",
        data=File("x,y\n1,2\n2,.\n3,6\n4,7\n"),
        says="holds text, '.' in data row 2, and a regression explains numbers. Correct that value, or give "
        "read={'na_values': ['.']} if it means a missing value.",
    ),
    Row(
        name="a row of units",
        data=File("x,y\ncm,kg\n1,2\n2,4\n3,6\n"),
        says="'kg' in data row 1, and a regression explains numbers. Correct that value, or give read={'skip_rows': [2]} if line 2",
    ),
    Row(
        name="a question mark in a row that is not used",
        data=File("x,y\n1,2\n?,4\n3,6\n4,8\n5,9\n"),
        options={"where": "x != '?'"},
        says="Column 'x' of <data> holds numbers in every row that is used, and text in others: '?' in data row 2. Give",
    ),
    Row(
        name="bytes",
        data=pd.DataFrame(with_columns(x=[b"a", b"b", b"a", b"b"])),
        says="which are neither numbers nor categories. Convert it to numbers or text first, bytes for example with .str.decode",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="text in every row",
        data=File("x,y\nn1,1\nn2,2\nn3,5\n"),
        says="There are 3 complete rows for 3 coefficients in <data>: nothing is left to measure the errors with. x is a "
        "category of 3 levels.",
    ),
    Row(
        name="an integer of 71 bits",
        data=with_columns(x=[2**70, 2, 3, 4]),
        says="Column 'x' has an integer of more than 64 bits. Convert the column to floats, or to text for categories.",
        python_only="in a CSV file it is read as the nearest double",
    ),
    Row(
        name="one category in every row",
        data=with_columns(x=["a"] * 4),
        says="Column 'x' of <data> is 'a' in every row that is used, and one level cannot be compared.",
    ),
    Row(
        name="more than 10,000 categories",
        data={"x": [f"l{i}" for i in range(10_002)], "y": list(range(10_002))},
        says="Column 'x' of <data> has more than 10,000 different values: too many for categories. Group them",
    ),
    Row(
        name="a constant column, trained",
        data=with_columns(x=[2.0] * 4),
        call="train",
        says="Column 'x' is 2 in every row",
    ),
    Row(name="a constant response", data=with_columns(y=[5.0] * 4), params=(5.0, 0.0)),
    Row(name="a constant column", data=with_columns(x=[2.0] * 4), params=(2.5, np.nan)),
    Row(name="integers of 71 bits", data=File(f"x,y\n1,2\n2,4\n{2**70},{2**71}\n3,6\n"), params=ON_A_LINE),
    Row(name="a gap", data=File("x,y\n1,2\nNA,3\n2,4\n3,6\n"), params=ON_A_LINE),
    Row(name="an infinity", data=File("x,y\n1,2\n1e999,3\n2,4\n3,6\n"), params=ON_A_LINE),
    Row(name="text as a predictor", data=with_columns(x=["a", "a", "b", "b"]), params=(1.5, 2.0)),
]
