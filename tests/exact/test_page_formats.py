"""Pages as HTML, LaTeX, Markdown and CSV: every format says all that the page holds, and no name becomes a command."""

import csv
import io
import re

import pytest
from markdown_it import MarkdownIt

import squarely as sq
from squarely.show import KeyValueTable, Page, Section, Table
from tests.exact.test_show import NAMES, page_of
from tests.support.checks import CARS, need

# More names that mean something in one of the formats.
ODD = {
    **NAMES,
    **{name: name for name in ("a_b", "_x_", "__x__", "*b*", "I(x**2)", "`c`", "[text](http://a.b)", "![i](j)", "~~s~~", "a|b||c")},
    **{
        name: name for name in (r"\alpha", r"a\\", "100%", "#1", "a & b", "{x}", "x^2", "a~b", "[0]", "*", "--x", "-1", "<x@y.org>")
    },
}
READABLE = [name for name in ODD if name and name == name.strip() and len(name) < 100 and "  " not in name]


def shown_by_markdown(text):
    """Return the texts that CommonMark with GitHub's tables and strikethrough shows; a tag or link that is not ours is an error."""
    texts, ours = [], {"table", "thead", "tbody", "tr", "th", "td", "h3", "p", "ol", "li"}
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        assert token.tag in ours | {""}, token
        if token.type == "inline":
            assert {child.type for child in token.children} <= {"text", "text_special"}, token
            texts.append("".join(child.content for child in token.children))
    return texts


LATEX_SIGNS = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<", r"\textgreater{}": ">",
    r"\textbar{}": "|", r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&", r"\#": "#", r"\_": "_", r"\%": "%", "$-$": "-",
    "{[}": "[", "{*}": "*",
}  # fmt: skip


def shown_by_latex(text):
    """Return what LaTeX prints for a text; a sign with a meaning that is not escaped is an error."""
    pieces = re.split("(" + "|".join(map(re.escape, LATEX_SIGNS)) + ")", text)
    for piece in pieces[::2]:
        assert not set(piece) & set("\\{}$&#_%~^<>|"), text
    return "".join(LATEX_SIGNS.get(piece, piece) for piece in pieces)


def latex_rows(text):
    """Return the cells of each row of the tables; a row may not begin with an option of the command before it."""
    rows = re.findall(r"^(.*) \\\\$", text, re.MULTILINE)
    assert not [row for row in rows if row.startswith(("[", "*"))]
    return [[shown_by_latex(cell).strip() for cell in re.split(r"(?<!\\)&", row)] for row in rows]


@pytest.mark.parametrize("name", READABLE)
def test_every_text_is_in_markdown_as_it_is_to_be_seen(name):
    texts = shown_by_markdown(page_of(name).as_markdown())
    text = ODD[name]
    pairs = ["", "", "", "", "Dep. Variable:", text, text, text, text, "1.0", "", ""]
    table = ["", "coef", "t", text, "1.25", "-3e+04"]
    footer = [f"Digits: 12, where {text} cannot be told from zero.", "Notes:"]
    assert texts == [text, *pairs, *table, *footer, text, f"Dropped: {text}.", "short"]


@pytest.mark.parametrize("name", READABLE)
def test_every_text_is_in_latex_as_it_is_to_be_seen(name):
    text, page = ODD[name], page_of(name).as_latex()
    assert latex_rows(page) == [
        ["Dep. Variable:", text, text, text], [text, "1.0", "", ""], ["", "coef", "t"], [text, "1.25", "-3e+04"],
    ]  # fmt: skip
    assert page.count(r"\begin{") == page.count(r"\end{") == 4
    found = re.findall(r"^\\item (.*)$", page, re.MULTILINE)
    assert [shown_by_latex(item) for item in found] == [text, f"Dropped: {text}.", "short"]
    commands = set(re.findall(r"\\[a-z]+", page)) - {re.match(r"\\[a-z]*", sign)[0] for sign in LATEX_SIGNS if sign[0] == "\\"}
    ours = r"\begin \end \toprule \midrule \bottomrule \par \medskip \noindent \item \textbf"
    assert commands <= set(ours.split())


