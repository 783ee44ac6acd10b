"""Every row of the table of bad input ends in one clear error of its kind, from Python and on the command line."""

import json
import sys
from html.parser import HTMLParser

import pytest

import squarely as sq
from squarely import cli
from squarely.cli.flags import to_flags
from squarely.show import escape_controls
from tests.support import bad_input, bad_row
from tests.support.checks import assert_close, need

MESSAGES = {}  # kind and name of a row -> what Python said, so that the page need not run it again


def why_not(row, side):
    return row.python_only if side == "cli" else row.cli_only


def words(options):
    for name, value in options.items():
        if name == "read":
            lists = {key: ",".join(each) if isinstance(each, list) else each for key, each in value.items()}
            yield from words({key: each for key, each in lists.items() if each is not None})
            continue
        if name == "fixtures":
            yield from ["--fixture", *(f"{key}={each}" for key, each in value.items())]
            continue
        if name == "variable":  # an argument
            yield value
            continue
        if name == "at" and isinstance(value, dict):
            value = [f"{column}={','.join(map(str, each)) if isinstance(each, list) else each}" for column, each in value.items()]
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list) else [value]:
            yield from [flag] if one is True else [flag, str(one)]


def expected(row, *, on_cli):
    says = row.cli_says or to_flags(row.says) if on_cli else row.says  # tests/cli/test_flags.py has what `to_flags` gives
    return says.replace("<data>", bad_row.label(row, cli=on_cli))


@pytest.fixture
def prepared(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if request.getfixturevalue("row").call in ("train", "sweep", "certify", "checkup"):
        need("torch")


SIDES = [
    pytest.param(row, side, id=f"{row.kind}-{row.name}-{side}")
    for row in bad_input.ROWS
    for side in ("python", "cli")
    if not (side == "cli" and row.python_only) and not (side == "python" and row.cli_only)
]


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(("row", "side"), SIDES)
def test_atlas(row, side, tmp_path, monkeypatch, capsys):
    if side == "python":
        from_python(row)
    else:
        on_the_command_line(row, monkeypatch, capsys)
    written = {row.data.name} if isinstance(row.data, bad_row.File) else {"data.csv", "data"}
    assert {path.name for path in tmp_path.iterdir()} <= written  # nothing in a formula has run


def from_python(row):
    data = bad_row.for_python(row)
    if row.params is not None:
        assert_close(sq.ols(row.formula, data, **row.options).params, row.params, rtol=1e-12, atol=1e-12)
        MESSAGES[row.kind, row.name] = ""
        return
    with pytest.raises(row.error) as caught:
        bad_row.run_in_python(row, data)
    assert type(caught.value) is row.error
    MESSAGES[row.kind, row.name] = str(caught.value)
    assert expected(row, on_cli=False) in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable()


def on_the_command_line(row, monkeypatch, capsys):
    data = [bad_row.for_cli(row)]
    argv = ["squarely", row.call, row.formula, *([] if row.call == "checkup" else data), *words(row.options)]
    if row.call == "checkup_losses":
        argv = ["squarely", "checkup", "--losses", *data, *words(row.options)]
    monkeypatch.setattr(sys, "argv", [*argv, "--json"] if row.params is not None else argv)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    shown = capsys.readouterr()
    if row.params is not None:
        assert (stop.value.code, shown.err) == (0, "")
        params = [float("nan") if value is None else value for value in json.loads(shown.out)["params"].values()]
        assert_close(params, row.params, rtol=1e-12, atol=1e-12)
        return
    assert stop.value.code == 2
    assert shown.out == ""
    assert shown.err.startswith("squarely: error: ")
    assert shown.err.count("squarely: error") == 1
    assert "Traceback" not in shown.err
    assert shown.err.replace("\n", "").isprintable()
    message = expected(row, on_cli=True)
    assert "\n".join(escape_controls(line) for line in message.split("\n")) in shown.err


def test_the_atlas_is_large_enough():
    assert len(bad_input.ROWS) >= 80
    assert len({(row.kind, row.name) for row in bad_input.ROWS}) == len(bad_input.ROWS)
    assert all(sum(row.kind == kind for row in bad_input.ROWS) >= 10 for kind in bad_row.USUAL)
    assert sum(not why_not(row, "python") and not why_not(row, "cli") for row in bad_input.ROWS) >= 60


def test_the_page_is_what_the_atlas_gives():
    need("torch")
    assert bad_input.PAGE.read_text(encoding="utf-8") == bad_input.page(MESSAGES), (
        "write it again: python -m tests.support.bad_input"
    )


class Words(HTMLParser):
    """The text of a page of HTML."""

    def __init__(self):
        super().__init__()
        self.text = ""

    def handle_data(self, data):
        self.text += data


def test_markdown_shows_the_messages_as_they_are():
    markdown_it = need("markdown_it")
    html = markdown_it.MarkdownIt().enable("table").render(bad_input.PAGE.read_text(encoding="utf-8"))
    words = Words()
    words.feed(html)
    assert html.count("<table>") == len(bad_row.USUAL)
    assert html.count("<tr>") == len(bad_input.ROWS) + len(bad_row.USUAL)
    for message in (
        "    mpg ~ displacment",
        "          ^^^^^^^^^^^",
        "Write I(x**2) for the power.",
    ):
        assert message in words.text
