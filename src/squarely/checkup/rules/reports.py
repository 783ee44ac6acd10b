"""The losses that the loop prints or returns, against the definitions that they may have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from squarely.checkup.findings import Finding, Remark, Verified
from squarely.checkup.rules.run import Batch, Run
from squarely.numerics import Array

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)")


def check_reports(run: Run) -> Iterator[Finding | Remark | Verified]:
    """Find the definition that gives the printed and returned numbers."""
    if run.trace.truncated and not run.epochs:
        return
    epochs = [epoch for epoch in run.epochs if all(batch.comparison is not None for batch in epoch)]
    if run.is_full_batch or len(epochs) < 2 or len(epochs[0]) < 2:
        return
    reported = _printed(run.output) + _returned(run.returned)
    if not reported:
        return
    definitions = _definitions(run, epochs)
    scores = {name: _matches(reported, values) for name, values in definitions.items()}
    best = max(scores.values())
    if best < max(2, 0.6 * len(epochs)):
        return
    yield from _name(run, {name: score for name, score in scores.items() if score >= 0.9 * best}, definitions, epochs)


def _printed(output: str) -> list[tuple[float, float]]:
    """Return printed numbers and half a unit of their last digit."""
    numbers = []
    for text in _NUMBER.findall(output):
        mantissa, _, exponent = text.lower().partition("e")
        digits = len(mantissa.partition(".")[2])
        numbers.append((float(text), 0.51 * 10.0 ** (int(exponent or 0) - digits)))
    return numbers


def _returned(value: Any, depth: int = 0) -> list[tuple[float, float]]:
    if isinstance(value, bool) or depth > 4:
        return []
    if isinstance(value, (int, float, np.floating)):
        return [(float(value), 0.0)]
    if isinstance(value, torch.Tensor):
        return [(float(number), 0.0) for number in value.detach().reshape(-1).tolist()] if value.numel() <= 10_000 else []
    if isinstance(value, np.ndarray):
        return [(float(number), 0.0) for number in value.reshape(-1)] if value.dtype.kind == "f" else []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [pair for item in value for pair in _returned(item, depth + 1)]
    if hasattr(value, "__dict__") and not hasattr(value, "parameters"):
        return _returned(list(vars(value).values()), depth + 1)
    return []


def _batch_losses(epoch: list[Batch]) -> tuple[Array, Array]:
    losses = [float(np.mean((batch.comparison.predictions - batch.comparison.targets) ** 2)) for batch in epoch if batch.comparison]
    return np.array(losses), np.array([len(batch.rows) for batch in epoch])


def _definitions(run: Run, epochs: list[list[Batch]]) -> dict[str, Array]:
    values: dict[str, list[float]] = {
        "mean-of-batch-means": [],
        "last-batch-loss": [],
        "loss-while-moving": [],
        "sum-of-batch-means": [],
    }
    for epoch in epochs:
        losses, sizes = _batch_losses(epoch)
        values["mean-of-batch-means"].append(float(losses.mean()))
        values["last-batch-loss"].append(float(losses[-1]))
        values["loss-while-moving"].append(float(losses @ sizes / sizes.sum()))
        values["sum-of-batch-means"].append(float(losses.sum()))
    return {name: np.array(numbers) for name, numbers in values.items()}


def _matches(reported: list[tuple[float, float]], values: Array) -> int:
    numbers = np.array([number for number, _ in reported])
    errors = np.array([error for _, error in reported])
    return sum(bool((np.abs(numbers - value) <= errors + 1e-5 * abs(value) + 1e-7).any()) for value in values)


def _name(run: Run, fitting: dict[str, int], definitions: dict[str, Array], epochs: list[list[Batch]]) -> Iterator[Finding]:
    sizes = [len(batch.rows) for batch in epochs[0]]
    uneven = len(set(sizes)) > 1
    order = ["last-batch-loss", "mean-of-batch-means", "sum-of-batch-means", "loss-while-moving"]
    name = next((one for one in order if one in fitting), None)
    if name is None:
        return
    if "loss-while-moving" in fitting and name != "last-batch-loss":
        name = "loss-while-moving"
    key = {"sum-of-batch-means": "mean-of-batch-means"}.get(name, name)
    weighted, found = definitions["loss-while-moving"], definitions[name]
    line = run.line_with("print(", "append(", "log(", "loss")
    if key == "last-batch-loss":
        text = f"The loss reported for epoch 1 is that of its last batch of {sizes[-1]} rows: {found[0]:.5g}. Over all rows it is {weighted[0]:.5g}."
        yield Finding(
            key=key, confidence="possible", evidence=text, numbers={"expected": weighted[0], "found": found[0]}, source=line
        )
        return
    if key == "mean-of-batch-means" and uneven:
        text = f"The loss reported for epoch 1 is the plain mean of {len(sizes)} batch means, {found[0]:.5g}, though the last batch has {sizes[-1]} rows and the first {sizes[0]}. The mean over rows is {weighted[0]:.5g}."
        yield Finding(
            key=key, confidence="possible", evidence=text, numbers={"expected": weighted[0], "found": found[0]}, source=line
        )
    text = f"The loss reported for epoch 1, {found[0]:.5g}, is gathered while the weights move: it belongs to no single set of weights."
    yield Finding(key="loss-while-moving", confidence="possible", evidence=text, numbers={"found": found[0]}, source=line)
