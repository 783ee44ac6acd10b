"""The command line as a separate process: exit codes of the interpreter, warnings at imports, faults and Ctrl-C."""

import os
import signal
import subprocess
import sys

import pytest

import squarely as sq
from tests.support.checks import CARS, need, running

FORMULA = "mpg ~ displacement"


def run(*words):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "squarely", *words], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--version"], 0, f"squarely {sq.__version__}\n"),
        (["ols", FORMULA, CARS], 0, "OLS Regression Results"),
        (["certify", FORMULA, CARS, "--lr", "0.0001"], 1, "not converged"),
        (["ols", FORMULA, "nowhere.csv"], 2, ""),
    ],
)
def test_a_process_ends_with_its_exit_code_and_without_a_warning(words, code, message):
    """Warnings are errors, also those of the imports."""
    need("torch")
    done = run(*words)
    assert done.returncode == code
    assert message in done.stdout
    assert done.stderr.count("\n") == (code == 2)


@pytest.mark.parametrize(("words", "message"), [("ZeroDivisionError('a\\nb')", "ZeroDivisionError"), ("KeyError('x')", "KeyError")])
def test_a_fault_of_our_own_ends_in_one_line(words, message):
    script = f"import squarely\ndef ols(*_, **__): raise {words}\nsquarely.ols = ols\nfrom squarely.cli import main\nmain()"

    def ended(**more):
        command = [sys.executable, "-c", script, "ols", FORMULA, CARS]
        return subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=False)

    done = ended()
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr.startswith(f"squarely: internal error: {message}")
    assert done.stderr.count("\n") == 1
    assert "please report it" in done.stderr
    if message == "KeyError":
        done = ended(SQUARELY_TRACEBACK="1")
        assert done.returncode == 70
        assert "Traceback" in done.stderr


def test_too_little_memory_is_an_error_of_one_line():
    script = "import squarely\ndef ols(*_, **__): raise MemoryError\nsquarely.ols = ols\nfrom squarely.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", script, "ols", FORMULA, CARS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "not enough memory" in done.stderr


@pytest.mark.kill
def test_interrupt_stops_at_once_and_says_so():
    need("torch")
    words = ["train", FORMULA, CARS, "--epochs", "100000000"]
    command = [sys.executable, "-X", "importtime", "-m", "squarely", *words]
    with running(command) as process:
        for line in process.stderr:  # the imports tell how far it has come
            if line.rstrip().endswith(" squarely.descent"):
                break
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message.splitlines()[-1] == "squarely: interrupted"
    assert "Traceback" not in message
