"""Records one run of a training loop by hooks and a mode of torch; nothing of torch stays changed."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from types import TracebackType

from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from squarely.checkup.recorder.backward_passes import BackwardRecorder
from squarely.checkup.recorder.event_log import EventLog
from squarely.checkup.recorder.formula import add_formula_events
from squarely.checkup.recorder.forward_passes import ForwardRecorder
from squarely.checkup.recorder.replaced_methods import record_loaders, record_schedulers
from squarely.checkup.recorder.tensors.parameters import Parameters
from squarely.checkup.recorder.tensors.predictions import Predictions
from squarely.checkup.recorder.torch_calls import TorchCalls
from squarely.checkup.recorder.trace import Trace
from squarely.checkup.recorder.updates import UpdateRecorder


class Recorder:
    """Record what torch does inside `with Recorder() as recorder:`; read `recorder.trace` afterwards.

    `stop_after` ends the loop after so many backward passes, with a `RunStopped`.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self._log = EventLog()
        self._parameters = Parameters()
        self._predictions = Predictions()
        self._updates = UpdateRecorder(self._log, self._parameters)
        self._forwards = ForwardRecorder(self._log, self._parameters, self._predictions, self._updates)
        self._backwards = BackwardRecorder(self._log, self._parameters, self._predictions, self._updates, stop_after=stop_after)
        self._stack = ExitStack()

    @property
    def trace(self) -> Trace:
        """What was recorded."""
        return self._log.trace

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers that stepped, by their numbers in the trace."""
        return self._log.optimizers

    def __enter__(self) -> Recorder:
        caught = self._stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        self._stack.callback(lambda: self._log.trace.warnings.extend(str(warning.message) for warning in caught))
        for handle in (
            register_module_forward_pre_hook(self._forwards.before_module),
            register_module_forward_hook(self._forwards.after_module, always_call=True),
            register_optimizer_step_pre_hook(self._updates.before_step),
            register_optimizer_step_post_hook(self._updates.after_step),
        ):
            self._stack.callback(handle.remove)
        self._stack.enter_context(record_loaders(self._log))
        self._stack.enter_context(record_schedulers(self._log))
        self._stack.enter_context(TorchCalls(self._log, self._forwards, self._backwards, self._updates))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
        if not self._log.trace.truncated:  # what was not recorded is no single update
            self._updates.find_update()
        self._log.trace.graphs_alive, self._log.trace.graphs_kept = self._predictions.graphs.alive, self._predictions.graphs.kept
        self._log.trace.plain_tensors = self._parameters.plain_tensors
        self._log.trace.parameters = self._parameters.info
        for number, tensor in self._parameters.tensors.items():
            self._parameters.info[number].requires_grad = tensor.requires_grad
        self._log.trace.initial, self._log.trace.final = self._parameters.initial, self._parameters.values()
        add_formula_events(self.trace, self._forwards.formula_weights)
