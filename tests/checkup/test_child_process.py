"""The user's code in a child process: how it can end, what is said, and that nothing is left behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.support.checks import need

torch = need("torch")

from squarely.checkup.fixtures.objects import make_objects
from squarely.checkup.fixtures.targets import load_target
from squarely.checkup.problem import make_problem
from squarely.checkup.runner import child, child_process
from squarely.checkup.runner.child import TimeLimitReached
from squarely.checkup.runner.child_process import import_lazy_parts, run_in_child
from squarely.checkup.runner.output import KEPT, BoundedOutput
from squarely.checkup.runner.same_process import REMARK, run_in_process
from squarely.errors import FormulaError, MissingExtraError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
import_lazy_parts()  # which changes the environment and the filters of warnings, as PyTorch does at the first optimizer
ENOUGH = 60.0  # seconds that no test needs


def of_line(text):
    """Return the number of the line of this file that ends with a text."""
    return next(i for i, line in enumerate(Path(__file__).read_text().splitlines(), start=1) if line.endswith(text))


def processes():
    """Return the processes of this user that have a process of this one among their parents, or its environment's mark."""
    mark = f"CHECKUP_TEST={os.environ['CHECKUP_TEST']}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() or f"\nPPid:\t{os.getpid()}\n" in (folder / "status").read_text():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def state():
    return {
        "folder": Path.cwd(),
        "path": [*sys.path],
        "argv": [*sys.argv],
        "modules": {name for name, each in sys.modules.items() if str(Path.cwd()) in str(getattr(each, "__file__", ""))},
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "threads": {*threading.enumerate()},
        "files": {*Path(tempfile.gettempdir()).iterdir()},
        "signals": [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGVTALRM, signal.SIGXCPU)],
        "open": {each for each in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{each}")},
        "filters": [*warnings.filters],
        "torch_threads": torch.get_num_threads(),
        "processes": processes() if sys.platform == "linux" else set(),
    }


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch):
    """Compare everything that a run could change before and after it."""
    monkeypatch.setenv("CHECKUP_TEST", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = state()
    yield
    after = state()
    assert {name: value for name, value in after.items() if _has_more(value, before[name])} == {}


def _has_more(after, before):
    """Return whether something has changed; in sets only what is new counts: other tests leave what ends later."""
    return bool(after - before) if isinstance(after, set) else after != before


def train(X, y):
    """Return the gradient of a product that PyTorch computes by several threads where it has them."""
    a = torch.ones(400, 400, requires_grad=True)
    (a @ a).sum().backward()
    return a.grad


def test_a_value_output_and_warnings():
    def loop():
        print("to stdout")
        print("to stderr", file=sys.stderr)
        os.system("echo from a shell")  # noqa: S605, S607
        for _ in range(3):
            warnings.warn("look at this", UserWarning, stacklevel=1)
        os.chdir("/")
        sys.path.append("mine")
        return {"number": np.float64(0.1), "nan": float("nan"), "tensor": torch.ones(2), "text": "ü", "pid": os.getpid()}

    found = run_in_child(loop, timeout=ENOUGH)
    assert (found.ending, found.message, found.line, found.traceback) == ("returned", "", None, "")
    assert found.value["number"] == 0.1
    assert np.isnan(found.value["nan"])
    assert found.value["tensor"] == [1.0, 1.0]
    assert found.value["text"] == "ü"
    assert found.value["pid"] != os.getpid()
    assert found.output == "to stdout\nto stderr\nfrom a shell\n"
    assert found.remarks == ()
    (warned,) = found.warnings
    assert (warned.category, warned.message, warned.file) == ("UserWarning", "look at this", __file__)
    assert warned.line == of_line('warnings.warn("look at this", UserWarning, stacklevel=1)')


def test_after_pytorch_has_used_several_threads_here():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = train(None, None)
        found = run_in_child(lambda: {"gradient": train(None, None), "threads": torch.get_num_threads()}, timeout=ENOUGH)
    finally:
        torch.set_num_threads(threads)
    assert found.value["threads"] == 1
    np.testing.assert_array_equal(found.value["gradient"], expected)


def test_in_a_thread_of_a_parent_with_threads():
    results, stop = [], threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    caller = threading.Thread(target=lambda: results.append(run_in_child(forever, timeout=1.0)))
    caller.start()
    caller.join()
    stop.set()
    other.join()
    assert results[0].ending == "timeout"
    assert results[0].line.text == "i += 1  # for ever"


def forever():
    i = 0
    while True:
        i += 1  # for ever


def test_a_loop_that_never_ends():
    found = run_in_child(forever, timeout=1.0)
    assert (found.ending, found.value) == ("timeout", None)
    assert found.line.file == __file__
    assert found.line.text == "i += 1  # for ever" or found.line.text == "while True:"
    assert found.message == (
        f"The loop does not end within 1 s; it was running, at line {found.line.line} of {__file__}: {found.line.text}. "
        "Use fewer epochs, or a longer timeout=."
    )


def test_what_is_printed_and_recorded_before_the_time_limit_comes_back():
    steps = []
    target = load_target(never_ends, {"steps": steps})

    def run():
        call = target.call({"epochs": 1, "steps": steps})
        return {"error": type(call.error).__name__, "steps": len(steps) > 0}

    found = run_in_child(run, timeout=1.5)
    assert found.ending == "timeout"
    assert found.value == {"error": TimeLimitReached.__name__, "steps": True}
    assert found.output.startswith("step 1\nstep 2\n")
    assert found.line.file == __file__


def never_ends(epochs, steps):
    while True:
        steps.append(0)
        print("step", len(steps))
        with contextlib.suppress(Exception):  # it does not catch the time limit
            time.sleep(0.01)


def test_a_loop_that_catches_everything_is_killed_with_what_it_has_started(monkeypatch):
    monkeypatch.setattr(child_process, "_GRACE", 0.2)

    def loop():
        subprocess.Popen(["sleep", "1000"])  # noqa: S607
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(0.05)  # suppressed

    found = run_in_child(loop, timeout=1.0)
    assert found.ending == "timeout"
    assert found.line.text in ("time.sleep(0.05)  # suppressed", "while True:", "with contextlib.suppress(BaseException):")


def test_a_megabyte_of_output():
    def loop():
        for i in range(100_000):
            print("line", i)
        return {"done": True}

    found = run_in_child(loop, timeout=ENOUGH)
    everything = "".join(f"line {i}\n" for i in range(100_000))
    assert found.value == {"done": True}
    assert found.output_length == len(everything)
    assert found.output == (everything[:KEPT] + f"\n... {len(everything) - 2 * KEPT:,} bytes left out ...\n" + everything[-KEPT:])
    assert found.remarks == (f"The loop printed {len(everything):,} bytes, of which the first and last 20,000 are kept.",)


@pytest.mark.parametrize("sizes", [[1], [KEPT], [KEPT, KEPT], [KEPT + 1, KEPT - 1, 1], [3 * KEPT], [7] * 10_000])
def test_bounded_output(sizes):
    output, everything = BoundedOutput(), b""
    for i, size in enumerate(sizes):
        piece = bytes([65 + i % 26]) * size
        output.append(piece)
        everything += piece
    assert output.length == len(everything)
    assert output.text.startswith(everything[:KEPT].decode())
    assert output.text.endswith(everything[-KEPT:].decode())
    assert ("left out" in output.text) == bool(output.remark) == (len(everything) > 2 * KEPT)
    assert len(output.text) <= 2 * KEPT + 50


def calls_exit():
    sys.exit("no data")


def calls_os_exit():
    print("last words", flush=True)
    os._exit(7)


def segfaults():
    ctypes.string_at(0)


def interrupts():
    raise KeyboardInterrupt


def runs_out_of_memory():
    raise MemoryError


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def aborts():
    os.abort()


def raises():
    raise ValueError("mine")


def reads_input():
    return {"name": input("your name? ")}


def reads_lines():
    return {"lines": [*sys.stdin]}


def reads_all():
    return {"text": sys.stdin.read()}


def writes_no_json():
    return {1: object(), "o": object()}


@pytest.mark.parametrize(
    ("function", "ending", "says"),
    [
        (calls_exit, "exit", "The loop calls sys.exit('no data'). Let it return instead."),
        (calls_os_exit, "exit", "The loop ended its process with os._exit(7) or the like. Let it return instead."),
        (segfaults, "signal", "The process of the loop crashed with signal SIGSEGV<line>. Run the loop alone to see why."),
        (aborts, "signal", "The process of the loop crashed with signal SIGABRT<line>. Run the loop alone to see why."),
        (interrupts, "interrupted", "The loop raises KeyboardInterrupt<line>. Let it return instead."),
        (runs_out_of_memory, "memory", "The loop runs out of memory<line>. The test problem is small: look for a list that grows"),
        (is_killed, "signal", "The loop was killed by the system (SIGKILL), which mostly means that memory ran out. Look for what"),
        (raises, "raised", "The loop raises ValueError: mine<line>. Correct this first."),
        (reads_input, "raised", "The loop raises EOFError: the loop reads standard input, and there is none<line>. Correct this"),
        (reads_lines, "raised", "EOFError: the loop reads standard input"),
        (reads_all, "raised", "EOFError: the loop reads standard input"),
    ],
)  # fmt: skip
def test_endings(function, ending, says):
    found = run_in_child(function, timeout=ENOUGH)
    assert (found.ending, found.value) == (ending, None)
    number = function.__code__.co_firstlineno + 1
    text = Path(__file__).read_text().splitlines()[number - 1].strip()
    assert says.replace("<line>", f", at line {number} of {__file__}: {text}") in found.message
    if "<line>" in says:
        assert (found.line.line, found.line.text) == (number, text)
    if function is calls_os_exit:
        assert found.output == "last words\n"
    if function is raises:
        assert found.traceback.endswith("ValueError: mine\n")


def test_objects_without_a_form_in_json_come_back_as_text():
    assert run_in_child(writes_no_json, timeout=ENOUGH).value["o"].startswith("<object object")


@pytest.mark.parametrize("error", [FormulaError("not a formula"), MissingExtraError("This", "PyTorch", "torch")])
def test_an_error_of_squarely_is_raised_here(error):
    def loop():
        raise error

    with pytest.raises(type(error)) as caught:
        run_in_child(loop, timeout=ENOUGH)
    assert str(caught.value) == str(error)


def test_a_fork_of_the_loop_does_not_run_our_code_twice(tmp_path):
    target, log = load_target(forks), tmp_path / "log"

    def run():
        call = target.call({"epochs": 1})
        with log.open("a") as file:
            file.write(f"{call.returned}\n")
        return {"returned": call.returned}

    found = run_in_child(run, timeout=ENOUGH)
    assert found.value == {"returned": "parent"}
    assert log.read_text() == "parent\n"
    log.unlink()


def forks(epochs):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return "parent" if child else "child"


def test_a_fork_without_a_target_writes_no_second_result():
    found = run_in_child(lambda: {"returned": forks(1)}, timeout=ENOUGH)
    assert found.value == {"returned": "parent"}


def test_threads_and_processes_of_the_loop_end_with_it():
    def loop():
        # Without tensors: a worker sends these through a socket in the temporary folder, whose path may have 107 characters.
        loader = torch.utils.data.DataLoader(range(4), num_workers=1, persistent_workers=True, collate_fn=list)
        rows = len([*loader])
        threading.Thread(target=time.sleep, args=(1000,)).start()  # after the fork of the worker, which a thread can block
        subprocess.Popen(["sleep", "1000"])  # noqa: S607
        return {"rows": rows}

    assert run_in_child(loop, timeout=ENOUGH).value == {"rows": 4}


@pytest.mark.parametrize("run", [lambda loop: run_in_child(loop, timeout=ENOUGH), run_in_process])
def test_temporary_files_of_the_loop_are_removed(run):
    def loop():
        file, name = tempfile.mkstemp()
        os.close(file)
        with open(make_objects(make_problem())["path"], "w") as file:
            file.write("a checkpoint")
        return {"is_there": Path(name).exists(), "is_ours": Path(name).parent == Path.cwd(), "folder": tempfile.gettempdir()}

    found = run(loop).value
    assert (found["is_there"], found["is_ours"]) == (True, False)
    assert not Path(found["folder"]).exists()


def test_ctrl_c_here_ends_the_child():
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_in_child(forever, timeout=ENOUGH)
    timer.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_the_child_ends_with_its_parent():
    code = """
import os, signal, sys, threading
from squarely.checkup.runner.child_process import run_in_child
def forever():
    print(os.getpid(), file=stdout, flush=True)
    while True: pass
stdout = os.fdopen(os.dup(1), "w")
run_in_child(forever, timeout=60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    end = time.monotonic() + 20
    while Path(f"/proc/{child}/environ").exists() and _is_running(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _is_running(child)


def _is_running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_in_this_process_where_fork_does_not_exist(monkeypatch, tmp_path):
    (tmp_path / "my_module_of_loops.py").write_text("def train(X):\n    return float(X.sum())")

    def loop():
        print("hello")
        warnings.warn("look", UserWarning, stacklevel=1)
        sys.argv = ["changed"]
        os.environ["CHANGED"] = "1"
        value = load_target("my_module_of_loops:train").call(make_objects(make_problem())).returned
        os.chdir("/")
        return {"pid": os.getpid(), "value": value}

    monkeypatch.delattr(os, "fork")
    found = run_in_child(loop, timeout=ENOUGH)
    np.testing.assert_allclose(found.value.pop("value"), make_problem().X.sum(), atol=1e-3)
    assert found.value == {"pid": os.getpid()}
    assert found.output == "hello\n"
    assert found.remarks == (REMARK,)
    assert [each.message for each in found.warnings] == ["look"]
    for path in tmp_path.rglob("*.py*"):
        path.unlink()
    for path in tmp_path.rglob("__pycache__"):
        path.rmdir()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (calls_exit, "The loop calls sys.exit('no data')."),
        (raises, "The loop raises ValueError: mine"),
        (reads_input, "The loop raises EOFError: the loop reads standard input, and there is none"),
    ],
)
def test_errors_in_this_process(function, says):
    found = run_in_process(function)
    assert says in found.message
    assert found.value is None


def test_an_interrupt_and_an_error_of_squarely_in_this_process():
    with pytest.raises(KeyboardInterrupt):
        run_in_process(interrupts)

    def loop():
        raise FormulaError("not a formula")

    with pytest.raises(FormulaError, match="not a formula"):
        run_in_process(loop)


def test_where_backward_does_not_work_after_a_fork(monkeypatch):
    here = os.getpid()
    monkeypatch.setattr(child, "can_run_autograd", lambda: os.getpid() == here)
    found = run_in_child(lambda: {"pid": os.getpid()}, timeout=ENOUGH)
    assert found.value == {"pid": here}
    assert found.remarks == (REMARK,)
