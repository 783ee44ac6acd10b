"""The Sweep: several learning rates, each with a newly made model and optimiser, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import frame
from squarely.descent.training import Training
from squarely.show import Curve, Page, Panel, Table, draw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Sweep:
    """Runs that differ in their learning rate. Made by `squarely.sweep`.

    Attributes
    ----------
    runs : one Training for each learning rate, in the order given.
    """

    runs: tuple[Training, ...]

    @property
    def history(self) -> pd.DataFrame:
        """The losses of all runs, one below the other: columns epoch, loss, lr."""
        return frame(
            {
                "epoch": np.concatenate([np.arange(len(run.loop.losses)) for run in self.runs]),
                "loss": np.concatenate([run.loop.losses for run in self.runs]),
                "lr": np.concatenate([np.full(len(run.loop.losses), run.recipe.rate) for run in self.runs]),
            }
        )

    @property
    def best(self) -> Training:
        """The run with the lowest last loss among those that finished; the first of equals."""
        finished = [run for run in self.runs if not run.loop.diverged] or list(self.runs)
        return min(finished, key=lambda run: float(run.loop.losses[-1]))

    def plot(self) -> Figure:
        """Draw the losses of all runs, one colour for each learning rate."""
        marks = [
            Curve(x=np.arange(len(run.loop.losses)), y=run.loop.losses, label=f"lr = {run.recipe.rate:g}", colour=i)
            for i, run in enumerate(self.runs)
        ]
        return draw([Panel(title="Loss by epoch and learning rate", x_label="epoch", y_label="MSE (standardised)", marks=marks)])

    def summary(self) -> Page:
        """Lay the runs out side by side, with what theory says of each."""
        rows = [
            (
                f"{run.recipe.rate:g}",
                run.status,
                f"{run.loop.losses[0]:.5g}",
                f"{run.loop.losses[-1]:.5g}",
                "unknown" if run.prediction is None else f"{run.prediction.losses[-1]:.5g}",
                "unknown" if run.prediction is None else f"{100 * run.prediction.kept:.2g} %",
            )
            for run in self.runs
        ]
        table = Table(("lr", "status", "first loss", "last loss", "predicted", "excess left"), rows)
        known, best = self.runs[0].theory, self.best
        said = ""
        if known.lr_limit is not None:
            said = f"Learning rates below {known.lr_limit:.4g} converge. The best is {known.lr_best:.4g}. "
        return Page(
            "Learning Rates",
            [table],
            footer=[
                "Rows: " + " ".join(self.runs[0].rows.lines()),
                said + ("Every run diverged." if best.loop.diverged else f"Of these, lr = {best.recipe.rate:g} ends lowest."),
            ],
            notes=[warning for run in self.runs for warning in run.warnings],
        )

    def as_dict(self) -> Mapping[str, Any]:
        """Give every number as plain Python values: what `--json` prints."""
        return {"runs": [run.as_dict() for run in self.runs], "best_lr": self.best.recipe.rate}

    def __repr__(self) -> str:
        rates = ", ".join(f"{run.recipe.rate:g}" for run in self.runs)
        return f"<Sweep of lr {rates}; print(sweep.summary())>"
