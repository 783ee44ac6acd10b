"""Passes over rows are watched and counted, shown on a terminal when they are slow, and stopped by Ctrl-C without a trace."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import squarely as sq
from squarely.data import listen, open_source
from squarely.data.files.csv.connection import connect
from squarely.data.files.csv.text.csv_text import open_text
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.data.frames.arrays import ArraysSource
from squarely.data.query import keyboard_interrupts
from squarely.data.scan.progress import report_scan
from squarely.data.source import DerivedSource, with_row_positions
from squarely.errors import DataError, OptionError
from squarely.show.progress import Stage, new_progress, render_stage
from tests.sources.test_partitions import Parted
from tests.support.checks import CARS, need, nist, nist_columns, running

N = 3 * 262_144 + 7  # four batches


def rows(n=N):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(n)
    return {"x": x, "g": np.array(["a", "b", "c"])[np.arange(n) % 3], "y": x + rng.standard_normal(n)}


def watched(act):
    events = []
    with listen(events.append):
        result = act()
    return result, events


def passes(events):
    """Give purpose, number and how many passes were known, at the start of each numbered pass."""
    return [(e.purpose, e.number, e.passes) for e in events if e.number and not e.count and not e.is_over]


# What is reported


def test_a_pass_is_reported_from_its_first_row_to_its_last():
    fit, events = watched(lambda: sq.ols("y ~ x", rows()))
    first = [e for e in events if e.number == 1]
    assert [e.count for e in first] == [0, 262_144, 524_288, 786_432, N, N]
    assert [e.is_over for e in first] == [False] * 5 + [True]
    assert {e.rows for e in events if e.number == 2} == {N}  # known by then, whatever the source
    assert passes(events) == [("cross-products", 1, 2), ("residuals", 2, 2)]
    assert fit.solution.scans == 2


FORMULAS = {
    "y ~ x": ["cross-products", "residuals"],
    "y ~ x + g": ["levels", "cross-products", "residuals"],
    "y ~ x + I(x**2)": ["cross-products", "residuals"],
    "y ~ poly(x, 2, raw=True)": ["cross-products", "residuals"],
    "y ~ poly(x, 2) * g": ["levels, ranges", "polynomials", "cross-products", "residuals"],
    "y ~ bs(x, df=5) + g": ["levels, knots", "cross-products", "residuals"],
    "y ~ bs(x, df=4, degree=2)": ["knots", "cross-products", "residuals"],
    "y ~ ns(x, knots=[-0.5, 0, 1])": ["ranges", "cross-products", "residuals"],
    "y ~ scale(center(x) ** 2) + ns(center(x), df=3)": ["means", "means", "knots", "cross-products", "residuals"],
    "center(y) ~ x - 1": ["means", "cross-products", "residuals"],
    "y ~ 1": ["cross-products", "residuals"],
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_plan_of_a_fit_is_what_the_fit_does(formula):
    data = rows(500)
    plan = sq.preview(formula, data)
    fit, events = watched(lambda: sq.ols(formula, data))
    found = passes(events)
    assert [purpose for purpose, _ in plan.passes] == FORMULAS[formula] == [purpose for purpose, _, _ in found]
    assert [(number, known) for _, number, known in found] == [
        (i + 1, len(found)) for i in range(len(found))
    ]  # known from the first
    assert len(found) == fit.solution.scans
    assert plan.names == fit.design.names
    assert plan.coefficients == len(fit.params)


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "w"},
        {"frequencies": "k"},
        {"vcov": "HC3", "weights": "I(w + 1)"},
        {"cluster": "firm"},
        {"cluster": ["firm", "k"]},
        {"vcov": "CR2", "cluster": "firm"},
        {"vcov": "HAC"},
        {"vcov": "HAC", "lags": 3, "correction": "none"},
        {"vcov": "DK", "time": "k"},
    ],
    ids=str,
)
def test_the_plan_of_a_fit_has_its_weights_and_covariance(options):
    data = rows(500)
    data |= {"w": np.arange(500) % 4, "k": np.arange(500) % 5, "firm": np.where(data["g"] == "c", None, data["g"])}
    plan, (fit, events) = sq.preview("y ~ x + g", data, **options), watched(lambda: sq.ols("y ~ x + g", data, **options))
    assert [purpose for purpose, _ in plan.passes] == [purpose for purpose, _, _ in passes(events)]
    assert plan.names == fit.design.names
    assert set(plan.columns_read) == {"y", "x", "g", *({"w", "k", "firm"} & set(re.findall(r"\w+", str(options))))}
    with pytest.raises(DataError, match="There is no column 'frim'"):
        sq.preview("y ~ x", data, cluster="frim")
    with pytest.raises(OptionError, match=r"vcov='HAC' and frequencies= do not go together"):
        sq.preview("y ~ x", data, vcov="HAC", frequencies="k")


def test_a_preview_of_aggregates_counts_what_the_engine_is_sent_at_least():
    frame = need("polars").DataFrame(rows(500)).lazy()
    plan, fit = (act("y ~ x", frame, fold="aggregates") for act in (sq.preview, sq.ols))
    assert (plan.fold, plan.precision) == ("aggregates in Polars", "double")
    assert 7 == plan.expressions <= fit.solution.moments.engine_record.expressions  # n, and the pairs among 1, x and y
    assert sq.preview("y ~ x + g", frame, fold="aggregates").expressions is None
    assert sq.preview("y ~ x", frame).fold == "by number of rows"
    assert sq.preview("y ~ x", rows(500), precision="double").precision == "double"
    for wrong in ({"fold": "rows"}, {"precision": "quad"}):
        with pytest.raises(OptionError, match="is not understood"):
            sq.preview("y ~ x", frame, **wrong)


def test_passes_that_turn_out_to_be_needed_are_counted_when_they_begin():
    formula, columns = nist_columns(nist("Filip"))
    fit, events = watched(lambda: sq.ols(formula, columns))
    found = passes(events)
    assert found[:3] == [("cross-products", 1, 2), ("triangle", 2, 3), ("residuals", 3, 3)]
    assert all(number == known for _, number, known in found[2:])
    assert len(found) == fit.solution.scans > 3
    late = np.concatenate([np.zeros(70_000), np.full(70_000, 1e9)]) + np.arange(140_000.0) % 7
    fit, events = watched(lambda: sq.ols("y ~ x", {"x": late, "y": np.sqrt(late)}))
    counts = [(number, known) for purpose, number, known in passes(events) if purpose == "cross-products"]
    assert counts == [(1, 2)] or counts == [(1, 2), (2, 3)]
    assert len(passes(events)) == fit.solution.scans


def test_every_verb_says_what_it_reads_for(tmp_path):
    need("torch")
    data = rows(300)
    run, events = watched(lambda: sq.train("y ~ x", data, epochs=2))
    assert passes(events) == [("cross-products", 1, 3), ("training rows", 2, 3), ("residuals", 3, 3)]
    fit = sq.ols("y ~ x", data)
    assert passes(watched(lambda: sq.certify(fit, run))[1]) == [("gradient", 1, 1)]
    assert passes(watched(lambda: fit.predict(data))[1]) == [("predictions", 1, 1)]
    assert passes(watched(lambda: fit.write_predictions(data, tmp_path / "p.csv"))[1]) == [("predictions", 1, 1)]
    assert passes(watched(lambda: fit.resid)[1]) == [("residuals", 1, 1)]


def test_each_verb_counts_from_one():
    def both():
        sq.ols("y ~ x", rows(300))
        sq.ols("y ~ x + g", rows(300))

    assert [(number, known) for _, number, known in passes(watched(both)[1])] == [(1, 2), (2, 2), (1, 3), (2, 3), (3, 3)]


def test_a_look_at_the_first_rows_is_no_pass():
    _, events = watched(lambda: sq.ols("y ~ x", rows()))
    looks = [e for e in events if not e.number]
    assert looks
    assert max(e.count for e in looks) < N  # it ended before the rows did
    assert looks[-1].is_over


def test_where_nobody_watches_a_scan_is_not_touched():
    source, batches = open_source(rows(5)), iter(())
    assert report_scan(source, batches) is batches


def test_nothing_is_reported_after_the_end():
    events = []
    source = open_source(rows())
    with listen(events.append):
        left = iter(report_scan(source, with_row_positions(source.read(["x"]))))
        next(left)
    count = len(events)
    del left
    assert count == len(events) == 1


# What is foreseen


class Sized(ArraysSource):
    @property
    def rows(self):
        return len(next(iter(self._arrays.values())))


class Unread(DerivedSource):
    rows = 50

    def read(self, numbers, labels=()):
        raise AssertionError("the rows were read")


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ g * x", "y ~ poly(x, 2) + bs(x, df=5)", "log(y + 10) ~ scale(x)"])
def test_a_preview_reads_no_rows(formula):
    assert sq.preview(formula, Unread(ArraysSource(rows(50))), where="x < 1 and g == 'a'").rows == 50


def test_a_preview_of_rows_in_memory_knows_the_levels():
    cars = sq.datasets.cars()
    fit = sq.ols("mpg ~ C(origin) * weight", cars)
    plan = sq.preview("mpg ~ C(origin) * weight", cars)
    assert plan.names == fit.design.names
    assert (plan.rows, plan.coefficients, plan.cells, plan.precision) == (398, 6, 6 * 398, "extended")
    assert "unknown" not in str(plan.summary())
    assert sq.preview("mpg ~ C(origin) * weight", CARS).names is None


def test_what_a_preview_foresees_is_what_the_fit_has():
    data = {**rows(1000), "unused": np.zeros(1000)}
    plan, fit = sq.preview("y ~ x + I(x**3)", Sized(data), where="g != 'b'"), sq.ols("y ~ x + I(x**3)", data)
    assert plan.cells == 1000 * 3
    assert plan.precision == fit.solution.precision == "extended"
    assert plan.cross_products_bytes == fit.solution.moments.gram.nbytes
    assert set(plan.columns_read) == {"x", "y", "g"}
    assert (plan.fold, plan.expressions) == ("ordered batches", 0)
    free = sq.ols("y ~ x - 1", data)
    assert sq.preview("y ~ x - 1", data).cross_products_bytes == free.solution.moments.gram.nbytes
    many = sq.preview("y ~ x", Sized({name: np.zeros(6_000_000) for name in ("x", "y")}))
    assert (many.cells, many.precision) == (12_000_000, "double")


def test_a_preview_of_arrays_and_its_errors():
    assert sq.preview(X=np.zeros((5, 2)), y=np.zeros(5)).names == ("Intercept", "x1", "x2")
    with pytest.raises(sq.errors.DataError, match="Did you mean 'displacement'"):
        sq.preview("mpg ~ displacment", CARS)
    with pytest.raises(sq.errors.DataError, match="holds text, 'chevrolet chevelle malibu' in data row 1"):
        sq.preview("name ~ displacement", CARS)


def test_the_page_of_a_preview():
    page = str(sq.preview("mpg ~ scale(weight) + C(origin)", CARS).summary())
    assert max(map(len, page.splitlines())) <= 78
    message = " ".join(page.split())
    for sentence in (
        "Pass 1, means: the mean of scale(weight).",
        "Pass 2, levels: the levels of C(origin).",
        "Pass 4, residuals:",
        "Columns of X: unknown before the levels are read.",
        "Passes over the rows: 4",
        "triangle, if the columns of X are so nearly dependent",
        "double-double up to 10,000,000 cells",
    ):
        assert sentence in message
    names = [f"x{i:02}" for i in range(20)]
    page = str(sq.preview(f"y ~ {' + '.join(names)}", {name: [1.0] for name in ["y", *names]}).summary())
    assert "Columns of X: Intercept, x00, x01" in page
    assert "... (21 in all)" in page


# What is seen


LINES = [
    ("Pass 2 of 3: cross-products", 12_345_678, 20_000_000, 11.2, 80,
     "Pass 2 of 3: cross-products ━━━━━━━━╸      12.3M of 20.0M rows 1.10M/s 0:07 left"),
    ("Pass 1 of 3: levels", 65_536, None, 2.0, 80,
     "Pass 1 of 3: levels ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 65.5K rows 32.8K/s 0:02 so far"),
    ("Pass 1 of 3: levels", 0, None, 1.0, 40, "Pass 1 of 3: levels ━ 0 rows 0:01 so far"),
    ("Pass 12 of 12: standard errors", 5, 7_200, 1.0, 60, "Pass 12 of 12: standard erro… 5 of 7,200 rows 5/s 23:59 left"),
    ("\x1b[31mred", 5, 7_200, 1.0, 60, "\\x1b[31mred                   5 of 7,200 rows 5/s 23:59 left"),
    ("Pass 1 of 3: levels", 999_950, 2_000_000, 999.95, 80,
     "Pass 1 of 3: levels ━━━━━━━━━━            1.00M of 2.00M rows 1,000/s 16:40 left"),
]  # fmt: skip


def test_the_line_of_training_has_its_losses():
    stage = Stage(
        label="Training",
        unit="epochs",
        count=20_000,
        total=60_000,
        seconds=1.0,
        values=lambda: {"loss": 0.312345, "val_loss": 12345678.0},
    )
    console = Console(width=100, force_terminal=True, color_system=None)
    with console.capture() as drawing:
        console.print(render_stage(stage, 100))
    assert drawing.get().startswith("Training ━")
    assert drawing.get().endswith(" 20.0K of 60.0K epochs 20.0K/s 0:02 left loss 0.3123 val_loss 1.235e+07\n")


def test_training_reports_its_last_losses():
    need("torch")
    run, events = watched(lambda: sq.train("y ~ x", rows(300), lr=0.1, epochs=3, validation=0.2))
    losses = [event.values() for event in events if event.unit == "epochs"]
    assert losses[-1] == {"loss": run.history["loss"].iloc[-1], "val_loss": run.history["val_loss"].iloc[-1]}
    assert all(event.values() == {} for event in events if event.unit == "rows")


@pytest.mark.parametrize("case", LINES)
def test_the_line_fits_the_terminal(case):
    label, done, total, seconds, width, line = case
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as drawing:
        console.print(render_stage(Stage(label=label, unit="rows", count=done, total=total, seconds=seconds), width))
    assert drawing.get() == line + "\n"


def test_on_any_width_it_stays_one_line():
    for width in range(1, 80):
        console = Console(width=width, force_terminal=True, color_system=None)
        with console.capture() as drawing:
            console.print(render_stage(Stage(label="Pass 1 of 3: levels", unit="rows", count=10, total=20, seconds=1.0), width))
        (line,) = drawing.get().splitlines()
        assert len(line) <= width


# A disk that is slow: each batch of a Parquet file waits, and the test reads from a pipe that it does.
SLOW = """
import os, sys, time
from squarely.data.files.parquet import ParquetSource
quick, pause = ParquetSource.read, float(sys.argv.pop(1))
def read(self, numbers, labels=()):
    for batch in quick(self, numbers, labels):
        if "PIPE" in os.environ:
            os.write(int(os.environ["PIPE"]), b"!")
        time.sleep(pause)
        yield batch
