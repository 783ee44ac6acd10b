"""What appears below the cells of a notebook, which this test executes."""

import base64
import io
import re

import pytest

from tests.support.checks import need

CELLS = {
    "import": "import squarely as sq, tempfile\ncars, path = sq.datasets.cars(), tempfile.mkdtemp() + '/cars.csv'",
    "fit": "sq.ols('mpg ~ displacement', cars)",
    "csv": "cars.to_csv(path, index=False)\nsq.ols('mpg ~ displacement', path)",
    "csv preview": "sq.preview(path)",
    "page": "sq.ols('mpg ~ displacement', cars).summary()",
    "run": "run = sq.train('mpg ~ displacement', cars, lr=0.01, epochs=50)\nrun",
    "run.plot": "run.plot()",
    "run.plot.show": "run.plot().show()",
    "sweep": "sweep = sq.sweep('mpg ~ displacement', cars, lr=[0.1, 0.01], epochs=20)\nsweep",
    "sweep.plot": "sweep.plot()",
    "certificate": "sq.certify(sq.ols('mpg ~ displacement', cars), run)",
    "preview": "sq.preview('mpg ~ displacement', cars)",
    "pyplot": "import matplotlib.pyplot as plt\nprint(plt.get_fignums())",
    "ax": "_, ax = plt.subplots()\nrun.plot(ax=ax);",
    # A delay of nothing and no pause: what a long training shows, without the wait.
    "slow": """
import squarely.show.progress as lines
lines._DELAY = lines._NOTEBOOK_PAUSE = 0.0
shown = []
update = lines.Output.update
lines.Output.update = lambda self, text, html: (shown.append((text, html)), update(self, text, html))[1]
with sq.progress():
    sq.train('mpg ~ displacement', cars, lr=0.01, epochs=200, validation=0.2)
    sq.train('mpg ~ displacement', cars, lr=0.01, epochs=3, batch_size=50)
    sq.train('mpg ~ displacement', cars, lr=0.01, epochs=3, engine='moments')
lines._DELAY, lines.Output.update = 1.0, update
""",
    "lines": "for text, html in shown:\n    print(text)",
    "mistake": "one = 1\nsq.ols('mpg ~ wieght', cars)",
    "quick": "with sq.progress():\n    fit = sq.ols('mpg ~ displacement', cars)",
}


@pytest.fixture(scope="module")
def outputs():
    need("torch"), need("matplotlib"), need("ipykernel")
    nbclient = need("nbclient")
    import nbformat

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    book.cells[[*CELLS].index("mistake")].metadata["tags"] = ["raises-exception"]
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    return dict(zip(CELLS, (cell.outputs for cell in book.cells), strict=True))


def shown(outputs):
    """Give the richest form of each output, which a notebook shows."""
    forms = [output.get("data", {"text/plain": output.get("text", "")}) for output in outputs]
    return [next((kind, data[kind]) for kind in ("image/png", "text/html", "text/plain") if kind in data) for data in forms]


@pytest.mark.parametrize("cell", ["run.plot", "run.plot.show", "sweep.plot", "ax"])
def test_a_figure_appears_as_a_picture(outputs, cell):
    from matplotlib.image import imread

    ((kind, data),) = shown(outputs[cell])
    assert kind == "image/png"
    height, width, _ = imread(io.BytesIO(base64.b64decode(data))).shape
    assert height > 300
    assert width > 500


@pytest.mark.parametrize("cell", ["fit", "csv", "csv preview", "page", "run", "sweep", "certificate", "preview"])
def test_a_result_appears_as_a_table(outputs, cell):
    ((kind, data),) = shown(outputs[cell])
    assert kind == "text/html"
    assert "displacement" in data or cell == "sweep"
    assert "<table" in data


def test_the_traceback_of_a_mistake_ends_at_the_line_of_the_user(outputs):
    (output,) = outputs["mistake"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output["traceback"]))
    assert "----> 2 sq.ols('mpg ~ wieght', cars)" in text
    assert "Did you mean 'weight'?" in text
    assert "errors.py" not in text


def test_pyplot_has_no_figure_of_ours(outputs):
    assert shown(outputs["pyplot"]) == [("text/plain", "[]\n")]


def test_quick_work_shows_no_progress(outputs):
    assert outputs["quick"] == []


def test_long_work_shows_its_passes_and_losses_and_leaves_nothing(outputs):
    (line,) = outputs["slow"]  # one place, which changes
    assert line["data"] == {"text/plain": "", "text/html": ""}
    (printed,) = outputs["lines"]
    lines = printed["text"].splitlines()
    assert any(re.fullmatch(r"Pass \d of \d: cross-products: 318 of 318 rows .*", text) for text in lines)
    assert any(re.fullmatch(r"Training: 1\d\d of 200 epochs .*/s 0:0\d left loss 0\.\d+ val_loss 0\.\d+", text) for text in lines)
    assert any(re.fullmatch(r"Training: \d+ of 24 steps .* loss 0\.\d+", text) for text in lines)
    assert any(re.fullmatch(r"Training: 3 of 3 epochs .* loss 1\.\d+", text) for text in lines)
    assert lines[-1] == ""
