"""One recorded run as the rules need it: batches with their rows, changes of the parameters with their gradients, and epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from squarely.checkup.findings import SourceLine
from squarely.checkup.problem import Problem
from squarely.checkup.recorder.trace import (
    Backward,
    Forward,
    LoaderStart,
    TargetComparison,
    Trace,
    Update,
    Values,
)
from squarely.checkup.rules.epochs import TrainingBatch, count_rows, find_epochs, is_full_batch
from squarely.checkup.rules.rows import RowNumbers
from squarely.checkup.rules.steps.changes import Change, find_changes, flatten
from squarely.numerics import Array

LR_NAMES = ("lr", "learning_rate", "eta", "alpha", "step_size", "lrate")
EPOCH_NAMES = ("epochs", "n_epochs", "num_epochs", "max_epochs", "nb_epochs", "epoch")


@dataclass(kw_only=True)
class Run:
    """A run of a loop.

    Attributes
    ----------
    trace : what was recorded.
    problem : what the loop was given; None for a script with data of its own.
    arguments : the loop's arguments by name, with defaults.
    given : the names of the fixtures that the loop was given.
    given_optimizers : the numbers of the optimizers among them.
    form : the arguments of `make_problem`.
    returned : what the loop returned.
    output : what the loop printed.
    source : the text of the user's source file, "" if unknown.
    """

    trace: Trace
    problem: Problem | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    given_optimizers: frozenset[int] = frozenset()
    form: Mapping[str, Any] = field(default_factory=dict)
    returned: Any = None
    output: str = ""
    source: str = ""

    def events(self, kind: type[Any]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.trace.events if isinstance(event, kind)]

    @cached_property
    def forwards(self) -> list[Forward]:
        """All forward passes with inputs."""
        return [event for event in self.events(Forward) if event.inputs.size]

    @cached_property
    def comparisons(self) -> list[TargetComparison]:
        """All operations of predictions and targets."""
        return self.events(TargetComparison)

    @cached_property
    def backwards(self) -> list[Backward]:
        """All backward passes."""
        return self.events(Backward)

    @cached_property
    def updates(self) -> list[Update]:
        """All changes of parameters without an optimizer."""
        return self.events(Update)

    @cached_property
    def row_numbers(self) -> RowNumbers:
        """The numbering of the rows."""
        return RowNumbers(self.problem, self.forwards, self.comparisons)

    @cached_property
    def batches(self) -> list[TrainingBatch]:
        """The batches of all backward passes, in the order of their forward passes; a forward pass counts once."""
        events, found, done = self.trace.events, [], set()
        for backward in self.backwards:
            for index in backward.forwards:
                forward = events[index]
                if index in done or not isinstance(forward, Forward) or not forward.inputs.size:
                    continue
                done.add(index)
                pairs = [events[number] for number in backward.comparisons]
                pair = next((event for event in pairs if isinstance(event, TargetComparison) and event.forward == index), None)
                rows, targets = self.row_numbers.of_inputs(forward.inputs), None
                if pair is not None:
                    targets = self.row_numbers.of_targets(pair.targets)
                if not self.row_numbers.by_problem and targets is not None and len(targets) == len(rows):
                    rows = targets  # inputs with noise
                found.append(TrainingBatch(forward=forward, backward=backward, comparison=pair, rows=rows, target_rows=targets))
        return found

    @cached_property
    def rows_of_forward(self) -> dict[int, list[int]]:
        """The row numbers of each forward pass that a backward pass used, by its index."""
        return {batch.forward.index: batch.rows.tolist() for batch in self.batches}

    @cached_property
    def knows_rows(self) -> bool:
        """Whether the batches have the row numbers of the problem, by their inputs or their targets."""
        return self.row_numbers.by_problem or all(batch.target_rows is not None for batch in self.batches)

    @cached_property
    def evaluations(self) -> list[Forward]:
        """The forward passes that no backward pass used."""
        used = {index for backward in self.backwards for index in backward.forwards}
        return [event for event in self.forwards if event.index not in used]

    @cached_property
    def trained(self) -> set[int]:
        """The parameters that a gradient reaches."""
        return {number for backward in self.backwards if backward.forwards for number in backward.reached}

    @cached_property
    def changes(self) -> list[Change]:
        """Steps of optimizers, and updates by hand that follow a backward pass."""
        return find_changes(self.trace, self.trained)

    @cached_property
    def epochs(self) -> list[list[TrainingBatch]]:
        """The batches of each epoch; the last may be incomplete."""
        return find_epochs(self.batches, self.trace, self.declared_epochs)

    @cached_property
    def rows_in_training(self) -> int:
        """How many different rows backward passes used."""
        return count_rows(self.batches)

    @cached_property
    def declared_lr(self) -> float | None:
        """The learning rate among the loop's arguments."""
        return next((float(self.arguments[name]) for name in LR_NAMES if _is_number(self.arguments.get(name))), None)

    @cached_property
    def declared_epochs(self) -> int | None:
        """The number of epochs among the loop's arguments."""
        return next((int(self.arguments[name]) for name in EPOCH_NAMES if _is_number(self.arguments.get(name))), None)

    @cached_property
    def moves_in_epochs(self) -> bool:
        """Whether the parameters change more than once in an epoch."""
        return len(self.changes) > 1.2 * len(self.epochs)

    @cached_property
    def loader_starts(self) -> list[LoaderStart]:
        """The starts of iterations over DataLoaders."""
        return self.events(LoaderStart)

    def trained_values(self, values: Values) -> Array:
        """Return the values of the trained parameters as one vector."""
        return flatten(values, sorted(self.trained))

    @cached_property
    def is_full_batch(self) -> bool:
        """Whether nearly every backward pass used the rows of the one before: all of the data, or all of a fold."""
        return is_full_batch(self.batches)

    def declares(self, *names: str) -> str | None:
        """Return the argument of the loop whose name is or contains one of `names`."""
        return next(
            (name for name in self.arguments if any(part in name.lower().split("_") or part == name.lower() for part in names)),
            None,
        )

    def line_with(self, *texts: str) -> SourceLine | None:
        """Return the line of the user's source that holds one of `texts` and is nearest to a line that ran."""
        lines = [event.line for event in self.trace.events if event.line is not None]
        file = lines[0].file if lines else ""
        ran = {line.line for line in lines if line.file == file}
        found = [
            SourceLine(file=file, line=number, text=line.strip())
            for number, line in enumerate(self.source.splitlines(), 1)
            if any(text in line for text in texts) and not line.lstrip().startswith("#")
        ]
        return min(found, key=lambda one: min((abs(one.line - line) for line in ran), default=0), default=None)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
