"""The README says what is true: its Python runs, its certificate is printed, its commands exist."""

import re
from pathlib import Path

import pytest

from squarely.cli import app
from squarely.cli.options import READ
from tests.support.checks import need

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def readme():
    return README.read_text()


def test_the_example_runs_and_prints_the_certificate(readme, capsys):
    need("torch")
    first, *others = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names = {}
    exec(compile(first, "README.md", "exec"), names)  # noqa: S102  # the README's own lines
    printed = capsys.readouterr().out
    assert others
    for code in others:
        exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    shown = re.search(r"prints\n\n```\n(.*?)```", readme, re.DOTALL)[1]
    layout = [re.sub(r"[-+]?[\d.]+e[-+]\d+|35\.1747\d|0\.0602823\d*|4\.7e-05", "#", line).split() for line in shown.splitlines()]
    printed_words = [
        re.sub(r"[-+]?[\d.]+e[-+]\d+|35\.1747\d|0\.0602823\d*|4\.7e-05", "#", line).split() for line in printed.splitlines()
    ]
    assert printed_words[-len(layout) :] == layout  # the last digits of a float32 run are the machine's own


def test_the_page_on_merging_runs(tmp_path, monkeypatch, capsys):
    page = (README.parent / "docs" / "merging.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "merging.md", "exec"), names)  # noqa: S102  # the page's own lines
    (promised,) = re.findall(r'# "(Merged from .*)"', code)
    assert promised in capsys.readouterr().out
    for fit in (names["fit"], names["without"]):
        assert len(fit.params) == 5
    commands = re.findall(r"^squarely (\w+)", page, re.MULTILINE)
    assert set(commands) <= {command.name or command.callback.__name__ for command in app.registered_commands}


def test_the_page_on_files_runs_and_names_every_option(tmp_path, monkeypatch):
    page = (README.parent / "docs" / "files.md").read_text()
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, "files.md", "exec"), {})  # noqa: S102  # the page's own lines
    flags = set(re.findall(r"--[a-z-]+", page))
    assert {f"--no-{name}" if name == "header" else f"--{name.replace('_', '-')}" for name in READ} <= flags


def test_its_commands_exist(readme):
    block = readme.split("## The command line")[1].split("```")[1]
    named = set(re.findall(r"^squarely (\w+)", block, re.MULTILINE))
    assert named == {command.name or command.callback.__name__ for command in app.registered_commands}


def test_its_targets_and_files_exist(readme):
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert f"\n{target}:" in makefile
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (README.parent / link).exists(), link
