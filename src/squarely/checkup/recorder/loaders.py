"""When an iteration over a DataLoader begins, and with which random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from squarely.checkup.recorder.trace import LoaderStart

if TYPE_CHECKING:
    from squarely.checkup.recorder.recorder import Recorder


@contextmanager
def record_loaders(recorder: Recorder) -> Iterator[None]:
    """Record every start of an iteration over a DataLoader inside."""
    original = DataLoader.__iter__
    loaders: list[Any] = []

    def iterate(loader: Any) -> Any:
        if not recorder.is_quiet:
            if not any(known is loader for known in loaders):
                loaders.append(loader)
            number = next(number for number, known in enumerate(loaders) if known is loader)
            with recorder.quiet():
                _record(recorder, loader, number)
        return original(loader)

    DataLoader.__iter__ = iterate  # type: ignore[method-assign]
    try:
        yield
    finally:
        DataLoader.__iter__ = original  # type: ignore[method-assign]


def _record(recorder: Recorder, loader: Any, number: int) -> None:
    rows = None
    with suppress(TypeError, NotImplementedError):
        rows = len(loader.dataset)
    generator = getattr(loader, "generator", None)
    state = torch.get_rng_state() if generator is None else generator.get_state()
    recorder.add(
        LoaderStart,
        loader=number,
        rows=rows,
        batch_size=loader.batch_size,
        drop_last=bool(loader.drop_last),
        sampler=type(loader.sampler).__name__,
        rng_state=hash(state.numpy().tobytes()),
    )
