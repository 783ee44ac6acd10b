"""From a `LoopState` to a `Checkpoint` and back, to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

from squarely.descent.checkpoint.fingerprint import RunFingerprint, require_same_run
from squarely.descent.checkpoint.format import Checkpoint, UnreadableCheckpointError
from squarely.descent.checkpoint.serialize import (
    NamedTensors,
    copy_to_cpu,
    describe_class,
    from_plain,
    to_plain,
    without_our_module,
)
from squarely.descent.loop.result import History, StopReason
from squarely.descent.loop.state import LoopState, set_parameters
from squarely.descent.options.options import TrainingOptions
from squarely.errors import InputError, OptionError
from squarely.storage.json_fields import as_bool, as_int, as_number, as_text
from squarely.types import Status

_READ_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError, ValueError, StopIteration)


def to_checkpoint(state: LoopState, fingerprint: RunFingerprint, ended: StopReason | None = None) -> Checkpoint:
    """Return the present state of a run, which shares no memory with it.

    Raises
    ------
    OptionError : the state_dict of the optimizer or the scheduler has something that only pickle could write.
    """
    logged = len(state.history.losses)
    if ended is not None and ended.is_requested:
        ended, logged = None, state.epoch  # a resumed run calls the callbacks again at this epoch
    numbers: dict[str, Any] = {f"data.{name}": values for name, values in fingerprint.data.items()}
    numbers |= {f"log.{i}": values[:logged] for i, values in enumerate(state.history.columns.values())}
    tensors = {name: torch.tensor(values, dtype=torch.float64, device="cpu") for name, values in numbers.items()}
    for name, values in _state_tensors(state).items():
        tensors |= {f"{name}.{i}": copy_to_cpu(tensor) for i, tensor in enumerate(values)}
    run = {
        **fingerprint.run,
        "counted": state.average_count,
        "averaged_from": state.average_start,
        "log": {
            "columns": list(state.history.columns),
            "best": to_plain(state.history.best_loss, {}, ""),
            "best_epoch": state.history.best_epoch,
            "waited": state.history.epochs_without_gain,
        },
        "made": _describe_kinds(state),
        "optimizer": _part_to_plain(state.optimizer, tensors, "optimizer"),
        "scheduler": None if state.scheduler is None else _part_to_plain(state.scheduler, tensors, "scheduler"),
        "ended": ended and {"status": ended.status, "reason": ended.reason, "restored": ended.restored_epoch, "asked": False},
    }
    tensors |= {name: generator.get_state() for name, generator in loader_generators(state).items()}
    return Checkpoint(epoch=state.epoch, batch=state.batch, run=run, tensors=tensors | rng_states(state.total.device))


def loader_generators(state: LoopState) -> dict[str, torch.Generator]:
    """Return the generators of the user's loader by their names in a checkpoint."""
    return {f"rng.loader.{i}": generator for i, generator in enumerate(state.generators)}


def _state_tensors(state: LoopState) -> dict[str, Sequence[torch.Tensor]]:
    groups = {
        "model": state.parameters,
        "buffer": list(state.model.buffers()),
        "total": [state.total],
        "good": state.finite_parameters,
        "best": state.best_parameters,
        "mean": state.mean,
    }
    return {name: values for name, values in groups.items() if values is not None}


def _describe_kinds(state: LoopState) -> list[Any]:
    return [None if part is None else describe_class(type(part)) for part in (state.model, state.optimizer, state.scheduler)]


def _part_to_plain(part: Any, tensors: NamedTensors, name: str) -> Any:
    try:
        return to_plain(part.state_dict(), tensors, name)
    except TypeError as error:
        raise OptionError(
            f"The state of the {name}, a {type(part).__name__}, cannot be saved without pickle: {error}. "
            "Leave it out of the state_dict(), or train without checkpoint=."
        ) from error


def restore(
    state: LoopState, options: TrainingOptions, checkpoint: Checkpoint, fingerprint: RunFingerprint, label: str
) -> StopReason | None:
    """Set a run to a checkpoint, which `label` names; if it had ended there, return how.

    Raises
    ------
    OptionError, DataError : the checkpoint is of another run, or the optimizer or scheduler is of another kind.
    UnreadableCheckpointError : its values do not fit together.
    """
    run, tensors, device = checkpoint.run, checkpoint.tensors, state.total.device
    try:
        require_same_run(checkpoint, fingerprint, options.epochs, label)
        _require_kinds(run["made"], _describe_kinds(state))
        log = _read_history(checkpoint)
        state.average_count = as_int(run["counted"])
        start = run.get("averaged_from", run["recipe"]["average"])  # early checkpoints lack it
        state.average_start = None if start is None else as_int(start)
        for name, values in _state_tensors(state).items():
            set_parameters(values, [_require_same_shape(tensors[f"{name}.{i}"], old) for i, old in enumerate(values)])
        _put_optimizer(state.optimizer, from_plain(run["optimizer"], tensors, device))
        if state.scheduler is not None:
            _put_scheduler(state.scheduler, from_plain(run["scheduler"], tensors, device))
        ended = _read_stop_reason(run["ended"])
        if ended is not None and ended.restored_epoch is not None and ended.restored_epoch >= len(log.losses):
            raise ValueError(f"epoch {ended.restored_epoch} is not in its log")
        set_rng_states({name: tensors[name] for name in rng_states(device)}, device)
        for name, generator in loader_generators(state).items():
            if name in tensors:  # early checkpoints lack it
                generator.set_state(_require_same_shape(tensors[name], generator.get_state()))
    except InputError:
        raise
    except _READ_ERRORS as error:
        raise UnreadableCheckpointError(f"it does not fit together ({type(error).__name__}: {error})") from error
    state.history, state.epoch, state.batch = log, checkpoint.epoch, checkpoint.batch
    return ended


