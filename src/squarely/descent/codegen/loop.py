"""The part of a script that trains: the loop of `loop.py`, in which stands what the recipe uses and nothing else."""

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
    """The course that a run took, as far as its script has to know it.

    Attributes
    ----------
    options : of the run.
    epochs : how many the script takes: those of the recipe, or fewer where the run ended for a reason that the script leaves out.
    has_validation : whether the loss of other rows was looked at.
    has_patience : whether the script waits for a gain, and gives up.
    end : "not finite" or "diverged" where the last loss was no finite number; "" for any other end.
    """

    options: TrainingOptions
    epochs: int
    has_validation: bool
    has_patience: bool
    end: str

    @property
    def failure_name(self) -> str:
        """The script's name for the end of a run that cannot go on."""
        return "lost" if self.end == "not finite" else "diverged"

    @property
    def needs_copies(self) -> bool:
        """Whether weights are kept for later."""
        return self.has_patience or bool(self.end) or self.options.average is not None


def metrics_code(course: ScriptPlan) -> list[str]:
    """Write the function that works the metrics out."""
    recipe = course.options
    if not recipe.metrics:
        return []
    unit, square = (" * unit", " * unit**2") if recipe.standardize else ("", "")
    items = tuple(f"{literal(name)}: {_METRICS[name].format(unit=unit, square=square)}" for name in recipe.metrics)
    needs_mse = set(recipe.metrics) != {"mae"}
    lines = [
        "def measure(inputs, labels):",
        f'    """Measure the model{" in the unit of the response" if recipe.standardize else ""}."""',
        *(["    unit = scale[-1]"] if recipe.standardize and set(recipe.metrics) != {"r2"} else []),
        "    with torch.no_grad():",
        "        residual = (model(inputs) - labels).double()",
        *(["    mse = residual.square().mean().item()"] if needs_mse else []),
        statement("return ", BracketedText("{", items, "}"), indent=4),
    ]
    return ["\n".join(lines)]


def loop_code(course: ScriptPlan) -> list[str]:
    """Write the loop, and before it the lists that it fills."""
    return [
        *_setup_code(course),
        "for epoch in range(epochs + 1):",
        *_indent(_logging_code(course)),
        *_indent(_stopping_code(course)),
        *_indent(_updates_code(course)),
        *_average_code(course),
    ]


def report_code(course: ScriptPlan) -> list[str]:
    """Write the statements that print how the run came out."""
    said = "not finite" if course.failure_name == "lost" else "diverged"
    lines = [f"print(f\"Epoch {{epoch}}: loss {{losses[-1]:.8g}}{{' ({said})' if {course.failure_name} else ''}}\")"]
    if course.has_validation:
        lines.append('print(f"Validation loss: {val_losses[-1]:.8g}")')
    for kind in ["", "val_"][: 1 + course.has_validation] if course.options.metrics else []:
        lines += [f"for name, value in {kind}metrics[-1].items():", f'    print(f"{kind}{{name}}: {{value:.8g}}")']
    return lines


def _setup_code(course: ScriptPlan) -> list[str]:
    recipe = course.options
    lines = [
        "# Train. The loss is logged before the update that follows it; the last one has none."
        if recipe.is_full_batch
        else "# Train. The loss on all rows is logged before the updates of an epoch; the last one has none.",
        "losses = []" if recipe.is_full_batch else "losses, running_losses = [], []",
    ]
    if course.has_validation:
        lines.append("val_losses = []")
    if recipe.metrics:
        lines.append("metrics, val_metrics = [], []" if course.has_validation else "metrics = []")
    if course.has_patience:
        lines.append("best, waited, kept = np.inf, 0, deepcopy(model.state_dict())")
    if course.end:
        lines.append("good = deepcopy(model.state_dict())")
    if recipe.average is not None:
        lines.append("average, averaged = deepcopy(model.state_dict()), 0")
    return lines


def _logging_code(course: ScriptPlan) -> list[str]:
    recipe = course.options
    if recipe.is_full_batch and recipe.optimizer != "lbfgs":
        lines = [
            "optimizer.zero_grad()  # clear the gradients of the epoch before",
            "outputs = model(inputs)",
            "loss = criterion(outputs, labels)",
            "losses.append(loss.item())",
        ]
        looks = []
    else:
        lines, looks = [], ["losses.append(criterion(model(inputs), labels).item())"]
    if course.has_validation:
        looks.append("val_losses.append(criterion(model(val_inputs), val_labels).item())")
    if looks:
        lines += ["with torch.no_grad():", *_indent(looks)]
    if recipe.metrics:
        lines.append("metrics.append(measure(inputs, labels))")
        lines += ["val_metrics.append(measure(val_inputs, val_labels))"] if course.has_validation else []
    return lines


