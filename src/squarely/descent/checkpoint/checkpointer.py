"""The keeper of a run: puts it to where its newest checkpoint has it, writes others as it goes, and stops it without a loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from squarely.descent.checkpoint.files import Checkpoint, DamagedError, checkpoints_in, read_checkpoint, write_checkpoint
from squarely.descent.checkpoint.fingerprint import Identity, require_same
from squarely.descent.checkpoint.policy import Keeping
from squarely.descent.checkpoint.state_dict import checkpoint_of, generators, loader_generators, restore, set_generators
from squarely.descent.distributed.process_group import Team
from squarely.descent.loop.signals import Halting
from squarely.descent.loop.state import State
from squarely.descent.loop.stopping import Ending
from squarely.descent.options.options import Recipe
from squarely.errors import DataError, InputError, OptionError


def kept(
    keeping: Keeping | None,
    state: State,
    recipe: Recipe,
    identity: Callable[[], Identity],
    run: Callable[[Any], Ending],
    *,
    ready: Callable[[], None],
    halting: Halting,
    team: Team,
) -> tuple[Ending, tuple[str, ...]]:
    """Run a loop, `run` of a keeper, from where its newest checkpoint has it, and say in sentences where that was.

    `ready` refuses a run that could not come to its end, before anything is written.

    Of several processes all go on from the same checkpoint, and the first one writes.

    The state is kept at the beginning, as often as `keeping` says, when a signal asks the run to stop, and at the end. torch's
    generators are left as they were, unless the run draws from them.

    Raises
    ------
    OptionError, DataError : the checkpoint is of another run, none can be read, or none can be written.
    KeyboardInterrupt : Ctrl-C; its message says how to go on.
    """
    if keeping is None:
        ready()
        return run(None), ()
    of = identity()
    by_epoch = recipe.full_batch or keeping.unit == "epochs"
    keeper = _Keeper(keeping=keeping, identity=of, by_epoch=by_epoch, halting=halting, team=team)
    with _generators_left(state.total.device) as taken:
        ended, remarks = team.agreed(lambda: keeper.resumed(state, recipe))
        _require_one_place(state, keeping, team)
        taken()
        if ended is None:
            ready()
            with keeper.halting:
                keeper.begin(state)
                ended = run(keeper)
                keeper.end(state, ended)
    return ended, remarks


def rate_begun_with(keeping: Keeping | None) -> float | None:
    """Give the learning rate of the newest checkpoint that a run goes on from; None where there is none that can be read."""
    for path in () if keeping is None or keeping.origin is None else checkpoints_in(keeping.origin):
        try:
            rate = read_checkpoint(path).run["recipe"]["lr"]
        except (DamagedError, LookupError, TypeError):
            continue
        return float(rate) if isinstance(rate, int | float) else None
    return None


@contextmanager
def _generators_left(device: torch.device) -> Iterator[Callable[[], None]]:
    """Leave torch's generators as they were, unless something draws from them after the word that this gives."""
    before = held = generators(device)

    def taken() -> None:
        nonlocal held
        held = generators(device)

    try:
        yield taken
    finally:
        now = generators(device)
        if all(torch.equal(now[name], held[name]) for name in now):
            set_generators(before, device)


