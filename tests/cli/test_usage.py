"""How the command line is used: help at any width, choices, lists, errors of usage, completion and pages of documentation."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from squarely.cli import app
from squarely.cli.options import read_count
from tests.cli.test_cli import FORMULA, run  # noqa: F401
from tests.support.checks import CARS, need

COMMANDS = (
    "demo",
    "ols",
    "preview",
    "anova",
    "influence",
    "diagnose",
    "effects",
    "margins",
    "test",
    "predict",
    "merge",
    "train",
    "sweep",
    "certify",
    "checkup",
    "help",
    "table",
)


def terminal(*words, columns=80, **environment):
    """Run squarely in a process of its own; return its exit code, stdout and stderr."""
    env = {**os.environ, "COLUMNS": str(columns), **environment}
    done = subprocess.run([sys.executable, "-m", "squarely", *words], capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_fits_the_terminal(columns, monkeypatch, run):  # noqa: F811
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in COMMANDS:
        text = run(command, "-h").out
        assert max(map(len, text.splitlines())) <= columns
        assert text.isascii()  # no boxes
        assert "{" not in text.splitlines()[0]


def test_the_options_are_in_groups(run):  # noqa: F811
    text = run("train", "--help").out
    places = [text.index(f"\n{group}:\n") for group in ("Data", "Optimizer", "Batches", "Stopping", "Computation", "Output")]
    assert places == sorted(places)
    assert places[-1] < text.index("\nReading files:\n")
    assert "\n  --lr <number|auto> " in text
    assert "--missing <drop|raise>" in text
    assert "--loss <mse|l1|huber|quantile>" in text


def test_every_option_has_a_plain_sentence():
    for command in get_command(app).commands.values():
        for param in command.params:
            assert param.help[0].isupper() or param.help.startswith("'"), param.name
            assert param.help.endswith("."), param.name


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ols"], ["FORMULA is missing.", "Usage: squarely ols [OPTIONS] FORMULA DATA", "Example: squarely ols 'mpg ~ "]),
        (["ols", FORMULA], ["DATA is missing."]),
        (["ols", FORMULA, CARS, "--wher", "weight > 1"], ["There is no option --wher. Did you mean --where?"]),
        (["ols", FORMULA, CARS, "more"], ["This is too much: more. Put a formula into quotes", "Usage: squarely ols"]),
        (["ols", FORMULA, CARS, "--where"], ["--where", "requires an argument", "Example: squarely ols"]),
        (["merge"], ["FIT is missing.", "Usage: squarely merge [OPTIONS] FIT...\n"]),
        (["osl", FORMULA, CARS], ["There is no command 'osl'. Did you mean ols?"]),
        (["--verion"], ["There is no option --verion. Did you mean --version?"]),
        (["ols", FORMULA, CARS, "--missing", "dorp"], ["--missing dorp", "'drop' or 'raise'"]),
        (["help", "formulsa"], ["There is no help on 'formulsa'. Did you mean 'formulas'?"]),
        (["certify", "nowhere.json", CARS], ["nowhere.json"]),
    ],
)
def test_errors_of_usage_have_one_style(words, found, run):  # noqa: F811
    done = run(*words)
    assert done.returncode == 2
    assert done.out == ""
    assert done.err.startswith("squarely: error: ")
    assert done.err.isascii()
    for text in found:
        assert text in done.err


def test_errors_of_numbers_name_the_flag(run):  # noqa: F811
    need("torch")
    for flag, text in (("--epochs", "many"), ("--lr", "fast"), ("--batch-size", "1.5"), ("--tau", "x")):
        done = run("certify", FORMULA, CARS, flag, text)
        assert done.returncode == 2
        assert done.err.startswith(f"squarely: error: {flag} {text} is not a")


def test_lists_have_commas_or_are_repeated(run):  # noqa: F811
    need("torch")
    for words in (["--lr", "0.1,auto"], ["--lr", "0.1", "--lr", "auto"]):
        done = run("sweep", FORMULA, CARS, *words, "--epochs", "1e1", "--batch-size", "50,all", "--json")
        runs = json.loads(done.out)["runs"]
        assert [(each["lr"] == 0.1, each["batch_size"]) for each in runs[:2]] == [(True, 50), (True, None)] or len(runs) == 4
        assert len(runs) == 4
        assert {each["batch_size"] for each in runs} == {50, None}
    done = run("train", FORMULA, CARS, "--epochs", "1e1", "--metric", "rmse,r2", "--json")
    assert json.loads(done.out)["history"].keys() >= {"rmse", "r2"}


def test_counts_may_have_exponents():
    assert [read_count(text) for text in ("10", "1e3", "2.0", "1.5", "many", None)] == [10, 1000, 2, 1.5, "many", None]


def test_certify_takes_the_options_of_train(run):  # noqa: F811
    need("torch")
    text = run("certify", "--help").out
    for name in ("--validation", "--scheduler", "--clip-grad-norm", "--patience", "--min-delta", "--no-standardize", "--stream",
                 "--resume", "--save", "--optimizer-option", "--no-shuffle", "--replacement"):  # fmt: skip
        assert name in text
    done = run("certify", FORMULA, CARS, "--validation", "0.2", "--json")
    assert json.loads(done.out)["verdict"] == "agree"  # the fit has the rows of the run


def test_completion_knows_options_and_their_words():
    code, out, err = terminal(COMP_WORDS="squarely ols --missing ", COMP_CWORD="3", _SQUARELY_COMPLETE="complete_bash")
    assert (code, out.split(), err) == (0, ["drop", "raise"], "")
    code, out, err = terminal(COMP_WORDS="squarely swe", COMP_CWORD="1", _SQUARELY_COMPLETE="complete_bash")
    assert (code, out.split(), err) == (0, ["sweep"], "")
    code, out, err = terminal(_SQUARELY_COMPLETE="source_bash")
    assert "complete -o default" in out
    assert "not supported" not in err


@pytest.mark.parametrize("instruction", ["source_bash", "bash_source"])
def test_the_script_of_a_shell_completes(instruction, tmp_path):
    """The names of the instruction are typer's, and those of Click's documentation."""
    program = tmp_path / "squarely"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m squarely "$@"\n')
    program.chmod(0o755)
    script = f"""eval "$(_SQUARELY_COMPLETE={instruction} squarely)"
