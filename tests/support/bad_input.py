"""The table of bad input: what people give, and the one error in which it ends.

`python -m tests.support.bad_input` writes docs/mistakes.md. tests/faults/test_bad_input_table.py runs each row from Python and on
the command line; a row for one side only says why.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from squarely.errors import SquarelyError
from squarely.show import escape_controls
from tests.support.bad_answers import ANSWERS
from tests.support.bad_bootstrap import BOOTSTRAP
from tests.support.bad_covariances import COVARIANCES
from tests.support.bad_data import FRAMES, VALUES
from tests.support.bad_diagnostics import DIAGNOSTICS
from tests.support.bad_effects import EFFECTS
from tests.support.bad_files import ENCODINGS, FILES
from tests.support.bad_fixed_effects import FIXED_EFFECTS
from tests.support.bad_formulas import FORMULAS, NAMES
from tests.support.bad_groups import GROUPS
from tests.support.bad_hypotheses import HYPOTHESES
from tests.support.bad_influence import INFLUENCE
from tests.support.bad_loops import LOOPS
from tests.support.bad_losses import LOSSES
from tests.support.bad_options import OPTIONS
from tests.support.bad_penalties import PENALTIES
from tests.support.bad_predictions import PREDICTIONS
from tests.support.bad_row import At, File, Files, Row, for_python, run_in_python
from tests.support.bad_serial_correlation import SERIAL_CORRELATION
from tests.support.bad_tables import TABLES
from tests.support.bad_weights import WEIGHTS

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"

ROWS = [
    replace(row, kind=kind)
    for kind, rows in {
        "file": FILES,
        "frame": FRAMES,
        "value": VALUES,
        "name": NAMES,
        "encoding": ENCODINGS,
        "formula": [*FORMULAS, *FIXED_EFFECTS],
        "option": [*OPTIONS, *BOOTSTRAP, *COVARIANCES, *GROUPS, *INFLUENCE, *PENALTIES, *SERIAL_CORRELATION, *TABLES, *WEIGHTS],
        "hypothesis": HYPOTHESES,
        "prediction": PREDICTIONS,
        "diagnostic": DIAGNOSTICS,
        "effect": EFFECTS,
        "loop": LOOPS,
        "answer": ANSWERS,
        "loss": LOSSES,
    }.items()
    for row in rows
]


def outcome(row: Row) -> str:
    """Run a row from Python in the current folder (one for the command line alone through its own call) and give its message."""
    data = for_python(row)
    try:
        run_in_python(row, data)
    except SquarelyError as error:
        return str(error)
    return ""


_INTRODUCTION = """# Mistakes, and what squarely says

Every mistake ends in one error that says what was found, what it means and what to do. If it is in a formula or a condition, a
caret points at it. In Python it is a `DataError`, `FormulaError` or `OptionError` (each an `InputError` and a `ValueError`). On the
command line it is one message on stderr after `squarely: error:`, with exit code 2. Nothing is repaired silently, and nothing in a
formula is evaluated.

Unusual input that is accepted is listed at the end of each table. `python -m tests.support.bad_input` makes this page from the
table that the tests run, so it shows the actual messages.
"""
_TITLES = {
    "file": "Files",
    "frame": "Frames and arrays",
    "value": "Values",
    "name": "Names",
    "encoding": "Encodings",
    "formula": "Formulas",
    "option": "Options and conditions",
    "hypothesis": "Hypotheses and analysis of variance",
    "prediction": "Limits of predictions",
    "diagnostic": "Diagnostics",
    "effect": "Effects and average predictions",
    "loop": "Training loops",
    "answer": "Answers made elsewhere",
    "loss": "Printed losses",
}
_LONGEST = 60
_FOREIGN_TEXT = re.compile(r"((?:DuckDB|Arrow|PyTorch) says:).*", re.DOTALL)  # what others say differs with their version


def page(messages: Mapping[tuple[str, str], str]) -> str:
    """Write the page of the rows that are on; rows without a message in `messages`, by kind and name, are run."""
    parts = [_INTRODUCTION]
    home = Path.cwd()
    for kind, title in _TITLES.items():
        parts.append(f"\n## {title}\n\n| input | message |\n|---|---|\n")
        for row in sorted((r for r in ROWS if r.kind == kind), key=lambda r: r.params is not None):
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                try:
                    message = messages[row.kind, row.name] if (row.kind, row.name) in messages else outcome(row)
                    parts.append(f"| {_describe_input(row)} | {_cell(message)} |\n")
                finally:
                    os.chdir(home)
    return "".join(parts)


def _describe_input(row: Row) -> str:
    if row.kind == "formula":
        text = row.formula if isinstance(row.formula, str) else repr(row.formula)
    elif row.kind == "option" and not row.options:
        text = row.formula
    elif row.kind in ("option", "hypothesis", "prediction", "diagnostic", "answer"):
        text = ", ".join(f"{name}={value!r}" for name, value in row.options.items())
    elif row.kind == "loop":
        text = getattr(row.data, "content", "") or str(row.formula)
    elif row.formula != "y ~ x":
        text = row.formula
    elif isinstance(row.data, At):
        text = row.data.path
    elif isinstance(row.data, Files):
        text = "; ".join(f"{name}: {content}" for name, content in row.data.contents.items())
    elif isinstance(row.data, File) and isinstance(row.data.content, str):
        text = row.data.content
    else:
        text = ""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    shown = "\\n".join(escape_controls(line) for line in text.split("\n"))
    return _markdown(row.name) + (f"<br><code>{_markdown(shown)}</code>" if shown else "")


def _cell(message: str) -> str:
    if not message:
        return "none: it is accepted"
    first, *lines = _FOREIGN_TEXT.sub(r"\1 ...", message).split("\n")
    drawn = "<br>".join(_markdown(escape_controls(line)) for line in lines)
    return _markdown(escape_controls(first)) + (f"<pre>{drawn}</pre>" if drawn else "")


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|~$#&])", r"\\\1", text)


if __name__ == "__main__":
    PAGE.write_text(page({}), encoding="utf-8")
