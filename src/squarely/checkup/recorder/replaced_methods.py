"""Methods of torch that are replaced while a run is recorded: the start of a DataLoader, and the step of a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader

from squarely.checkup.recorder.event_log import EventLog
from squarely.checkup.recorder.trace import LoaderStart, SchedulerStep


@contextmanager
def record_loaders(log: EventLog) -> Iterator[None]:
    """Record every start of an iteration over a DataLoader inside."""
    original = DataLoader.__iter__
    loaders: list[Any] = []

    def iterate(loader: Any) -> Any:
        if not log.is_quiet:
            if not any(known is loader for known in loaders):
                loaders.append(loader)
            number = next(number for number, known in enumerate(loaders) if known is loader)
            with log.quiet():
                _add_loader_start(log, loader, number)
        return original(loader)

    DataLoader.__iter__ = iterate
    try:
        yield
    finally:
        DataLoader.__iter__ = original


def _add_loader_start(log: EventLog, loader: Any, number: int) -> None:
    rows = None
    with suppress(TypeError, NotImplementedError):
        rows = len(loader.dataset)
    generator = getattr(loader, "generator", None)
    state = torch.get_rng_state() if generator is None else generator.get_state()
    log.add(
        LoaderStart,
        loader=number,
        rows=rows,
        batch_size=loader.batch_size,
        drop_last=bool(loader.drop_last),
        sampler=type(loader.sampler).__name__,
        rng_state=hash(state.numpy().tobytes()),
    )


@contextmanager
def record_schedulers(log: EventLog) -> Iterator[None]:
    """Record every step of a scheduler inside, except the first, which a scheduler makes of itself when it is created."""
    classes: list[Any] = [kind for kind in vars(lr_scheduler).values() if isinstance(kind, type) and "step" in vars(kind)]
    originals = {kind: vars(kind)["step"] for kind in classes}
    schedulers: list[Any] = []
    depth = [0]

    def recorded(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
            depth[0] += 1
            try:
                if depth[0] == 1 and not log.is_quiet and not getattr(scheduler, "_is_initial", False):
                    if not any(known is scheduler for known in schedulers):
                        schedulers.append(scheduler)
                    _add_scheduler_step(log, scheduler, next(i for i, known in enumerate(schedulers) if known is scheduler))
                return original(scheduler, *args, **kwargs)
            finally:
                depth[0] -= 1

        return step

    for kind in classes:
        kind.step = recorded(originals[kind])
    try:
        yield
    finally:
        for kind in classes:
            kind.step = originals[kind]


def _add_scheduler_step(log: EventLog, scheduler: Any, number: int) -> None:
    optimizer = getattr(scheduler, "optimizer", None)
    options: dict[str, object] = {
        name: value for name, value in vars(scheduler).items() if isinstance(value, (int, float)) and not name.startswith("_")
    }
    milestones = getattr(scheduler, "milestones", None) or getattr(scheduler, "_milestones", None)
    if milestones:
        options["milestones"] = max(milestones)
    log.add(
        SchedulerStep,
        scheduler=number,
        scheduler_class=type(scheduler).__name__,
        options=options,
        optimizer=log.number_of_optimizer(optimizer) if isinstance(optimizer, Optimizer) else -1,
    )