complete -p squarely
COMP_WORDS=(squarely ols --missing "") COMP_CWORD=3
_squarely_completion squarely
echo "${{COMPREPLY[@]}}"
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["complete -o default -F _squarely_completion squarely", "drop raise"]


def test_pages_of_documentation_are_there(run):  # noqa: F811
    assert "formulas" in run("help").out
    assert run("help", "formulas").out.startswith("# Formulas\n")
    assert run("help", "docs/formulas.md").out == run("help", "formulas").out
    assert run("help", "ols").out == run("ols", "--help").out


def test_output_to_head_ends_in_peace():
    command = f"{sys.executable} -m squarely help formulas | head -1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("# Formulas\n", "")


def test_certify_compares_what_is_saved(run, tmp_path, monkeypatch):  # noqa: F811
    need("torch")
    monkeypatch.chdir(tmp_path)
    assert run("ols", FORMULA, CARS, "--save", "fit.json").returncode == 0
    assert run("train", FORMULA, CARS, "--save", "runs/a").returncode == 0
    done = run("certify", "fit.json", "runs/a", "--json")
    assert (done.returncode, json.loads(done.out)["verdict"]) == (0, "agree")
    refused = run("certify", "fit.json", "runs/a", "--lr", "0.1")
    assert refused.returncode == 2
    assert "--lr has no effect" in refused.err
    swapped = run("certify", "runs/a", "fit.json")
    assert swapped.returncode == 2
    assert "in this order" in swapped.err


# nanobind, in which DuckDB 2 is written, prints what is left at the end of a process: narwhals keeps DuckDB's types in a cache.
QUIET = {
    "relation": "import duckdb, squarely as sq\ndata = duckdb.sql('SELECT i::DOUBLE x, 2 * i + sin(i) y FROM range(100) t(i)')",
    "relation, Arrow first": "import pyarrow, duckdb, narwhals, squarely as sq\n"
    "data = duckdb.sql('SELECT i::DOUBLE x, 2 * i + sin(i) y FROM range(100) t(i)')",
    "lazy frame": "import polars, squarely as sq\ndata = polars.LazyFrame({'x': [1.0, 2.0, 3.0], 'y': [1.0, 2.0, 4.0]})",
    "ibis": "import ibis, pandas, squarely as sq\n"
    "data = ibis.memtable(pandas.DataFrame({'x': [1.0, 2.0, 3.0], 'y': [1.0, 2.0, 4.0]}))",
    "csv": "import squarely as sq\nimport pandas\n"
    "pandas.DataFrame({'x': [1, 2, 3], 'y': [1, 2, 4]}).to_csv('a.csv')\ndata = 'a.csv'",
}


@pytest.mark.parametrize("source", QUIET)
def test_nothing_is_printed_at_the_end_of_a_process(source, tmp_path):
    need("polars")
    need("ibis")
    script = f"{QUIET[source]}\nprint(sq.preview(data).summary())\nfit = sq.ols('y ~ x', data)\nprint(fit.params)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_lists_every_command_and_shows_what_is_printed(run, tmp_path, monkeypatch):  # noqa: F811
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^\| `squarely (\w+)", page, re.MULTILINE)) == set(COMMANDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "78")
    Path("sales.csv").write_text("id;unit price;sold\n1;1,5;?\n2;2,5;100\n3;NA;120\n4;3,25;130\n")
    assert run("preview", "sales.csv").out == page.split("$ squarely preview sales.csv\n")[1].split("```")[0]
