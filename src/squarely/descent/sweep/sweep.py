"""The `Sweep`: runs that differ in learning rate, batch size, seed, momentum or weight decay, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from squarely import theory
from squarely.data import to_frame
from squarely.descent.results.training import Training
from squarely.descent.sweep.outcome import describe_options, final_loss, has_validation, is_finite, option_value
from squarely.descent.sweep.sweep_figure import MAX_CURVES, ends_panel, losses_panel
from squarely.errors import listed, pluralize, short_traceback
from squarely.numerics import round_apart, round_down
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import Page, Table, draw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MAX_SHOWN_RUNS = 10  # runs on a page
_SHORT_NAMES = {"batch_size": "batch", "weight_decay": "decay"}


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Sweep:
    """Runs that differ in some options. Made by `squarely.sweep`.

    Each run is a Training with its own model and optimizer. The optimizers of runs that were trained in one tensor program are new,
    except for the learning rate: the momenta were in the program. Losses differ by rounding from those of a single run, because
    products of many runs sum in another order.

    Attributes
    ----------
    runs : one Training for each combination; of lr, batch_size, seed, momentum, weight_decay the last changes fastest.
    varied : the options that have several values.
    program : how the runs were trained, such as "64 runs in one batched program", or why one by one.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir()

    runs: tuple[Training, ...]
    varied: tuple[str, ...] = ("lr",)
    program: str = ""

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: varied options, status, last_loss, lowest_loss, epochs, predicted_loss, predicted_excess, and val_loss.

        last_loss and val_loss belong to the final parameters: of the last epoch, the best ones, or the average. lowest_loss is the
        lowest one logged. predicted_loss and predicted_excess are the prediction for the final parameters, NaN without a curve;
        predicted_excess is the fraction of the excess at the start that is left, at least the rounding of the dtype.
        """
        return to_frame(self._make_columns())

    @property
    def frame(self) -> pd.DataFrame:
        """Another name of `table`."""
        return self.table

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all runs, each once."""
        return tuple(dict.fromkeys(note for run in self.runs for note in run.notes))

    @property
    def history(self) -> pd.DataFrame:
        """The losses of all runs, one below the other: epoch, loss, and each varied option."""
        lengths = [len(run.result.losses) for run in self.runs]
        options = {name: np.repeat([option_value(run, name) for run in self.runs], lengths) for name in self._options}
        return to_frame(
            {
                "epoch": np.concatenate([np.arange(length) for length in lengths]),
                "loss": np.concatenate([run.result.losses for run in self.runs]),
                **options,
            }
        )

    @property
    def best(self) -> Training:
        """The run with the lowest final validation loss, or loss, that did not diverge; the first of equals."""
        return self._ranked_runs[0]

    @property
    def why(self) -> str:
        """Sentences on why `best` is the best, by how much, and on the limits of its learning rate."""
        best, others = self.best, self._ranked_runs[1:]
        if not is_finite(best):
            return f"{'Every run' if others else 'The run'} diverged. {_describe_limits(best)}".strip()
        criterion = "validation loss" if has_validation(best) else "last loss"
        sentence = f"{describe_options(best, self._options)} ends lowest: its {criterion} is {final_loss(best):.6g}"
        if others and is_finite(others[0]):
            difference = final_loss(others[0]) - final_loss(best)
            gap = f"{difference:.3g} below that of" if difference > 0 else "tied with"
            sentence += f", {gap} {describe_options(others[0], self._options)}"
        lost = sum(not is_finite(run) for run in self.runs)
        diverged = f" {lost:,} of {len(self.runs):,} runs diverged." if lost else ""
        return f"{sentence}.{diverged} {_describe_limits(best)}".strip()

    @overload
    def plot(self, ax: None = None) -> Figure: ...
    @overload
    def plot(self, ax: Any) -> Any: ...
    @short_traceback
    def plot(self, ax: Any = None) -> Any:
        """Draw the losses of up to twelve runs by epoch; of more, the final losses by learning rate (or another varied option).

        The first has the curves that theory predicts, the second the limit in theory. Both mark the best run and those that
        diverged, and the optimum where it is known. A notebook shows the figure; `.savefig("sweep.png")` writes it to a file, and
        `.show()` opens a window. pyplot's current figure stays as it is.

        Parameters
        ----------
        ax : matplotlib axes to draw into. They are then returned in place of a Figure.

        Raises
        ------
        MissingExtraError : matplotlib is not installed.
        """
        panel = losses_panel if len(self.runs) <= MAX_CURVES else ends_panel
        return draw([panel(self.runs, self._options, self.best)], ax)

    def summary(self) -> Page:
        """Lay out the runs side by side, or the best ten, each with its prediction."""
        shown = list(self.runs) if len(self.runs) <= _MAX_SHOWN_RUNS else self._ranked_runs[:_MAX_SHOWN_RUNS]
        rows = [self._make_row(run) for run in shown]
        hidden = len(self.runs) - len(shown)
        more = [f"These are the best {_MAX_SHOWN_RUNS}; the other {hidden:,} runs are in sweep.table."] if hidden else []
        first, program = self.runs[0], [f"{self.program}."] if self.program else []
        return Page(
            "Learning Rates" if self._options == ("lr",) else "Sweep",
            [Table(list(rows[0]), [list(row.values()) for row in rows])],
            footer=[first.describe_rows(), *more, *program, self.why],
            notes=list(dict.fromkeys(warning for run in ([self.best] if hidden else shown) for warning in run.notes)),
        )

    def as_dict(self) -> Mapping[str, Any]:
        """Return every number as plain Python values: the output of `--json`."""
        return {
            "varied": list(self._options),
            "program": self.program,
            "best": self.runs.index(self.best),
            "best_lr": self.best.options.rate,
            "why": self.why,
            "notes": list(self.notes),
            "table": {name: np.asarray(values).tolist() for name, values in self._make_columns().items()},
            "runs": [run.as_dict() for run in self.runs],
        }

    def __repr__(self) -> str:
        parts = []
        for name in self._options:
            values = [f"{value:g}" for value in dict.fromkeys(option_value(run, name) for run in self.runs)]
            parts.append(f"{name} {listed(values, most=8)}")
        return f"<Sweep of {'; '.join(parts)}: {pluralize(len(self.runs), 'run')}; print(sweep.summary())>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    @property
    def _options(self) -> tuple[str, ...]:
        return self.varied or ("lr",)

    @property
    def _ranked_runs(self) -> list[Training]:
        return sorted(self.runs, key=lambda run: (not is_finite(run), final_loss(run)))

    def _make_columns(self) -> dict[str, Any]:
        curves = [run.prediction for run in self.runs]
        columns: dict[str, Any] = {
            **{name: np.array([option_value(run, name) for run in self.runs]) for name in self._options},
            "status": np.array([run.status for run in self.runs]),
            "last_loss": np.array([run.result.final_values["loss"] for run in self.runs]),
            "lowest_loss": np.array([np.fmin.reduce(run.result.losses) for run in self.runs]),
            "epochs": np.array([len(run.result.losses) - 1 for run in self.runs]),
            "predicted_loss": np.array([math.nan if curve is None else curve.final_loss for curve in curves]),
            "predicted_excess": np.array([_predicted_excess(run) for run in self.runs]),
        }
        if any(map(has_validation, self.runs)):
            columns["val_loss"] = np.array([run.result.final_values["val_loss"] for run in self.runs])
        return columns

    def _make_row(self, run: Training) -> dict[str, str]:
        curve, count = None if run.result.has_diverged else run.prediction, len(self._options)  # a diverging curve has no end
        row = {_SHORT_NAMES.get(name, name): f"{option_value(run, name):g}" for name in self._options}
        row["status"] = run.status
        row |= {"first loss": f"{run.result.losses[0]:.5g}"} if count == 1 else {}
        row["last loss"] = f"{run.result.final_values['loss']:.5g}"
        unknown = "-" if run.result.has_diverged else "unknown"
        row |= {"predicted": unknown if curve is None else f"{curve.final_loss:.5g}"} if count < 4 else {}
        if count < 5:
            row["predicted excess"] = unknown if curve is None else f"{100 * _predicted_excess(run):.2g} %"
        return row | ({"val loss": f"{run.result.final_values['val_loss']:.5g}"} if has_validation(self.best) else {})


def _predicted_excess(run: Training) -> float:
    return math.nan if run.prediction is None else run.prediction.visible_fraction(run.options.dtype)


def _describe_limits(run: Training) -> str:
    """Describe which constant rates converge for steps on all rows, and the limit for batches."""
    run_theory, options, descent = run.theory, run.options, run.options.descent
    if run_theory.lr_limit is None or run_theory.lr_best is None or descent is None:
        return ""
    best, limit = round_apart(run_theory.lr_best, theory.lr_limit(run_theory.spectrum, descent))
    at = f" at momentum {options.momentum:g}" if options.momentum else ""
    constant = "Learning rates" if options.scheduler is None else "Constant learning rates"
    if run_theory.batches is None:
        return f"{constant} below {limit} converge{at}. The best is {best}."
    return (
        f"{constant} below {limit} converge{at} for steps on all rows, and the best is {best}. "
        f"The limit {run_theory.limit_label} is {round_down(run_theory.lr_limit)}."
    )