ParquetSource.read = read
from squarely.cli import main
main()
"""


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    path = tmp_path_factory.mktemp("progress") / "rows.parquet"
    pq.write_table(pa.table(rows(3 * 65_536 + 7)), path)  # whose batches are smaller than those of memory
    return str(path)


def slowly(pause, *words):
    return [sys.executable, "-c", SLOW, str(pause), *words]


def in_terminal(command, interrupt_at=None, **variables):
    """Run a command in a terminal of 78 columns and 24 lines, press Ctrl-C once a text has appeared; give exit code and output."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color", "COLUMNS": "78", "LINES": "24", **variables})  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 78, 0, 0))
    output, pressed = b"", None
    try:
        while select.select([terminal], [], [], 60)[0]:
            piece = os.read(terminal, 65_536)
            if not piece:
                break
            output += piece
            if interrupt_at is not None and pressed is None and interrupt_at.encode() in output:
                pressed = len(output)
                os.write(terminal, b"\x03")
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert interrupt_at is None or pressed is not None, output
    return code, output.decode()


def screen(output):
    """Play what a terminal was sent: the lines left to see, those that were there at some time, whether the cursor shows."""
    lines, row, column, seen, cursor = [""], 0, 0, [], True
    for code, text in re.findall(r"(\x1b\[[?0-9;]*[A-Za-z]|[\r\n])|([^\x1b\r\n]+)", output):
        if text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
            seen.append(lines[row])
        elif code == "\r":
            column = 0
        elif code == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif code == "\x1b[2K":
            lines[row] = ""
        elif code == "\x1b[1A":
            row -= 1
        elif code in ("\x1b[?25l", "\x1b[?25h"):
            cursor = code.endswith("h")
        else:
            assert code.endswith("m"), f"{code!r} is not known here"  # a color
    return [line.rstrip() for line in lines], seen, cursor


