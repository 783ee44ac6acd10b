"""The `Sweep`: runs that differ in learning rate, batch size, seed, momentum or weight decay, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely import theory
from squarely.data import to_frame
from squarely.descent.options.optimizers import weight_decay_of
from squarely.descent.results.convergence import FAILED
from squarely.descent.results.summary import describe_rows
from squarely.descent.results.training import Training
from squarely.errors import listed
from squarely.numerics import round_apart, round_down
from squarely.show import Curve, Page, Panel, Table, draw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MAX_SHOWN_RUNS = 10  # runs on a page
_MAX_CURVES = 12  # curves that can be distinguished
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

    runs: tuple[Training, ...]
    varied: tuple[str, ...] = ("lr",)
    program: str = ""

    @property
    def frame(self) -> pd.DataFrame:
        """One row a run: the varied options, status, last_loss, lowest_loss, epochs, predicted_loss, excess_left, and val_loss.

        last_loss and val_loss belong to the final parameters: of the last epoch, the best ones, or the average. lowest_loss is the
        lowest one logged. predicted_loss and excess_left are the prediction for the final parameters, NaN without a curve.
        """
        return to_frame(self._make_columns())

    @property
    def history(self) -> pd.DataFrame:
        """The losses of all runs, one below the other: epoch, loss, and each varied option."""
        lengths = [len(run.result.losses) for run in self.runs]
        options = {name: np.repeat([_option_value(run, name) for run in self.runs], lengths) for name in self._options}
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
        if not _is_finite(best):
            return f"{'Every run' if others else 'The run'} diverged. {_describe_limits(best)}".strip()
        criterion = "validation loss" if _has_validation(best) else "last loss"
        sentence = f"{self._describe_run(best)} ends lowest: its {criterion} is {_final_loss(best):.6g}"
        if others and _is_finite(others[0]):
            difference = _final_loss(others[0]) - _final_loss(best)
            gap = f"{difference:.3g} below" if difference > 0 else "no lower than"
            sentence += f", {gap} that of {self._describe_run(others[0])}" + ("" if difference > 0 else ", which comes later")
        lost = sum(not _is_finite(run) for run in self.runs)
        diverged = f" {lost:,} of {len(self.runs):,} runs diverged." if lost else ""
        return f"{sentence}.{diverged} {_describe_limits(best)}".strip()

    def plot(self) -> Figure:
        """Draw the losses of up to twelve runs; of more, the final losses by learning rate (or another varied option).

        A vertical line is the limit in theory of the best run.
        """
        return draw([self._draw_losses() if len(self.runs) <= _MAX_CURVES else self._draw_ends()])

    def summary(self) -> Page:
        """Lay out the runs side by side, or the best ten, each with its prediction."""
        shown = list(self.runs) if len(self.runs) <= _MAX_SHOWN_RUNS else self._ranked_runs[:_MAX_SHOWN_RUNS]
        rows = [self._make_row(run) for run in shown]
        hidden = len(self.runs) - len(shown)
        more = [f"These are the best {_MAX_SHOWN_RUNS}; the other {hidden:,} runs are in sweep.frame."] if hidden else []
        first, program = self.runs[0], [f"{self.program}."] if self.program else []
        used = describe_rows(first.source, first.rows, first.validation, first.validation_rows)
        return Page(
            "Learning Rates" if self._options == ("lr",) else "Sweep",
            [Table(list(rows[0]), [list(row.values()) for row in rows])],
            footer=[used, *more, *program, self.why],
            notes=list(dict.fromkeys(warning for run in ([self.best] if hidden else shown) for warning in run.warnings)),
        )

    def as_dict(self) -> Mapping[str, Any]:
        """Return every number as plain Python values: the output of `--json`."""
        return {
            "varied": list(self._options),
            "program": self.program,
            "best": self.runs.index(self.best),
            "best_lr": self.best.options.rate,
            "why": self.why,
            "frame": {name: np.asarray(values).tolist() for name, values in self._make_columns().items()},
            "runs": [run.as_dict() for run in self.runs],
        }

    def __repr__(self) -> str:
        parts = []
        for name in self._options:
            values = [f"{value:g}" for value in dict.fromkeys(_option_value(run, name) for run in self.runs)]
            parts.append(f"{name} {listed(values, most=8)}")
        return f"<Sweep of {'; '.join(parts)}: {len(self.runs):,} runs; print(sweep.summary())>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    @property
    def _options(self) -> tuple[str, ...]:
        return self.varied or ("lr",)

    @property
    def _ranked_runs(self) -> list[Training]:
        return sorted(self.runs, key=lambda run: (not _is_finite(run), _final_loss(run)))

    def _describe_run(self, run: Training) -> str:
        return ", ".join(f"{name} = {_option_value(run, name):g}" for name in self._options)

    def _make_columns(self) -> dict[str, Any]:
        curves = [run.prediction for run in self.runs]
        columns: dict[str, Any] = {
            **{name: np.array([_option_value(run, name) for run in self.runs]) for name in self._options},
            "status": np.array([run.status for run in self.runs]),
            "last_loss": np.array([run.result.final_values["loss"] for run in self.runs]),
            "lowest_loss": np.array([np.fmin.reduce(run.result.losses) for run in self.runs]),
            "epochs": np.array([len(run.result.losses) - 1 for run in self.runs]),
            "predicted_loss": np.array([math.nan if curve is None else curve.final_loss for curve in curves]),
            "excess_left": np.array([math.nan if curve is None else curve.remaining_fraction for curve in curves]),
        }
        if any(map(_has_validation, self.runs)):
            columns["val_loss"] = np.array([run.result.final_values["val_loss"] for run in self.runs])
        return columns

    def _make_row(self, run: Training) -> dict[str, str]:
        curve, count = run.prediction, len(self._options)
        row = {_SHORT_NAMES.get(name, name): f"{_option_value(run, name):g}" for name in self._options}
        row["status"] = run.status
        row |= {"first loss": f"{run.result.losses[0]:.5g}"} if count == 1 else {}
        row["last loss"] = f"{run.result.final_values['loss']:.5g}"
        row |= {"predicted": "unknown" if curve is None else f"{curve.final_loss:.5g}"} if count < 4 else {}
        row |= {"excess left": "unknown" if curve is None else f"{100 * curve.remaining_fraction:.2g} %"} if count < 5 else {}
        return row | ({"val loss": f"{run.result.final_values['val_loss']:.5g}"} if _has_validation(self.best) else {})

    def _draw_losses(self) -> Panel:
        """Draw every run; the upper limit cuts diverging runs off, so that the others are not flat."""
        marks = [
            Curve(
                x=np.arange(len(run.result.losses)),
                y=run.result.losses,
                label=self._describe_run(run) + ("" if _is_finite(run) else f" ({run.status})"),
                color=i,
            )
            for i, run in enumerate(self.runs)
        ]
        top = None if all(map(_is_finite, self.runs)) else 1.05 * max(float(run.result.losses[0]) for run in self.runs)
        title = "Loss by epoch and learning rate" if self._options == ("lr",) else "Loss by epoch"
        return Panel(title=title, x_label="epoch", y_label="loss (standardized)", marks=marks, top=top)

    def _draw_ends(self) -> Panel:
        """Draw one line for each combination of the other options."""
        across = max(self._options, key=lambda name: (name == "lr", len({_option_value(run, name) for run in self.runs})))
        others = [name for name in self._options if name != across]
        lines: dict[tuple[float, ...], list[tuple[float, float]]] = {}
        for run in self.runs:
            line = lines.setdefault(tuple(_option_value(run, name) for name in others), [])
            if _is_finite(run):
                line.append((_option_value(run, across), _final_loss(run)))
        named = len(lines) <= _MAX_CURVES
        marks = []
        for i, (values, points) in enumerate(lines.items()):
            x, y = np.array(sorted(points)).reshape(-1, 2).T
            label = ", ".join(f"{name} = {value:g}" for name, value in zip(others, values, strict=True)) if named else ""
            marks.append(Curve(x=x, y=y, label=label, color=i))
        ends = [_final_loss(run) for run in self.runs if _is_finite(run)]
        if across == "lr" and ends:
            limit, batches = self.best.theory.lr_limit, self.best.theory.batches
            if limit is not None:
                drawn = "" if batches is None else ", rows drawn with replacement"
                marks.append(Curve(x=[limit, limit], y=[min(ends), max(ends)], label=f"limit in theory{drawn}", dashed=True))
        loss = "validation loss" if _has_validation(self.best) else "last loss"
        return Panel(
            title=f"Where {len(self.runs):,} runs ended",
            x_label=across,
            y_label=f"{loss} (standardized)",
            marks=marks,
            log_x=across in ("lr", "batch_size"),
            log_y=True,
        )


def _option_value(run: Training, name: str) -> float:
    """Return the value of an option; the number of rows for a batch of all rows."""
    special = {"batch_size": run.options.batch_size or run.problem.n, "weight_decay": weight_decay_of(run.options) or 0.0}
    value: float = special.get(name, getattr(run.options, name))
    return value


def _is_finite(run: Training) -> bool:
    return run.status not in FAILED and math.isfinite(_final_loss(run))


def _has_validation(run: Training) -> bool:
    return "val_loss" in run.result.history.columns


def _final_loss(run: Training) -> float:
    """Return the loss that ranks a run, at its final parameters."""
    return run.result.final_values["val_loss" if _has_validation(run) else "loss"]


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
