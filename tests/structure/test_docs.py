"""The pages of docs/ and the README: every Python block runs when it is copied alone, and prints what the page says."""

import ast
import builtins
import json
import re
import shutil
from pathlib import Path

import pytest

import squarely as sq
from tests.support import loss_picture
from tests.support.checks import CARS, need

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
BLOCKS = {f"{page.stem}-{i}": found for page in PAGES for i, found in enumerate(BLOCK.findall(page.read_text()))}
ELSEWHERE = ("pyspark", "ibis.postgres")  # tests/conformance/ has the same calls, with a cluster or a server


@pytest.mark.parametrize("name", [name for name, (code, _) in BLOCKS.items() if not any(word in code for word in ELSEWHERE)])
@pytest.mark.filterwarnings("ignore::UserWarning")  # of runs that show what goes wrong
def test_a_block_runs_alone(name, tmp_path, monkeypatch, capsys):
    code, shown = BLOCKS[name]
    need("torch")
    if "dask" in code:
        need("dask.dataframe")
    shutil.copy(CARS, tmp_path / "cars.csv")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {})  # noqa: S102  # the page's own lines
    printed = capsys.readouterr().out
    for promised in re.findall(r'print\(.*\)  # (agree$|".*"$)', code, re.MULTILINE):
        assert mask(promised.strip('".')) in mask(printed)
    if shown:
        assert mask(printed) == mask(shown)


def mask(text):
    """Leave out spaces, and numbers with a point or an exponent: their last digits depend on the machine."""
    return re.sub(r"[-+]?\d+(\.\d+)?e[-+]\d+|[-+]?\d+\.\d+", "#", "".join(text.split()))


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_defines_every_name_that_it_uses(name):
    """Also a block that needs a cluster."""
    names = [node for node in ast.walk(ast.parse(BLOCKS[name][0])) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    nodes = list(ast.walk(ast.parse(BLOCKS[name][0])))
    stored |= {(each.asname or each.name).split(".")[0] for node in nodes for each in getattr(node, "names", ())}
    stored |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)} | {
        each.arg for each in nodes if isinstance(each, ast.arg)
    }
    assert {node.id for node in names} - stored - set(dir(builtins)) == set()


def test_every_verdict_is_on_its_page():
    page = (ROOT / "docs" / "certificate.md").read_text()
    documented = sq.Certificate.__doc__.split("verdict : ")[1].split("cause :")[0]
    verdicts = set(re.findall(r'"([a-z0-9 ]+)"', documented))
    assert len(verdicts) == 19
    shown = {line.split(":")[0] for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL)[1:] for line in block.splitlines()}
    assert {verdict for verdict in verdicts if verdict not in shown} == set()


def test_every_page_is_in_the_table_of_the_readme():
    linked = set(re.findall(r"^\| \[(docs/[\w-]+\.md)\]", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert linked == {f"docs/{page.name}" for page in PAGES[1:]}


def written_examples(pattern):
    """Find examples on cars.csv in the README, the docs and the source, with the file of the first one."""
    files = [*PAGES, *sorted((ROOT / "src").rglob("*.py"))]
    files = [path for path in files if path.name not in ("mistakes.md", "bad_input.py")]
    return {text: path.name for path in reversed(files) for text in re.findall(pattern, path.read_text())}


FORMULAS = written_examples(r"""["'`]((?:log\()?mpg\)? ~ [^"'`\n]+)["'`]""")
FOUND = written_examples(r"""(?:where=|--where |such as )["']([^"\n]*?)["']""")
CONDITIONS = [
    text for text in FOUND if re.match(r"(weight|model|origin|name|horsepower|displacement|mpg) ", text) and " ~ " not in text
]
MEANT_TO_FAIL = {"mpg ~ displacment", "mpg ~ weight + kg"}  # a slip that a docstring shows; a column that a page makes


@pytest.mark.parametrize("formula", sorted(FORMULAS.keys() - MEANT_TO_FAIL))
def test_a_formula_for_the_cars_runs(formula):
    assert sq.ols(formula, CARS).nobs > 100


@pytest.mark.parametrize("where", CONDITIONS)
def test_a_condition_for_the_cars_runs(where):
    assert 0 < sq.ols("mpg ~ weight", CARS, where=where).nobs < 398


def test_examples_are_found():
    assert len(FORMULAS) > 8
    assert {"weight > 3000 and origin == 1", "model >= 75"} <= set(CONDITIONS)


def test_the_picture_of_the_readme_is_current():
    need("torch")
    need("matplotlib")
    from PIL import Image  # matplotlib needs it

    with Image.open(loss_picture.PICTURE) as picture:
        shown = json.loads(picture.text["Description"])
    assert shown == loss_picture.texts_of(loss_picture.draw_picture())