def plain(text):
    return re.sub(r"Time: +[0-9:]+", "Time:", text).rstrip("\n").split("\n")


def test_a_slow_fit_shows_its_passes_and_leaves_only_its_summary(parquet):
    command = slowly(0.4, "ols", "y ~ x", parquet)
    code, output = in_terminal(command)
    lines, seen, cursor = screen(output)
    assert code == 0
    assert cursor
    assert max(map(len, seen)) <= 78
    assert any(re.fullmatch(r"Pass 1 of 2: cross-products ━+.* rows( .*/s)? .*(so far|left)", line) for line in seen)
    assert any(re.fullmatch(r"Pass 2 of 2: residuals ━+[╸╺]?━* +[0-9.K]+ of 197K rows .*/s \d:\d\d left", line) for line in seen)
    piped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert piped.stderr == ""
    assert plain("\n".join(lines)) == plain(piped.stdout)


def test_a_fast_fit_shows_nothing_but_its_summary():
    code, output = in_terminal([sys.executable, "-m", "squarely", "ols", "mpg ~ displacement", CARS])
    assert code == 0
    assert "\x1b" not in output
    assert output.lstrip().startswith("OLS Regression Results")


def test_a_terminal_that_cannot_move_its_cursor_gets_no_line(parquet):
    code, output = in_terminal([*slowly(0.4, "ols", "y ~ x", parquet)], TTY_INTERACTIVE="0")
    assert code == 0
    assert "\x1b" not in output
    assert "Pass" not in output


