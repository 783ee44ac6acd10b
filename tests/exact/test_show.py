"""Pages of results: no text leaves the page or becomes a tag, and HTML says all that the page holds."""

import contextlib
import io
import math
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.cells import cell_len

import squarely as sq
from squarely.show import KeyValueTable, Page, Section, Table
from squarely.show.page import WIDTH
from squarely.show.text import wrap_text
from tests.support.checks import CARS

# Each name with what a reader must see of it, which is the name itself but for characters that do not show.
NAMES = {
    "weight": "weight",
    "": "",
    " two  spaces ": " two  spaces ",
    "<b>bold</b>": "<b>bold</b>",
    "</td></table><script>alert(1)</script>": "</td></table><script>alert(1)</script>",
    '" onmouseover="alert(1)': '" onmouseover="alert(1)',
    "it's &amp; R&D": "it's &amp; R&D",
    "<!-- ": "<!-- ",
    r"$\bad$ \(x\) $$y$$": r"$\bad$ \(x\) $$y$$",
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "abc\u202edef\u2066": r"abc\u202edef\u2066",
    "line\nbreak\ttab\0": r"line\nbreak\ttab\x00",
    "\ud800": r"\ud800",
    "日本語" * 50: "日本語" * 50,
    "e\u0301" * 200: "e\u0301" * 200,
    "n" * 300: "n" * 300,
    "several words " * 30: "several words " * 30,
}
TAGS = {"div", "h3", "h4", "br", "code", "span", "table", "thead", "tbody", "tr", "th", "td", "p", "ol", "li"}
TEXTS = {"h3", "h4", "code", "span", "th", "td", "p", "li"}