def _stopping_code(course: ScriptPlan) -> list[str]:
    """Write what ends the loop, in the order in which the run asks."""
    grown = f"diverged = not losses[-1] <= {DIVERGENCE_FACTOR:.0e} * (losses[0] + 1.0)  # NaN too".replace("e+", "e")
    lines = ["lost = not np.isfinite(losses[-1])" if course.failure_name == "lost" else grown]
    if course.end:
        back = "    model.load_state_dict(good)  # back to the last weights whose loss was a number"
        lines += ["if not np.isfinite(losses[-1]):", back]
    if course.has_patience:
        lines += [f"if {course.failure_name}:", "    break", *_patience_code(course.options)]
    else:
        lines += [f"if {course.failure_name} or epoch == epochs:", "    break"]
    if course.end:
        lines.append("good = deepcopy(model.state_dict())")
    if course.options.scheduler == "ReduceLROnPlateau" and course.has_validation:
        lines += ["if epoch:", "    scheduler.step(val_losses[-1])  # of the weights that the epoch before has ended with"]
    return lines


def _patience_code(recipe: TrainingOptions) -> list[str]:
    watched = "losses" if recipe.stop == "loss" else "val_losses"
    gain = f" - {literal(recipe.min_delta)}" if recipe.min_delta else ""
    return [
        f"if {watched}[-1] < best{gain}:",
        f"    best, waited, kept = {watched}[-1], 0, deepcopy(model.state_dict())",
        "else:",
        "    waited += 1",
        "if waited == patience or epoch == epochs:",
        "    model.load_state_dict(kept)  # the weights of the lowest loss",
        "    break",
    ]


def _updates_code(course: ScriptPlan) -> list[str]:
    recipe = course.options
    if recipe.is_full_batch:
        lines = _step_code(recipe)
    else:
        lines = [
            *_batches_code(recipe),
            "total = torch.zeros((), dtype=dtype, device=device)  # of the losses while the weights move",
            "for batch_inputs, batch_labels in batches:  # the last one may be short",
            *_indent(["optimizer.zero_grad()", "loss = criterion(model(batch_inputs), batch_labels)", *_step_code(recipe)]),
            "    total.add_(loss.detach(), alpha=len(batch_labels))",
            "running_losses.append(total.item() / len(labels))",
        ]
    if recipe.scheduler is not None and (recipe.is_full_batch or recipe.scheduler_per == "epoch"):
        if recipe.scheduler != "ReduceLROnPlateau":
            lines.append("scheduler.step()")
        elif not course.has_validation:
            lines.append("scheduler.step(losses[-1])")
    return lines


def _batches_code(recipe: TrainingOptions) -> list[str]:
    """Write what puts the rows of an epoch in their order and cuts them.

    They are gathered once and cut then: batches that were gathered each by itself lie elsewhere in memory, where matrix products
    may round in another way.
    """
    if not recipe.shuffle:
        return ["batches = zip(inputs.split(batch_size), labels.split(batch_size))"]
    drawn = "integers(len(labels), size=len(labels))" if recipe.replacement else "permutation(len(labels))"
    return [
        f"order = np.random.default_rng([{recipe.seed % 2**64}, epoch]).{drawn}",
        "order = torch.from_numpy(order).to(device)",
        "batches = zip(inputs[order].split(batch_size), labels[order].split(batch_size))",
    ]


def _step_code(recipe: TrainingOptions) -> list[str]:
    """Write what follows the loss of some rows: its gradient, and the update."""
    if recipe.optimizer == "lbfgs":
        lines = ["optimizer.step(closure)  # looks at the loss again at other weights"]
    else:
        far = ", lr times as far" if recipe.optimizer == "sgd" else ""
        lines = [
            "loss.backward()  # gradients of the loss with respect to weight and bias",
            *_clipping_code(recipe),
            f"optimizer.step()  # move them against the gradient{far}",
        ]
    if recipe.average is not None:
        averaging = [
            "averaged += 1",
            "for name, value in model.state_dict().items():",
            "    average[name].lerp_(value, 1.0 / averaged)",
        ]
        averaging = averaging if not recipe.average else [f"if epoch >= {recipe.average}:", *_indent(averaging)]
        lines += ["# The mean of the weights so far is what the run ends with.", *averaging]
    if recipe.scheduler is not None and recipe.scheduler_per == "batch" and not recipe.is_full_batch:
        lines.append("scheduler.step()")
    return lines


def _clipping_code(recipe: TrainingOptions) -> list[str]:
    if recipe.clip_grad_norm is None:
        return []
    return [f"nn.utils.clip_grad_norm_(model.parameters(), {literal(recipe.clip_grad_norm)})  # shorten them"]


def _average_code(course: ScriptPlan) -> list[str]:
    if course.options.average is None:
        return []
    return [f"if averaged and not {course.failure_name}:", "    model.load_state_dict(average)"]


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