@dataclass(eq=False, slots=True, kw_only=True)
class _Keeper:
    """Who keeps a run: told by the loop of every moment at which it could be resumed.

    Attributes
    ----------
    by_epoch : whether it is epochs that are counted, and not batches.
    since, steps : when the run was kept last, in the unit that is counted: a moment, an epoch, or batches since then.
    place : epoch, batch and entries of the log when it was.
    """

    keeping: Keeping
    identity: Identity
    by_epoch: bool
    halting: Halting
    team: Team
    since: float = 0.0
    steps: int = 0
    place: tuple[int, int, int] | None = None

    def resumed(self, state: State, recipe: Recipe) -> tuple[Ending | None, tuple[str, ...]]:
        """Put the state to where the newest checkpoint has it that can be read; if the run had ended there, say how."""
        origin = self.keeping.origin
        if origin is None:
            return None, ()
        met, passed = checkpoints_in(origin), []
        for path in met:
            try:
                checkpoint = read_checkpoint(path)
                ended = self._taken(state, recipe, checkpoint, path)
            except DamagedError as error:
                passed.append(f"The checkpoint {str(path)!r} cannot be read: {error}.")
                continue
            if origin == self.keeping.folder:
                self.place = _place(state)
            if ended is not None and ended.status == "finished" and state.epoch < recipe.epochs:
                ended = None
            said = (*passed, _whence(path, checkpoint, passed), *_average(state, recipe, checkpoint.run["recipe"]["average"]))
            return ended, (*said, *self._doubts(checkpoint, state))
        if passed:
            raise DataError(f"{' '.join(passed)} There is no other in {str(origin)!r}. Begin anew in another folder.")
        if self.keeping.demanded:
            raise DataError(
                f"The folder {str(origin)!r} holds no checkpoint to go on from. Give the folder that checkpoint= named."
            )
        return None, (f"The folder {str(origin)!r} held no checkpoint yet: the run began anew.",)

    def _taken(self, state: State, recipe: Recipe, checkpoint: Checkpoint, path: Path) -> Ending | None:
        try:
            require_same(checkpoint.run, checkpoint.tensors, self.identity, str(path))
        except InputError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DamagedError(f"it does not fit together ({type(error).__name__}: {error})") from error
        if checkpoint.epoch > recipe.epochs or (checkpoint.epoch == recipe.epochs and checkpoint.batch):
            raise OptionError(
                f"The checkpoint {str(path)!r} has done {checkpoint.epoch:,} epochs, and epochs={recipe.epochs} "
                "asks for fewer. Give more."
            )
        return restore(state, checkpoint)

    def _doubts(self, checkpoint: Checkpoint, state: State) -> tuple[str, ...]:
        """Say what may have the run end with other bits than one that never stopped."""
        was, now = checkpoint.run.get("versions"), self.identity.run["versions"]
        doubts = []
        if isinstance(was, dict) and was != now:
            changed = [f"{name} was {was.get(name)} and is {now[name]}" for name in now if was.get(name) != now[name]]
            doubts.append(f"Last bits may differ from those of a run that never stopped: {', '.join(changed)}.")
        if self.identity.sampler:
            doubts.append(
                f"{self.identity.sampler} draws the order of the rows, a sampler that squarely does not know: if it draws from "
                "generators other than torch's, the checkpoint does not hold them."
            )
        if not loader_generators(state).keys() <= checkpoint.tensors.keys():
            doubts.append("The checkpoint does not hold the generator of the loader: the order of the rows may be another one.")
        return tuple(doubts)

    def begin(self, state: State) -> None:
        """Keep the state where nothing of this run is on disk yet: a disk that is full shows before the first step."""
        self._keep(state)

    def batch(self, state: State) -> None:
        """Keep the state in the middle of an epoch, if it is time."""
        self.steps += 1
        if not self.identity.undivided and (self.halting.due or (not self.by_epoch and self._due(self.steps))):
            self._keep(state)

    def epoch(self, state: State) -> None:
        """Keep the state at the beginning of an epoch, if it is time."""
        if self.halting.due or self._due(state.epoch - self.since if self.by_epoch else self.steps):
            self._keep(state)

    def end(self, state: State, ended: Ending) -> None:
        """Keep the state at the end."""
        self._keep(state, ended)

    def _due(self, counted: float) -> bool:
        if self.keeping.unit == "seconds":
            return time.monotonic() - self.since >= self.keeping.number
        return counted >= self.keeping.number

    def _keep(self, state: State, ended: Ending | None = None) -> None:
        place, folder = _place(state), self.keeping.folder
        if self.team.rank == 0 and (place != self.place or ended is not None):
            write_checkpoint(folder, checkpoint_of(state, self.identity, ended))
        self.place, self.steps = place, 0
        self.since = time.monotonic() if self.keeping.unit == "seconds" else state.epoch
        if self.halting.due:
            if not self.halting.alone:
                self.team.meet()  # whoever started them ends all as soon as one has ended, written or not
            done = f"epoch {state.epoch:,}" + (f", batch {state.batch:,}" if state.batch else "")
            self.halting.grant(
                f"interrupted at {done}, and kept. Go on with resume={str(folder)!r} (on the command line: --resume {folder})."
            )


def _require_one_place(state: State, keeping: Keeping, team: Team) -> None:
    """Raise a DataError where the processes would go on from different places."""
    places = team.gathered(_place(state))
    for rank in range(team.size):
        if not np.array_equal(places[rank], places[0]):
            raise DataError(
                f"Process {rank} finds another checkpoint in {str(keeping.origin)!r} than process 0: of epoch {places[rank][0]:,}, "
                f"batch {places[rank][1]:,}, not {places[0][0]:,}, {places[0][1]:,}. Give a folder that all of them share."
            )


def _average(state: State, recipe: Recipe, was: int | None) -> tuple[str, ...]:
    """Average over the second half of more epochs, where that is still to come; else say from which epoch on it is."""
    if recipe.average is None or was is None or was == recipe.average:
        return ()
    if (state.epoch, state.batch) <= (recipe.average, 0):
        state.counted = 0  # the first iterate that is taken in then stands for all before
        return ()
    begun = state.averaged_from if state.counted else state.epoch
    return (f"Iterates are averaged from epoch {begun} on and not from {recipe.average:,}, which the checkpoint is past.",)


def _place(state: State) -> tuple[int, int, int]:
    return state.epoch, state.batch, len(state.log.losses)


def _whence(path: Path, checkpoint: Checkpoint, passed: list[str]) -> str:
    batch = f", batch {checkpoint.batch:,}" if checkpoint.batch else ""
    return (
        f"The run went on from epoch {checkpoint.epoch:,}{batch}, as kept in {str(path)!r}{', the one before' if passed else ''}."
    )
