"""The part of a script that trains: the training loop, with nothing that the options do not use."""

from __future__ import annotations

from dataclasses import dataclass

from squarely.descent.codegen.python_text import BracketedText, literal, statement
from squarely.descent.loop.stopping import DIVERGENCE_FACTOR
from squarely.descent.options.options import TrainingOptions

_METRICS = {
    "mse": "mse{square}",
    "rmse": "np.sqrt(mse){unit}",
    "mae": "residual.abs().mean().item(){unit}",
    "r2": "1.0 - mse / labels.double().var(correction=0).item()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptPlan:
    """The course of a run, as far as its script depends on it.

    Attributes
    ----------
    options : of the run.
    epochs : of the script: those of the options, or fewer if the run ended for a reason that the script leaves out.
    has_validation : whether the loss of other rows is logged.
    has_patience : whether the script stops after epochs without a gain.
    end : "not finite" or "diverged" if the last loss was not finite; else "".
    """

    options: TrainingOptions
    epochs: int
    has_validation: bool
    has_patience: bool
    end: str

    @property
    def failure_name(self) -> str:
        """The variable of the script that says that the loss is out of range."""
        return "lost" if self.end == "not finite" else "diverged"

    @property
    def needs_copies(self) -> bool:
        """Whether the script copies weights."""
        return self.has_patience or bool(self.end) or self.options.average is not None


def metrics_code(plan: ScriptPlan) -> list[str]:
    """Write the function that computes the metrics."""
    options = plan.options
    if not options.metrics:
        return []
    unit, square = (" * unit", " * unit**2") if options.standardize else ("", "")
    items = tuple(f"{literal(name)}: {_METRICS[name].format(unit=unit, square=square)}" for name in options.metrics)
    needs_mse = set(options.metrics) != {"mae"}
    lines = [
        "def measure(inputs, labels):",
        f'    """Measure the model{" in the unit of the response" if options.standardize else ""}."""',
        *(["    unit = scale[-1]"] if options.standardize and set(options.metrics) != {"r2"} else []),
        "    with torch.no_grad():",
        "        residual = (model(inputs) - labels).double()",
        *(["    mse = residual.square().mean().item()"] if needs_mse else []),
        statement("return ", BracketedText("{", items, "}"), indent=4),
    ]
    return ["\n".join(lines)]


def loop_code(plan: ScriptPlan) -> list[str]:
    """Write the lists of the log, and the loop that fills them."""
    return [
        *_setup_code(plan),
        "for epoch in range(epochs + 1):",
        *_indent(_logging_code(plan)),
        *_indent(_stopping_code(plan)),
        *_indent(_updates_code(plan)),
        *_average_code(plan),
    ]


def report_code(plan: ScriptPlan) -> list[str]:
    """Write the statements that print the results."""
    status = "not finite" if plan.failure_name == "lost" else "diverged"
    lines = [f"print(f\"Epoch {{epoch}}: loss {{losses[-1]:.8g}}{{' ({status})' if {plan.failure_name} else ''}}\")"]
    if plan.has_validation:
        lines.append('print(f"Validation loss: {val_losses[-1]:.8g}")')
    for kind in ["", "val_"][: 1 + plan.has_validation] if plan.options.metrics else []:
        lines += [f"for name, value in {kind}metrics[-1].items():", f'    print(f"{kind}{{name}}: {{value:.8g}}")']
    return lines


def _setup_code(plan: ScriptPlan) -> list[str]:
    options = plan.options
    lines = [
        "# Train. Each epoch logs the loss, then updates the weights; the last one only logs."
        if options.is_full_batch
        else "# Train. Each epoch logs the loss on all rows, then updates the weights; the last one only logs.",
        "losses = []" if options.is_full_batch else "losses, running_losses = [], []",
    ]
    if plan.has_validation:
        lines.append("val_losses = []")
    if options.metrics:
        lines.append("metrics, val_metrics = [], []" if plan.has_validation else "metrics = []")
    if plan.has_patience:
        lines.append("best, waited, best_weights = np.inf, 0, deepcopy(model.state_dict())")
    if plan.end:
        lines.append("finite_weights = deepcopy(model.state_dict())")
    if options.average is not None:
        lines.append("average, averaged = deepcopy(model.state_dict()), 0")
    return lines


def _logging_code(plan: ScriptPlan) -> list[str]:
    options = plan.options
    if options.is_full_batch and options.optimizer != "lbfgs":
        lines = [
            "optimizer.zero_grad()  # clear the gradients of the epoch before",
            "outputs = model(inputs)",
            "loss = criterion(outputs, labels)",
            "losses.append(loss.item())",
        ]
        evaluations = []
    else:
        lines, evaluations = [], ["losses.append(criterion(model(inputs), labels).item())"]
    if plan.has_validation:
        evaluations.append("val_losses.append(criterion(model(val_inputs), val_labels).item())")
    if evaluations:
        lines += ["with torch.no_grad():", *_indent(evaluations)]
    if options.metrics:
        lines.append("metrics.append(measure(inputs, labels))")
        lines += ["val_metrics.append(measure(val_inputs, val_labels))"] if plan.has_validation else []
    return lines


def _stopping_code(plan: ScriptPlan) -> list[str]:
    """Write the conditions that end the loop, in the order of the run."""
    diverged = f"diverged = not losses[-1] <= {DIVERGENCE_FACTOR:.0e} * (losses[0] + 1.0)  # NaN too".replace("e+", "e")
    lines = ["lost = not np.isfinite(losses[-1])" if plan.failure_name == "lost" else diverged]
    if plan.end:
        restore = "    model.load_state_dict(finite_weights)  # the last weights with a finite loss"
        lines += ["if not np.isfinite(losses[-1]):", restore]
    if plan.has_patience:
        lines += [f"if {plan.failure_name}:", "    break", *_patience_code(plan.options)]
    else:
        lines += [f"if {plan.failure_name} or epoch == epochs:", "    break"]
    if plan.end:
        lines.append("finite_weights = deepcopy(model.state_dict())")
    if plan.options.scheduler == "ReduceLROnPlateau" and plan.has_validation:
        lines += ["if epoch:", "    scheduler.step(val_losses[-1])  # the loss after the updates of the epoch before"]
    return lines


def _patience_code(options: TrainingOptions) -> list[str]:
    watched = "losses" if options.stop == "loss" else "val_losses"
    gain = f" - {literal(options.min_delta)}" if options.min_delta else ""
    return [
        f"if {watched}[-1] < best{gain}:",
        f"    best, waited, best_weights = {watched}[-1], 0, deepcopy(model.state_dict())",
        "else:",
        "    waited += 1",
        "if waited == patience or epoch == epochs:",
        "    model.load_state_dict(best_weights)  # those of the lowest loss",
        "    break",
    ]


def _updates_code(plan: ScriptPlan) -> list[str]:
    options = plan.options
    if options.is_full_batch:
        lines = _step_code(options)
    else:
        lines = [
            *_batches_code(options),
            "total = torch.zeros((), dtype=dtype, device=device)  # sum of the losses while the weights move",
            "for batch_inputs, batch_labels in batches:  # the last batch may be short",
            *_indent(["optimizer.zero_grad()", "loss = criterion(model(batch_inputs), batch_labels)", *_step_code(options)]),
            "    total.add_(loss.detach(), alpha=len(batch_labels))",
            "running_losses.append(total.item() / len(labels))",
        ]
    if options.scheduler is not None and (options.is_full_batch or options.scheduler_per == "epoch"):
        if options.scheduler != "ReduceLROnPlateau":
            lines.append("scheduler.step()")
        elif not plan.has_validation:
            lines.append("scheduler.step(losses[-1])")
    return lines


def _batches_code(options: TrainingOptions) -> list[str]:
    """Write the order of the rows of an epoch, and the batches.

    The rows are gathered once and then cut, as in the run: batches at other positions in memory may give matrix products that round
    differently.
    """
    if not options.shuffle:
        return ["batches = zip(inputs.split(batch_size), labels.split(batch_size))"]
    drawn = "integers(len(labels), size=len(labels))" if options.replacement else "permutation(len(labels))"
    return [
        f"order = np.random.default_rng([{options.seed % 2**64}, epoch]).{drawn}",
        "order = torch.from_numpy(order).to(device)",
        "batches = zip(inputs[order].split(batch_size), labels[order].split(batch_size))",
    ]


def _step_code(options: TrainingOptions) -> list[str]:
    """Write the gradient and the update."""
    if options.optimizer == "lbfgs":
        lines = ["optimizer.step(closure)  # evaluates the loss at other weights, too"]
    else:
        far = ", lr times as far" if options.optimizer == "sgd" else ""
        lines = [
            "loss.backward()  # gradients of the loss with respect to weight and bias",
            *_clipping_code(options),
            f"optimizer.step()  # move them against the gradient{far}",
        ]
    if options.average is not None:
        averaging = [
            "averaged += 1",
            "for name, value in model.state_dict().items():",
            "    average[name].lerp_(value, 1.0 / averaged)",
        ]
        averaging = averaging if not options.average else [f"if epoch >= {options.average}:", *_indent(averaging)]
        lines += ["# The run ends with the mean of the weights.", *averaging]
    if options.scheduler is not None and options.scheduler_per == "batch" and not options.is_full_batch:
        lines.append("scheduler.step()")
    return lines


def _clipping_code(options: TrainingOptions) -> list[str]:
    if options.clip_grad_norm is None:
        return []
    return [f"nn.utils.clip_grad_norm_(model.parameters(), {literal(options.clip_grad_norm)})  # limit their norm"]


def _average_code(plan: ScriptPlan) -> list[str]:
    if plan.options.average is None:
        return []
    return [f"if averaged and not {plan.failure_name}:", "    model.load_state_dict(average)"]


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