def _require_kinds(was: Any, now: Sequence[Any]) -> None:
    for name, before, after in zip(("model", "optimizer", "scheduler"), was, now, strict=True):
        kinds = ["none" if kind is None else repr(without_our_module(as_text(kind["function"]))) for kind in (before, after)]
        if kinds[0] != kinds[1]:
            raise OptionError(f"The {name} of the checkpoint was {kinds[0]} and is {kinds[1]}. Pass the one that the run had.")


def _read_history(checkpoint: Checkpoint) -> History:
    saved, epoch = checkpoint.run["log"], checkpoint.epoch
    names = [as_text(name) for name in saved["columns"]]
    columns = {name: checkpoint.tensors[f"log.{i}"] for i, name in enumerate(names)}
    if len(columns) != len(names) or any(c.dtype != torch.float64 or c.dim() != 1 for c in columns.values()):
        raise ValueError("its log does not consist of columns of numbers")
    logged = len(columns["loss"])
    if not (logged == epoch + 1 or (logged == epoch and not checkpoint.batch)) or any(len(c) > logged for c in columns.values()):
        raise ValueError(f"its log has {logged} entries")
    best = saved["best"]
    return History(
        columns={name: values.tolist() for name, values in columns.items()},
        best_loss=as_number(best["number"] if isinstance(best, Mapping) else best),
        best_epoch=as_int(saved["best_epoch"]),
        epochs_without_gain=as_int(saved["waited"]),
    )


def _require_same_shape(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    if new.dtype != old.dtype or new.shape != old.shape:
        raise ValueError(f"a tensor has {new.dtype} and shape {tuple(new.shape)} for {old.dtype} and {tuple(old.shape)}")
    return new


def _put_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load the state of an optimizer. PyTorch alone would cast its tensors to the dtype of the parameters."""
    fresh = optimizer.state_dict()
    _require_like(saved["param_groups"], fresh["param_groups"])
    places = [place for group in saved["param_groups"] for place in group["params"]]
    if not {*saved["state"]} <= {*places}:
        raise ValueError("the optimizer has a state for other parameters")
    _require_like({**saved, "state": {}, "param_groups": []}, {**fresh, "state": {}, "param_groups": []})
    optimizer.load_state_dict(saved)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, parameter in zip(places, parameters, strict=True):
        if place in saved["state"]:
            optimizer.state[parameter] = saved["state"][place]


def _put_scheduler(scheduler: Any, saved: dict[str, Any]) -> None:
    fresh = scheduler.state_dict()
    _require_like(saved, fresh)
    for name in {*saved} - {*fresh}:
        if not isinstance(name, str) or hasattr(type(scheduler), name):
            raise ValueError(f"the scheduler has {name!r}, which a new one lacks")
    scheduler.load_state_dict(saved)


def _require_like(new: Any, old: Any) -> None:
    """Raise an error for a value of another kind than the one that it replaces; None may be replaced by any."""
    if old is None:
        return
    numbers = (bool, int, float)
    if type(new) is not type(old) and not (isinstance(new, numbers) and isinstance(old, numbers)):
        raise TypeError(f"a {type(new).__name__} is in the place of a {type(old).__name__}")
    if isinstance(new, int) and abs(new) >= 2**63:
        raise ValueError(f"a whole number has {new.bit_length()} bits")
    if isinstance(old, Mapping):
        for name in old:
            _require_like(new[name], old[name])
    elif isinstance(old, list | tuple):
        for a, b in zip(new, old, strict=True):
            _require_like(a, b)
    elif isinstance(old, torch.Tensor):
        _require_same_shape(new, old)


def _read_stop_reason(saved: Any) -> StopReason | None:
    if saved is None:
        return None
    restored = None if saved["restored"] is None else as_int(saved["restored"])
    return StopReason(cast(Status, as_text(saved["status"])), as_text(saved["reason"]), restored, as_bool(saved["asked"]))


def rng_states(device: torch.device) -> NamedTensors:
    """Return the states of torch's generators that a run on this device may draw from."""
    states = {"rng.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["rng.cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_rng_states(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Set torch's generators to states that `rng_states` returned for this device."""
    torch.set_rng_state(_require_same_shape(states["rng.cpu"], torch.get_rng_state()))
    if "rng.cuda" in states:
        torch.cuda.set_rng_state(_require_same_shape(states["rng.cuda"], torch.cuda.get_rng_state(device)), device)
