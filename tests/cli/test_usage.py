"""How the command line is used: help at any width, choices, lists, errors of usage, completion and pages of documentation."""

import json
import os
import subprocess
import sys

import pytest
from typer.main import get_command

from squarely.cli import app
from squarely.cli.options import read_count
from tests.cli.test_cli import FORMULA, run  # noqa: F401
from tests.support.checks import CARS, need

COMMANDS = ("demo", "ols", "preview", "predict", "merge", "train", "sweep", "certify", "help")


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
        (["ols", FORMULA, CARS, "more"], ["more", "Usage: squarely ols"]),
        (["ols", FORMULA, CARS, "--where"], ["--where", "requires an argument", "Example: squarely ols"]),
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


def test_pages_of_documentation_are_there(run):  # noqa: F811
    assert "formulas" in run("help").out
    assert run("help", "formulas").out.startswith("# Formulas\n")
    assert run("help", "docs/formulas.md").out == run("help", "formulas").out
    assert run("help", "ols").out == run("ols", "--help").out


def test_output_to_head_ends_in_peace():
    command = f"{sys.executable} -m squarely help formulas | head -1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("# Formulas\n", "")