@pytest.mark.parametrize("name", READABLE)
def test_a_section_in_every_format(name):
    line, text = name.replace("\n", "\t"), ODD[name].replace(r"\n", r"\t")
    page = Page("", [Section(line, [("Line", f"{line} is:\n    {line}"), ("", "end")])])
    code = [token.content for token in MarkdownIt("commonmark").parse(page.as_markdown()) if token.type == "code_block"]
    assert code == [f"{text}\n"]
    inline = [token.children for token in MarkdownIt("commonmark").parse(page.as_markdown()) if token.type == "inline"]
    assert ["".join(child.content for child in each) for each in inline] == [text, f"Line {text} is:", "end"]
    lines = re.findall(r"^(?:\\emph\{Line\} )?(.*)\\par$", page.as_latex(), re.MULTILINE)
    assert [shown_by_latex(line) for line in (lines[1], lines[3])] == [f"{text} is:", "end"]
    assert shown_by_latex(lines[0].removeprefix(r"\textbf{")[:-1]) == text
    assert shown_by_latex(lines[2].removeprefix(r"\texttt{~~~~")[:-1]) == text
    rows = list(csv.reader(io.StringIO(page.as_csv())))
    assert rows[:4] == [[text], ["Line", f"{text} is:"], ["", text], ["", "end"]]


@pytest.mark.parametrize("name", [name for name in ODD if name == name.strip()])
def test_csv_reads_back(name):
    text = ODD[name]
    rows = list(csv.reader(io.StringIO(page_of(name).as_csv())))
    expected = [["Dep. Variable:", text, text, text], [text, "1.0", "", ""], [], ["", "coef", "t"], [text, "1.25", "-3e+04"], []]
    start = 1 if text else 0
    assert rows[:start] == ([[text]] if text else [])
    assert rows[start : start + 6] == expected
    assert rows[-2:] == [[f"Dropped: {text}."], ["short"]]


def test_a_minus_in_latex():
    page = Page("", [Table(("", "(1)"), [("-x", "-0.5 "), ("", "(-2.1)"), ("a-b", "1e-05")])])
    assert page.as_latex().split("\n")[5:8] == ["-x & $-$0.5 \\\\", " & ($-$2.1) \\\\", "a-b & 1e-05 \\\\"]


def test_rules_above_rows():
    page = Page("", [Table(("", "(1)"), [("a", "1"), ("b", "2"), ("c", "3")], rules=(2,))])
    assert [line[0] for line in page.as_text(20).split("\n")[2:]] == [" ", "-", "a", "b", "-", "c", "="]
    assert page.as_latex().split("\n")[-5:-2] == ["\\midrule", "c & 3 \\\\", "\\bottomrule"]
    assert page.as_html().count("border-top") == 2
    long = Page("", [Table(("", "(1)"), [(str(i), "1") for i in range(100)], rules=(3, 50, 98))]).shorten().blocks[0]
    assert [long.rows[i][0] for i in long.rules] == ["3", "98"]


def test_pairs_in_one_column():
    page = Page("", [KeyValueTable([("Rows:", "1"), ("Data:", "d")])])
    assert page.as_csv() == "Rows:,1\nData:,d"
    assert latex_rows(page.as_latex()) == [["Rows:", "1"], ["Data:", "d"]]
    assert shown_by_markdown(page.as_markdown()) == ["", "", "Rows:", "1", "Data:", "d"]


def test_the_page_of_every_result_has_every_format():
    need("torch")
    formula = "mpg ~ displacement"
    fit, run = sq.ols(formula, CARS), sq.train(formula, CARS, epochs=5)
    results = [
        fit, run, sq.certify(fit, run), sq.sweep(formula, CARS, epochs=5), sq.preview(CARS), sq.preview(formula, CARS),
    ]  # fmt: skip
    for page in [result.summary() for result in results]:
        assert page.as_html() == page._repr_html_()
        words = [{word for cells in latex_rows(page.as_latex()) for cell in cells for word in cell.split()}]
        words.append({word for text in shown_by_markdown(page.as_markdown()) for word in text.split()})
        words.append({word for row in csv.reader(io.StringIO(page.as_csv())) for cell in row for word in cell.split()})
        expected = {word for block in page.blocks for row in cells_of(block) for cell in row for word in cell.split()}
        for found in words:
            assert expected <= found


def cells_of(block):
    return [block.header, *block.rows] if isinstance(block, Table) else [*block.left, *block.right]


def test_the_page_of_statsmodels_has_these_names():
    smf = need("statsmodels.formula.api")
    theirs = smf.ols("mpg ~ displacement", sq.datasets.cars()).fit().summary()
    formats = {name for name in dir(theirs) if name.startswith("as_")}
    assert formats <= {name for name in dir(Page) if name.startswith("as_")}
    assert formats == {"as_text", "as_html", "as_latex", "as_csv"}
