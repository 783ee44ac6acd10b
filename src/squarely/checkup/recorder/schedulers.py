"""When a learning rate scheduler steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer, lr_scheduler

from squarely.checkup.recorder.trace import SchedulerStep

if TYPE_CHECKING:
    from squarely.checkup.recorder.recorder import Recorder


@contextmanager
def record_schedulers(recorder: Recorder) -> Iterator[None]:
    """Record every step of a scheduler inside, except the first, which a scheduler makes of itself when it is created."""
    classes = [kind for kind in vars(lr_scheduler).values() if isinstance(kind, type) and "step" in vars(kind)]
    originals = {kind: vars(kind)["step"] for kind in classes}
    schedulers: list[Any] = []
    depth = [0]

    def recorded(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
            depth[0] += 1
            try:
                if depth[0] == 1 and not recorder.is_quiet and not getattr(scheduler, "_is_initial", False):
                    if not any(known is scheduler for known in schedulers):
                        schedulers.append(scheduler)
                    _record(recorder, scheduler, next(i for i, known in enumerate(schedulers) if known is scheduler))
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


def _record(recorder: Recorder, scheduler: Any, number: int) -> None:
    optimizer = getattr(scheduler, "optimizer", None)
    options = {
        name: value for name, value in vars(scheduler).items() if isinstance(value, (int, float)) and not name.startswith("_")
    }
    recorder.add(
        SchedulerStep,
        scheduler=number,
        scheduler_class=type(scheduler).__name__,
        options=options,
        optimizer=recorder.number_of_optimizer(optimizer) if isinstance(optimizer, Optimizer) else -1,
    )
