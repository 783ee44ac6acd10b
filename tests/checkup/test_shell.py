"""`checkup`, `assert_trains` and the command on a stand-in for the examination: options, words, exit codes."""

import importlib
import json
import subprocess
import sys

import pytest

import squarely as sq
from squarely.errors import OptionError
from squarely.testing import assert_trains
from tests.cli.test_cli import run  # noqa: F401
from tests.support.checks import need

CERTAIN = sq.Finding(key="no-zero-grad", confidence="certain", evidence="The gradient is 2.")
LIKELY = sq.Finding(key="not-shuffled", confidence="likely", evidence="Rows 0 to 16 come first.")
POSSIBLE = sq.Finding(key="lr-too-low", confidence="possible", evidence="Half is left.")


@pytest.fixture
def examined(monkeypatch):
    """Give a function that sets what the examination finds, and the list of its calls."""
    need("torch")
    calls = []

    def find(*findings):
        def examine(target, *, fixtures, timeout):
            calls.append((target, fixtures, timeout))
            return sq.Checkup(target="train", findings=findings, verified=("One check.",))

        monkeypatch.setattr(importlib.import_module("squarely.checkup.with_torch"), "examine", examine)
        return calls

    return find


def train(model, loader):
    """A target that nobody runs here."""


def test_the_arguments_reach_the_examination(examined):
    calls = examined()
    assert sq.checkup(train).ok
    assert sq.checkup("train.py", fixtures={"lr": 0.05}, timeout=3).verified == ("One check.",)
    assert calls == [(train, {}, 60.0), ("train.py", {"lr": 0.05}, 3.0)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout": 0}, "timeout=0 is not a number of seconds above zero. Write timeout=60."),
        ({"timeout": "soon"}, "timeout='soon' is not a number"),
        ({"timeout": float("nan")}, "timeout=nan is not a number"),
        ({"timeout": float("inf")}, "timeout=inf is not a number"),
        ({"timeout": True}, "timeout=True is not a number"),
        ({"timeout": 10**400}, "timeout=1e+400 is beyond the range of double precision."),
        ({"fixtures": ["lr"]}, "fixtures=['lr'] is not a dict of values by the names of parameters."),
        ({"fixtures": {1: 2}}, "fixtures={1: 2} is not a dict of values"),
    ],
)
def test_wrong_options_are_named_before_anything_runs(options, says, examined):
    calls = examined()
    for call in (sq.checkup, assert_trains):
        with pytest.raises(OptionError) as error:
            call(train, **options)
        assert str(error.value).startswith(says)
    assert calls == []


def test_a_checkup_needs_torch():
    code = "import sys, squarely as sq; sys.modules['torch'] = None; sq.checkup('train.py')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: A checkup needs PyTorch, which is not installed." in done.stderr


def test_assert_trains_passes_if_nothing_is_likely(examined):
    examined(POSSIBLE)
    assert_trains(train)
    examined()
    assert_trains(train)


def test_assert_trains_raises_the_page(examined):
    examined(CERTAIN, LIKELY, POSSIBLE)
    with pytest.raises(AssertionError) as error:
        assert_trains(train)
    found = "3 findings in train: no-zero-grad (certain), not-shuffled (likely), lr-too-low (possible)."
    assert found in " ".join(str(error.value).split())
    assert "Clear the gradients before each backward pass:" in str(error.value)


def test_what_is_allowed_is_no_mistake(examined):
    examined(LIKELY)
    assert_trains(train, allow=("not-shuffled",))
    assert_trains(train, allow="not-shuffled")
    with pytest.raises(AssertionError, match="1 finding in train: not-shuffled"):
        assert_trains(train, allow={"no-zero-grad"})
    examined(LIKELY, CERTAIN)
    with pytest.raises(AssertionError, match=r"1 finding in train: no-zero-grad \(certain\)."):
        assert_trains(train, allow=["not-shuffled", "rows-dropped"])


@pytest.mark.parametrize(
    ("allow", "says"),
    [
        (["not-shufled"], "allow= has 'not-shufled', which is not the key of a mistake. Did you mean 'not-shuffled'?"),
        ("zzz", "allow= has 'zzz', which is not the key of a mistake. squarely help mistakes-in-loops lists the keys."),
        ([3], "allow= has 3, which is not the key of a mistake."),
        (None, "allow=None is not a list of keys."),
    ],
)
def test_an_unknown_key_is_an_error(allow, says, examined):
    examined()
    with pytest.raises(OptionError) as error:
        assert_trains(train, allow=allow)
    assert str(error.value).startswith(says)


TEST_FILE = """
from squarely.testing import assert_trains


def train(model, X, y, criterion, optimizer, epochs):
    for epoch in range(epochs):
        criterion(model(X), y).backward()
        optimizer.step()


def test_training():
    assert_trains(train)
"""


def test_pytest_shows_the_line_of_the_test(tmp_path):
    need("torch")
    (tmp_path / "test_training.py").write_text(TEST_FILE)
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_training.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ">       assert_trains(train)" in done.stdout
    assert "1 finding in train: no-zero-grad (certain)." in done.stdout
    assert "squarely/testing.py" not in done.stdout


def test_the_command_prints_the_page(examined, run):  # noqa: F811
    calls = examined()
    done = run("checkup", "mypackage.training:train", "--fixture", "lr=0.05", "--fixture", "name=adam", "--timeout", "9")
    assert (done.returncode, done.err) == (0, "")
    assert done.out.splitlines()[1] == "No mistake found in train; 1 check holds."
    assert calls == [("mypackage.training:train", {"lr": 0.05, "name": "adam"}, 9.0)]


def test_exit_codes(examined, run):  # noqa: F811
    examined(POSSIBLE)
    assert run("checkup", "train.py").returncode == 0
    examined(LIKELY)
    assert run("checkup", "train.py").returncode == 1
    done = run("checkup", "train.py", "--json")
    assert done.returncode == 1
    assert json.loads(done.out)["findings"][0]["key"] == "not-shuffled"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "There is neither a loop nor --losses. Give one of them, such as squarely checkup train.py, or"),
        (["a.py", "--losses", "log.txt"], "A loop and --losses are two different checks. Give one of them,"),
        (
            ["a.py", "--lr", "0.1"],
            "--lr is for printed losses: leave it out. For a parameter of the loop, write --fixture 'lr=...'.",
        ),
        (["--losses", "log.txt", "--fixture", "lr=1"], "--fixture is for a loop: leave it out."),
        (["--losses", "log.txt", "--timeout", "3"], "--timeout is for a loop: leave it out."),
        (["a.py", "--timeout", "never"], "--timeout never is not a number of seconds above zero. Write --timeout 60."),
        (["a.py", "--fixture", "lr"], "--fixture 'lr' is not an option with a value. Write it as name=value"),
    ],
)
def test_wrong_usage(words, says, run):  # noqa: F811
    done = run("checkup", *words)
    assert done.returncode == 2
    assert done.out == ""
    assert done.err.startswith(f"squarely: error: {says}")
