"""Draw docs/loss.png, the picture in the README, from the run of the README. `python -m tests.support.loss_picture` writes it.

The texts of the figure are in the PNG, so that a test notices when they change.
"""

import json
from pathlib import Path

import squarely as sq

PICTURE = Path(__file__).parents[2] / "docs" / "loss.png"


def draw_picture():
    """Return the figure."""
    return sq.train("mpg ~ displacement", sq.datasets.cars(), lr=0.01, epochs=1000).plot()


def texts_of(figure):
    """List the titles, labels and legends of a figure."""
    texts = []
    for axes in figure.axes:
        texts += [
            axes.get_title(),
            axes.get_xlabel(),
            axes.get_ylabel(),
            *(each.get_text() for each in axes.get_legend().get_texts()),
        ]
    return texts


if __name__ == "__main__":
    figure = draw_picture()
    figure.savefig(PICTURE, dpi=110, metadata={"Description": json.dumps(texts_of(figure))})