@pytest.mark.kill
@pytest.mark.parametrize("words", [["ols", "y ~ x + g"], ["certify", "y ~ x"], ["sweep", "y ~ x", "--epochs", "2"]])
def test_ctrl_c_takes_the_line_away_and_says_so(words, parquet, tmp_path):
    need("torch")
    code, output = in_terminal(slowly(3, *words, parquet), interrupt_at="\x1b[?25l", TMPDIR=str(tmp_path))
    lines, _, cursor = screen(output)
    assert code == 130
    assert cursor
    assert [line for line in lines if line.replace("^C", "")] == ["squarely: interrupted"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.kill
def test_ctrl_c_without_a_terminal(parquet):
    begun, pipe = os.pipe()
    with running(slowly(3, "ols", "y ~ x", parquet), pass_fds=[pipe], env={**os.environ, "PIPE": str(pipe)}) as process:
        assert os.read(begun, 1) == b"!"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "squarely: interrupted\n")  # once the batch has come
    assert process.returncode == 130


@pytest.mark.kill
def test_predictions_that_are_interrupted_leave_the_old_file(parquet, tmp_path):
    fit, out = tmp_path / "fit.json", tmp_path / "out.csv"
    sq.ols("y ~ x", parquet).save(fit)
    out.write_text("old")
    code, _ = in_terminal(slowly(3, "predict", str(fit), parquet, "-o", str(out)), interrupt_at="predictions")
    assert code == 130
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.json", "out.csv"]


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_a_save_that_is_interrupted_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "fit.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sq.ols("y ~ x", rows(50)).save(path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.kill
def test_ctrl_c_while_the_engine_works_is_no_error_of_the_engine():
    text, _ = open_text(LocalFile.open(Path(CARS)), ReadOptions())

    def work():
        with keyboard_interrupts(), connect(text) as connection:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            connection.execute("SELECT sum(range) FROM range(1_500_000_000)")
            time.sleep(60)  # a machine that is done by now is interrupted here

    with pytest.raises(KeyboardInterrupt):
        work()


def test_a_pipe_gets_no_line(capsys):
    assert new_progress() is None
    with sq.progress():
        assert report_scan(open_source(rows(5)), batches := iter(())) is batches


def test_scattered_rows_are_counted_by_their_partitions():
    source = Parted(CARS, [3, 3, 100, 250])
    source.partition_count = 5
    fit, events = watched(lambda: sq.ols("mpg ~ weight + C(origin)", source))
    first = [e for e in events if e.number == 1]
    assert [(e.count, e.rows, e.unit) for e in first] == [(done, 5, "partitions") for done in (0, 1, 2, 3, 4, 5, 5)]
    assert [e.is_over for e in first] == [False] * 6 + [True]
    found = passes(events)
    assert [purpose for purpose, _, _ in found] == ["levels", "cross-products", "residuals"]
    assert [(number, known) for _, number, known in found] == [(1, 3), (2, 3), (3, 3)]
    assert {e.unit for e in events} == {"partitions"}  # of the batches in them nothing is reported
    assert fit.nobs == 398
