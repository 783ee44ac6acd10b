"""The page of mistakes in training loops: the texts of each key, and its loops from tests/checkup/documented/.

`python -m tests.support.mistakes_in_loops` writes docs/mistakes-in-loops.md, and what the command prints in the example of the
README and of docs/checkup.md.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from squarely.checkup import MISTAKES
from squarely.checkup.mistakes.evaluation import EVALUATION
from squarely.checkup.mistakes.gradient import GRADIENT
from squarely.checkup.mistakes.mistake import Mistake
from squarely.checkup.mistakes.rows import ROWS
from squarely.checkup.mistakes.update import UPDATE
from tests.checkup.documented import evaluation, gradient, rows, update

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mistakes-in-loops.md"
EXAMPLES = (ROOT / "README.md", ROOT / "docs" / "checkup.md")

_FAMILIES = {"Gradient": GRADIENT, "Update": UPDATE, "Rows": ROWS, "Evaluation": EVALUATION}
_IMPORTS = {"copy.": "import copy\n", "torch.": "import torch\n", "dist.": "import torch.distributed as dist\n"}
_INTRODUCTION = """# Mistakes in training loops

`squarely checkup` and `sq.checkup` name these mistakes by their keys ([checkup.md](checkup.md)). Each section has a loop that makes
the mistake, what the checkup measures, what the mistake does to the result, and the same loop without it.

lr is the learning rate. H is the Hessian of the mean squared error, (2/n) X'X, with eigenvalues lam_1 >= ... >= lam_p. e[k] is the
distance from the optimum w* after k steps. The right update gives e[k+1] = (1 - lr lam) e[k] for each eigenvalue, and converges
for lr below 2/lam_1.

Some mistakes leave the same mark. A checkup then reports both keys. `python -m tests.support.mistakes_in_loops` makes this page;
the tests run its loops.
"""


def loops_of(key: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the loop that makes a mistake, and the corrected one."""
    name = key.replace("-", "_")
    module = next(each for each in (gradient, update, rows, evaluation) if hasattr(each, name))
    return getattr(module, name), getattr(module, f"{name}_corrected")


def code_of(loop: Callable[..., Any]) -> str:
    """Return a loop as the page shows it: as a function called train, with the imports that it needs."""
    source = inspect.getsource(loop).replace(f"def {loop.__name__}(", "def train(").replace("_epoch", "epoch")
    source = source.replace("  # noqa: B008", "").replace(", strict=True)", ")")
    imports = "".join(line for name, line in _IMPORTS.items() if re.search(rf"(?<![\w.]){re.escape(name)}", source))
    return f"{imports}\n\n{source}" if imports else source


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for family, mistakes in _FAMILIES.items():
        parts.append(f"**{family}**: {', '.join(f'[{mistake.key}](#{mistake.key})' for mistake in mistakes)}\n")
    return "\n".join([*parts, *(_section(mistake) for mistake in MISTAKES.values())])


def _section(mistake: Mistake) -> str:
    wrong, right = map(code_of, loops_of(mistake.key))
    fix = mistake.fix.split("\n")[0]
    texts = [f"{mistake.title}:", wrong, f"*Mark.* {mistake.mark}", f"*Effect.* {mistake.effect}", f"*Fix.* {fix}", right]
    shown = [f"```python\n{text}```\n" if text in (wrong, right) else f"{text}\n" for text in texts]
    return "\n".join([f"## {mistake.key}\n", *shown])


def with_example(text: str, *, whole: bool) -> str:
    """Return a page with what the command prints for the loop above it; unless it is `whole`, only up to the checks that hold."""
    before, command, after = text.partition("```console\n$ squarely checkup train.py:train\n")
    (code,) = re.findall(r"```python\n((?:(?!```).)*)```\n\n$", before, re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "train.py").write_text(code, encoding="utf-8")
        words = [sys.executable, "-m", "squarely", "checkup", "train.py:train"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    shown = done.stdout if whole else done.stdout.partition("Checks that hold\n")[0]
    return f"{before}{command}{shown}{after[after.index('```') :]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for example in EXAMPLES:
        example.write_text(with_example(example.read_text(encoding="utf-8"), whole=example.name != "README.md"), encoding="utf-8")
