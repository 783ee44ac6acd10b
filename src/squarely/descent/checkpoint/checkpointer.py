"""`Checkpointer`: resumes a run from its newest checkpoint, writes others on the way, and stops for a signal without a loss."""

from __future__ import annotations

import time

import numpy as np
import torch

from squarely.descent.checkpoint.fingerprint import RunFingerprint
from squarely.descent.checkpoint.format import (
    Checkpoint,
    UnreadableCheckpointError,
    checkpoints_in,
    read_checkpoint,
    write_checkpoint,
)
from squarely.descent.checkpoint.policy import CheckpointPolicy
from squarely.descent.checkpoint.serialize import NamedTensors
from squarely.descent.checkpoint.state_dict import loader_generators, restore, rng_states, set_rng_states, to_checkpoint
from squarely.descent.loop.result import StopReason
from squarely.descent.loop.signals import SignalHandler
from squarely.descent.loop.state import LoopState
from squarely.descent.options.options import TrainingOptions
from squarely.descent.process_group import ProcessGroup
from squarely.errors import DataError


class Checkpointer:
    """The checkpoints of one run, as a context: call `resume`, then pass `save_if_due` to the loop.

    It writes at the start, as often as the policy says, when a signal asks the run to stop, and at the end. Several processes
    resume from the same checkpoint, and the first one writes. torch's generators keep their states unless the run draws from them.
    """

    def __init__(self, policy: CheckpointPolicy, fingerprint: RunFingerprint, group: ProcessGroup, signals: SignalHandler) -> None:
        self.remarks: tuple[str, ...] = ()  # on where the run resumed, and what may differ from a run without interruption
        self._policy, self._fingerprint, self._group, self._signals = policy, fingerprint, group, signals
        self._by_epoch = policy.unit == "epochs"  # whether epochs are counted, and not batches
        self._last_saved = 0.0  # seconds, epochs or batches, as `_progress` counts them
        self._batches = 0
        self._position: tuple[int, int, int] | None = None  # epoch, batch and length of the log when it was last saved
        self._rng_before: NamedTensors = {}
        self._rng_resumed: NamedTensors = {}
        self._device = torch.device("cpu")

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the handlers of signals, and torch's generators unless the run drew from them."""
        self._signals.uninstall()
        now = rng_states(self._device)
        if self._rng_before and all(torch.equal(now[name], state) for name, state in self._rng_resumed.items()):
            set_rng_states(self._rng_before, self._device)

    def resume(self, state: LoopState, options: TrainingOptions) -> StopReason | None:
        """Set the state from the newest readable checkpoint; if the run had ended there, return how.

        Raises
        ------
        OptionError, DataError : the checkpoint is of another run, or none can be read.
        """
        self._by_epoch = self._by_epoch or options.is_full_batch
        self._device = state.total.device
        self._rng_before = self._rng_resumed = rng_states(self._device)
        ended = self._group.run_on_all(lambda: self._resume(state, options))
        self._require_same_position(state)
        self._rng_resumed = rng_states(self._device)
        return ended

    def on_start(self, state: LoopState) -> None:
        """Save a state that is not yet on disk: a full disk shows before the first step."""
        self._signals.install()
        self.save(state)

    def save_if_due(self, state: LoopState) -> None:
        """Save the state at the beginning of an epoch or after a batch, if it is time."""
        if state.batch:
            self._batches += 1
            if self._fingerprint.is_epoch_only or (self._by_epoch and not self._signals.is_due):
                return
        if self._signals.is_due or self._progress(state) - self._last_saved >= self._policy.number:
            self.save(state)

    def save(self, state: LoopState, ended: StopReason | None = None) -> None:
        """Save the state, with the reason if the run has ended; raise the error of a pending signal."""
        position, folder = _position_of(state), self._policy.folder
        if self._group.rank == 0 and (position != self._position or ended is not None):
            write_checkpoint(folder, to_checkpoint(state, self._fingerprint, ended))
        self._position, self._last_saved = position, self._progress(state)
        if self._signals.is_due:
            if not self._signals.is_single:
                self._group.barrier()  # torchrun ends all processes once one has ended, whether or not the checkpoint is complete
            done = f"epoch {state.epoch:,}" + (f", batch {state.batch:,}" if state.batch else "")
            self._signals.raise_pending(f"interrupted at {done}, and saved. Resume with resume={str(folder)!r}.")

    def _resume(self, state: LoopState, options: TrainingOptions) -> StopReason | None:
        origin = self._policy.origin
        if origin is None:
            return None
        unreadable: list[str] = []
        for path in checkpoints_in(origin):
            try:
                checkpoint = read_checkpoint(path)
                ended = restore(state, options, checkpoint, self._fingerprint, str(path))
            except UnreadableCheckpointError as error:
                unreadable.append(f"The checkpoint {str(path)!r} cannot be read: {error}.")
                continue
            if origin == self._policy.folder:
                self._position = _position_of(state)
            batch = f", batch {checkpoint.batch:,}" if checkpoint.batch else ""
            self.remarks = (
                *unreadable,
                f"The run resumed from epoch {checkpoint.epoch:,}{batch}, saved in {str(path)!r}"
                f"{', the one before' if unreadable else ''}.",
                *_adjust_average(state, options, checkpoint.run["recipe"]["average"]),
                *self._describe_differences(checkpoint, state),
            )
            return None if ended is not None and ended.status == "finished" and state.epoch < options.epochs else ended
        if unreadable:
            raise DataError(f"{' '.join(unreadable)} There is no other in {str(origin)!r}. Start again in another folder.")
        if self._policy.is_required:
            raise DataError(f"The folder {str(origin)!r} holds no checkpoint to resume. Give the folder that checkpoint= named.")
        self.remarks = (f"The folder {str(origin)!r} held no checkpoint yet: the run starts at the beginning.",)
        return None

    def _describe_differences(self, checkpoint: Checkpoint, state: LoopState) -> tuple[str, ...]:
        """Return remarks on what may change the bits of a run that resumes."""
        was, now = checkpoint.run.get("versions"), self._fingerprint.run["versions"]
        remarks = []
        if isinstance(was, dict) and was != now:
            changed = [f"{name} was {was.get(name)} and is {now[name]}" for name in now if was.get(name) != now[name]]
            remarks.append(f"Last bits may differ from those of a run that never stopped: {', '.join(changed)}.")
        if self._fingerprint.sampler:
            remarks.append(
                f"{self._fingerprint.sampler} draws the order of the rows, a sampler that squarely does not know: if it draws from "
                "generators other than torch's, the checkpoint does not hold them."
            )
        if not loader_generators(state).keys() <= checkpoint.tensors.keys():
            remarks.append("The checkpoint does not hold the generator of the loader: the order of the rows may be another one.")
        return tuple(remarks)

    def _require_same_position(self, state: LoopState) -> None:
        """Raise a DataError where the processes would resume at different places."""
        positions = self._group.all_gather_counts(_position_of(state))
        for rank in range(self._group.size):
            if not np.array_equal(positions[rank], positions[0]):
                raise DataError(
                    f"Process {rank} finds another checkpoint in {str(self._policy.origin)!r} than process 0: of epoch "
                    f"{positions[rank][0]:,}, batch {positions[rank][1]:,}, not {positions[0][0]:,}, {positions[0][1]:,}. Give a "
                    "folder that all of them share."
                )

    def _progress(self, state: LoopState) -> float:
        """Return the seconds, epochs or batches so far, whichever the policy counts."""
        if self._policy.unit == "seconds":
            return time.monotonic()
        return state.epoch if self._by_epoch else self._batches


def newest_checkpoint_rate(policy: CheckpointPolicy | None) -> float | None:
    """Return the learning rate of the newest readable checkpoint that a run resumes; None where there is none."""
    for path in () if policy is None or policy.origin is None else checkpoints_in(policy.origin):
        try:
            rate = read_checkpoint(path).run["recipe"]["lr"]
        except (UnreadableCheckpointError, LookupError, TypeError):
            continue
        return float(rate) if isinstance(rate, int | float) else None
    return None


def _adjust_average(state: LoopState, options: TrainingOptions, was: int | None) -> tuple[str, ...]:
    """Average over the second half of more epochs, where that lies ahead; else remark from which epoch on."""
    if options.average is None or was is None or was == options.average:
        return ()
    if (state.epoch, state.batch) <= (options.average, 0):
        state.average_count = 0  # the first iterate of the average replaces all before
        return ()
    start = state.average_start if state.average_count else state.epoch
    return (f"Iterates are averaged from epoch {start} on and not from {options.average:,}, which the checkpoint is past.",)


def _position_of(state: LoopState) -> tuple[int, int, int]:
    return state.epoch, state.batch, len(state.history.losses)
