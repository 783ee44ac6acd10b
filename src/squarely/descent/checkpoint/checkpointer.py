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

from squarely.descent.checkpoint.files import (
    Checkpoint,
    UnreadableCheckpointError,
    checkpoints_in,
    read_checkpoint,
    write_checkpoint,
)
from squarely.descent.checkpoint.fingerprint import RunFingerprint, require_same_run
from squarely.descent.checkpoint.policy import CheckpointPolicy
from squarely.descent.checkpoint.state_dict import loader_generators, restore, rng_states, set_rng_states, to_checkpoint
from squarely.descent.distributed.process_group import ProcessGroup
from squarely.descent.loop.signals import SignalHandler
from squarely.descent.loop.state import LoopState
from squarely.descent.loop.stopping import StopReason
from squarely.descent.options.options import TrainingOptions
from squarely.errors import DataError, InputError, OptionError


def run_with_checkpoints(
    keeping: CheckpointPolicy | None,
    state: LoopState,
    options: TrainingOptions,
    fingerprint: Callable[[], RunFingerprint],
    run: Callable[[Any], StopReason],
    *,
    check_run: Callable[[], None],
    signals: SignalHandler,
    process_group: ProcessGroup,
) -> tuple[StopReason, tuple[str, ...]]:
    """Run a loop, `run` of a keeper, from where its newest checkpoint has it, and say in sentences where that was.

    `check_run` refuses a run that could not come to its end, before anything is written.

    Of several processes all go on from the same checkpoint, and the first one writes.

    The state is kept at the beginning, as often as `keeping` says, when a signal asks the run to stop, and at the end. torch's
    generators are left as they were, unless the run draws from them.

    Raises
    ------
    OptionError, DataError : the checkpoint is of another run, none can be read, or none can be written.
    KeyboardInterrupt : Ctrl-C; its message says how to go on.
    """
    if keeping is None:
        check_run()
        return run(None), ()
    of = fingerprint()
    by_epoch = options.is_full_batch or keeping.unit == "epochs"
    keeper = Checkpointer(policy=keeping, fingerprint=of, by_epoch=by_epoch, signals=signals, process_group=process_group)
    with _preserved_rng_states(state.total.device) as taken:
        ended, remarks = process_group.run_on_all(lambda: keeper.resume(state, options))
        _require_same_position(state, keeping, process_group)
        taken()
        if ended is None:
            check_run()
            with keeper.signals:
                keeper.begin(state)
                ended = run(keeper)
                keeper.end(state, ended)
    return ended, remarks


def newest_checkpoint_rate(keeping: CheckpointPolicy | None) -> float | None:
    """Give the learning rate of the newest checkpoint that a run goes on from; None where there is none that can be read."""
    for path in () if keeping is None or keeping.origin is None else checkpoints_in(keeping.origin):
        try:
            rate = read_checkpoint(path).run["recipe"]["lr"]
        except (UnreadableCheckpointError, LookupError, TypeError):
            continue
        return float(rate) if isinstance(rate, int | float) else None
    return None


@contextmanager
def _preserved_rng_states(device: torch.device) -> Iterator[Callable[[], None]]:
    """Leave torch's generators as they were, unless something draws from them after the word that this gives."""
    before = held = rng_states(device)

    def taken() -> None:
        nonlocal held
        held = rng_states(device)

    try:
        yield taken
    finally:
        now = rng_states(device)
        if all(torch.equal(now[name], held[name]) for name in now):
            set_rng_states(before, device)