class Reader(HTMLParser):
    """Read a fragment strictly: every tag closed in its turn, text only where text belongs."""

    def __init__(self, fragment):
        super().__init__(convert_charrefs=True)
        self.open, self.elements = [], []
        self.feed(fragment)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        assert {name for name, _ in attrs} <= {"style", "scope", "class"}
        self.open.append(tag)
        if tag in TEXTS:
            self.elements.append([tag, dict(attrs).get("scope"), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in TEXTS:
            self.elements[-1][2] += data
        else:
            assert data.strip() == ""

    def handle_comment(self, data):
        raise AssertionError(data)

    def of(self, tag, scope=None):
        return [text for name, message, text in self.elements if (name, message) == (tag, scope)]


def page_of(name):
    return Page(
        name,
        [
            KeyValueTable([("Dep. Variable:", name), (name, "1.0")], [(name, name)]),
            Table(("", "coef", "t"), [(name, "1.25", "-3e+04")]),
        ],
        footer=[f"Digits: 12, where {name} cannot be told from zero."],
        notes=[name, f"Dropped: {name}.", "short"],
    )


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_every_text_is_in_the_html_as_it_is_to_be_seen(name):
    seen = NAMES[name]
    read = Reader(page_of(name)._repr_html_())
    assert read.of("h3") == ([seen] if seen else [])
    assert read.of("th", "col") == ["", "coef", "t"]
    labels = ["Dep. Variable:", seen, seen, seen] if seen else ["Dep. Variable:", ""]
    assert read.of("th", "row") == labels
    cells = [seen, seen, "1.0", "", "", "1.25", "-3e+04"] if seen else ["", "", "", "", "1.0", "", "", "1.25", "-3e+04"]
    assert read.of("td") == cells
    assert read.of("p") == [f"Digits: 12, where {seen} cannot be told from zero.", "Notes:"]
    assert read.of("li") == [seen, f"Dropped: {seen}.", "short"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_line_of_text_leaves_the_page(name):
    page = page_of(name)
    text = str(page)
    assert repr(page) == text
    assert max(map(cell_len, text.split("\n"))) == WIDTH == 78
    assert all(line.isprintable() for line in text.split("\n"))
    assert ["1.25", "-3e+04"] in [line.split()[-2:] for line in text.split("\n")]


def section_of(name):
    line = name.replace("\n", " ")
    return Section(name, [("Line", f"{line} is here:\n    {line}\nend"), (line, "text"), ("", f"        {line};")])


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_section_in_html(name):
    line = NAMES[name].replace(r"\n", " ")
    read = Reader(Page("", [section_of(name)])._repr_html_())
    assert read.of("h4") == [NAMES[name]]
    assert read.of("th", "row") == ["Line", line, ""]
    assert read.of("span") == [f"{line} is here:", "end", "text"]
    assert read.of("code") == [f"    {line}", f"        {line};"]


@pytest.mark.parametrize("width", [60, 78, 120])
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_section_as_text(name, width):
    lines = Page("", [section_of(name)]).as_text(width).split("\n")
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    shown = "".join("".join(lines).split())
    line = "".join(NAMES[name].replace(r"\n", " ").split())
    if len(line) < 200:  # a long label is cut
        assert shown.count(line) >= 3


def test_the_layout_of_a_section():
    code = "optimizer.zero_grad()\n        loss.backward()"
    section = Section("no-zero-grad", [("Evidence", "one two three " * 6), ("Fix", f"Write:\n    {code}")])
    assert Page("", [section]).as_text(60).split("\n")[1:-1] == [
        "=" * 60,
        "no-zero-grad",
        "Evidence  one two three one two three one two three one two",
        "          three one two three one two three",
        "Fix       Write:",
        "              optimizer.zero_grad()",
        "                  loss.backward()",
    ]


def test_html_of_a_page_with_nothing_on_it():
    assert Reader(Page("", [])._repr_html_()).elements == []
    read = Reader(Page("", [KeyValueTable([("Model:", "OLS")]), Table(("", "coef"), [])])._repr_html_())
    assert read.elements == [["th", "row", "Model:"], ["td", None, "OLS"], ["th", "col", ""], ["th", "col", "coef"]]
    assert str(Page("", [])) == "\n" + "=" * WIDTH


def test_html_looks_like_the_notebook_it_is_in_and_fetches_nothing():
    fragment = page_of("weight")._repr_html_()
    for word in ("color", "background", "font-family", "<script", "<style", "http", "url(", " id=", "…"):
        assert word not in fragment
    assert fragment.startswith('<div class="tex2jax_ignore mathjax_ignore"')  # MathJax 2 and MathJax 3 leave it alone


def test_no_bare_dollar_in_html():
    assert "$" not in page_of(r"$\bad$")._repr_html_()


@pytest.mark.parametrize("formula", ["mpg ~ displacement", "mpg ~ displacement + horsepower + weight - 1"])
def test_summary_says_the_same_in_html_as_in_text(formula):
    page = sq.ols(formula, CARS).summary()
    texts = [text for _, _, text in Reader(page._repr_html_()).elements]
    words = [word for text in texts for word in text.split()]
    marks = {f"[{i}]" for i, _ in enumerate(page.notes, start=1)}
    shown = [word for word in str(page).split() if set(word) - set("=-") and word not in marks]
    assert sorted(words) == sorted(shown)


@pytest.mark.parametrize("indent", ["", "    "])
@pytest.mark.parametrize("text", ["n" * 300, "日" * 100, "e\u0301" * 99, f"a {'n' * 50} b {'日' * 7} c", "one two three"])
@pytest.mark.parametrize("width", [6, 11, 78])
def test_wrapped_keeps_every_character_within_the_width(text, indent, width):
    lines = wrap_text(text, width, indent)
    assert max(map(cell_len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(line.startswith(indent) for line in lines[1:])


def test_a_broken_word_is_not_joined_by_spaces():
    assert wrap_text("n" * 20, 10, indent="    ") == ["n" * 6, *["    " + "n" * 6] * 2, "    nn"]
    assert wrap_text(f"[1] {'n' * 8} end", 10, indent="    ") == ["[1] nnnnnn", "    nn end"]


# The width of a page


PAGES = {
    "fit": lambda: sq.ols("mpg ~ weight + C(origin)", CARS).summary(),
    "preview": lambda: sq.preview("mpg ~ weight + displacement", sq.datasets.cars()).summary(),  # values of a file may be cut
    "names": lambda: page_of("n" * 130),
    "wide numbers": lambda: Page("", [Table(("", *"abcdefgh"), [("x", *["-1.234567e-05"] * 8)])]),
}


@pytest.mark.parametrize("width", [60, 61, 78, 79, 100, 120])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_width_it_is_given_and_says_all(name, width):
    page = PAGES[name]()
    text = page.as_text(width)
    assert max(map(cell_len, text.split("\n"))) == width
    assert "…" not in text
    shown = set(page.as_text(10_000).split())
    assert {word for word in shown if len(word) < 50 and set(word) - set("=-")} <= set(text.split())


def test_columns_that_do_not_fit_follow_below():
    lines = PAGES["wide numbers"]().as_text(60).split("\n")
    headers = [line.split() for line in lines if line.strip() and line.split()[0] in "abcdefgh"]
    assert headers == [["a", "b", "c", "d"], ["e", "f", "g", "h"]]
    assert sum(line.count("-1.234567e-05") for line in lines) == 8


def test_pairs_that_do_not_fit_beside_each_other_are_in_one_column():
    page = Page("", [KeyValueTable([("Rows:", "1"), ("Data:", "d" * 40)], [("Fold:", "f" * 30), ("Size:", "2")])])
    assert [line.split()[0] for line in page.as_text(60).split("\n")[2:-1]] == ["Rows:", "Data:", "Fold:", "Size:"]
    assert [line.split()[::2] for line in page.as_text(120).split("\n")[2:-1]] == [["Rows:", "Fold:"], ["Data:", "Size:"]]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("columns", "width"), [("40", 60), ("66", 66), ("100", 100), ("200", 120)])
def test_a_terminal_decides_the_width_and_nothing_else_does(columns, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    page = page_of("weight")
    with contextlib.redirect_stdout(Terminal()) as terminal:
        print(page)
    assert terminal.getvalue() == page.as_text(width) + "\n"
    for file in (io.StringIO(), None):
        with contextlib.redirect_stdout(file):
            assert str(page) == repr(page) == page.as_text(78)


# Digits


def coefficients(fit):
    """Give the numbers of the table of coefficients as text, by the name of the row."""
    table = fit.summary().blocks[1]
    return {name: dict(zip(table.header[1:], row, strict=True)) for name, *row in table.rows}


def significant(text):
    return len(text.split("e")[0].replace("-", "").replace(".", "").lstrip("0"))


def test_large_data_show_standard_errors_and_intervals():
    rng = np.random.default_rng(0)
    n = 400_000
    x = rng.standard_normal(n)
    fit = sq.ols("y ~ x", {"x": x, "y": 2 + x + 0.01 * rng.standard_normal(n)})
    for row in coefficients(fit).values():
        assert significant(row["std err"]) == 4
        assert float(row["std err"]) == pytest.approx(0.01 / math.sqrt(n), rel=0.02)
        low, coefficient, high = (float(row[name]) for name in ("[0.025", "coef", "0.975]"))
        assert high - low == pytest.approx(2 * 1.96 * 0.01 / math.sqrt(n), rel=0.05)
        assert low < coefficient < high
    page = str(fit.summary())
    assert "No. Observations:              400,000" in page
    assert "Df Residuals:                  399,998" in page


@pytest.mark.parametrize(
    "formula", ["mpg ~ weight", "mpg ~ I(weight * 1e6)", "mpg ~ I(weight * 100) + horsepower", "I(mpg * 1e5) ~ weight"]
)
def test_no_number_but_a_p_value_is_shown_as_zero(formula):
    fit = sq.ols(formula, CARS)
    for name, row in coefficients(fit).items():
        shown = {column: float(text) for column, text in row.items() if column != "P>|t|"}
        exact = {
            "coef": fit.params[name], "std err": fit.bse[name], "t": fit.tvalues[name],
            "[0.025": fit.conf_int().loc[name, 0], "0.975]": fit.conf_int().loc[name, 1],
        }  # fmt: skip
        for column, value in shown.items():
            assert value == pytest.approx(exact[column], rel=0.02), (name, column)


def test_ordinary_numbers_look_as_in_statsmodels():
    rows = coefficients(sq.ols("mpg ~ displacement", CARS))
    assert list(rows["displacement"].values()) == ["-0.0603", "0.002", "-26.926", "0.000", "-0.065", "-0.056"]


def test_a_perfect_fit_is_called_perfect():
    """R warns of an essentially perfect fit where the variance of the residuals is below 1e-30 of the mean square of the fit."""
    x, note = np.arange(20.0), "The fit is essentially perfect"
    for y in (3 * x + 1, 0.1 * x + 1):
        page = sq.ols("y ~ x", {"x": x, "y": y}).summary()
        assert sum(text.startswith(note) for text in page.notes) == 1
    for y in (3 * x + 1 + 1e-9 * np.sin(x), np.ones(20)):
        assert note not in str(sq.ols("y ~ x", {"x": x, "y": y}).summary())