@dataclass(eq=False, slots=True, kw_only=True)
class Checkpointer:
    """Who keeps a run: told by the loop of every moment at which it could be resumed.

    Attributes
    ----------
    by_epoch : whether it is epochs that are counted, and not batches.
    last_saved, batches_since_save : when the run was kept last, in the unit that is counted: a moment, an epoch, or batches since then.
    position : epoch, batch and entries of the log when it was.
    """

    policy: CheckpointPolicy
    fingerprint: RunFingerprint
    by_epoch: bool
    signals: SignalHandler
    process_group: ProcessGroup
    last_saved: float = 0.0
    batches_since_save: int = 0
    position: tuple[int, int, int] | None = None

    def resume(self, state: LoopState, options: TrainingOptions) -> tuple[StopReason | None, tuple[str, ...]]:
        """Put the state to where the newest checkpoint has it that can be read; if the run had ended there, say how."""
        origin = self.policy.origin
        if origin is None:
            return None, ()
        met, passed = checkpoints_in(origin), []
        for path in met:
            try:
                checkpoint = read_checkpoint(path)
                ended = self._restore_from(state, options, checkpoint, path)
            except UnreadableCheckpointError as error:
                passed.append(f"The checkpoint {str(path)!r} cannot be read: {error}.")
                continue
            if origin == self.policy.folder:
                self.position = _position_of(state)
            if ended is not None and ended.status == "finished" and state.epoch < options.epochs:
                ended = None
            said = (
                *passed,
                _describe_origin(path, checkpoint, passed),
                *_adjust_average(state, options, checkpoint.run["recipe"]["average"]),
            )
            return ended, (*said, *self._describe_differences(checkpoint, state))
        if passed:
            raise DataError(f"{' '.join(passed)} There is no other in {str(origin)!r}. Begin anew in another folder.")
        if self.policy.is_required:
            raise DataError(
                f"The folder {str(origin)!r} holds no checkpoint to go on from. Give the folder that checkpoint= named."
            )
        return None, (f"The folder {str(origin)!r} held no checkpoint yet: the run began anew.",)

    def _restore_from(self, state: LoopState, options: TrainingOptions, checkpoint: Checkpoint, path: Path) -> StopReason | None:
        try:
            require_same_run(checkpoint.run, checkpoint.tensors, self.fingerprint, str(path))
        except InputError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UnreadableCheckpointError(f"it does not fit together ({type(error).__name__}: {error})") from error
        if checkpoint.epoch > options.epochs or (checkpoint.epoch == options.epochs and checkpoint.batch):
            raise OptionError(
                f"The checkpoint {str(path)!r} has done {checkpoint.epoch:,} epochs, and epochs={options.epochs} "
                "asks for fewer. Give more."
            )
        return restore(state, checkpoint)

    def _describe_differences(self, checkpoint: Checkpoint, state: LoopState) -> tuple[str, ...]:
        """Say what may have the run end with other bits than one that never stopped."""
        was, now = checkpoint.run.get("versions"), self.fingerprint.run["versions"]
        doubts = []
        if isinstance(was, dict) and was != now:
            changed = [f"{name} was {was.get(name)} and is {now[name]}" for name in now if was.get(name) != now[name]]
            doubts.append(f"Last bits may differ from those of a run that never stopped: {', '.join(changed)}.")
        if self.fingerprint.sampler:
            doubts.append(
                f"{self.fingerprint.sampler} draws the order of the rows, a sampler that squarely does not know: if it draws from "
                "generators other than torch's, the checkpoint does not hold them."
            )
        if not loader_generators(state).keys() <= checkpoint.tensors.keys():
            doubts.append("The checkpoint does not hold the generator of the loader: the order of the rows may be another one.")
        return tuple(doubts)

    def begin(self, state: LoopState) -> None:
        """Keep the state where nothing of this run is on disk yet: a disk that is full shows before the first step."""
        self._save(state)

    def on_batch(self, state: LoopState) -> None:
        """Keep the state in the middle of an epoch, if it is time."""
        self.batches_since_save += 1
        if not self.fingerprint.is_epoch_only and (
            self.signals.is_due or (not self.by_epoch and self._is_due(self.batches_since_save))
        ):
            self._save(state)

    def on_epoch(self, state: LoopState) -> None:
        """Keep the state at the beginning of an epoch, if it is time."""
        if self.signals.is_due or self._is_due(state.epoch - self.last_saved if self.by_epoch else self.batches_since_save):
            self._save(state)

    def end(self, state: LoopState, ended: StopReason) -> None:
        """Keep the state at the end."""
        self._save(state, ended)

    def _is_due(self, counted: float) -> bool:
        if self.policy.unit == "seconds":
            return time.monotonic() - self.last_saved >= self.policy.number
        return counted >= self.policy.number

    def _save(self, state: LoopState, ended: StopReason | None = None) -> None:
        place, folder = _position_of(state), self.policy.folder
        if self.process_group.rank == 0 and (place != self.position or ended is not None):
            write_checkpoint(folder, to_checkpoint(state, self.fingerprint, ended))
        self.position, self.batches_since_save = place, 0
        self.last_saved = time.monotonic() if self.policy.unit == "seconds" else state.epoch
        if self.signals.is_due:
            if not self.signals.is_single:
                self.process_group.barrier()  # whoever started them ends all as soon as one has ended, written or not
            done = f"epoch {state.epoch:,}" + (f", batch {state.batch:,}" if state.batch else "")
            self.signals.raise_pending(
                f"interrupted at {done}, and kept. Go on with resume={str(folder)!r} (on the command line: --resume {folder})."
            )


def _require_same_position(state: LoopState, keeping: CheckpointPolicy, team: ProcessGroup) -> None:
    """Raise a DataError where the processes would go on from different places."""
    places = team.all_gather_counts(_position_of(state))
    for rank in range(team.size):
        if not np.array_equal(places[rank], places[0]):
            raise DataError(
                f"Process {rank} finds another checkpoint in {str(keeping.origin)!r} than process 0: of epoch {places[rank][0]:,}, "
                f"batch {places[rank][1]:,}, not {places[0][0]:,}, {places[0][1]:,}. Give a folder that all of them share."
            )


def _adjust_average(state: LoopState, options: TrainingOptions, was: int | None) -> tuple[str, ...]:
    """Average over the second half of more epochs, where that is still to come; else say from which epoch on it is."""
    if options.average is None or was is None or was == options.average:
        return ()
    if (state.epoch, state.batch) <= (options.average, 0):
        state.average_count = 0  # the first iterate that is taken in then stands for all before
        return ()
    begun = state.average_start if state.average_count else state.epoch
    return (f"Iterates are averaged from epoch {begun} on and not from {options.average:,}, which the checkpoint is past.",)


def _position_of(state: LoopState) -> tuple[int, int, int]:
    return state.epoch, state.batch, len(state.history.losses)


def _describe_origin(path: Path, checkpoint: Checkpoint, passed: list[str]) -> str:
    batch = f", batch {checkpoint.batch:,}" if checkpoint.batch else ""
    return (
        f"The run went on from epoch {checkpoint.epoch:,}{batch}, as kept in {str(path)!r}{', the one before' if passed else ''}."
    )
