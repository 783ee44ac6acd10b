"""Exceptions of torch, as findings."""

from __future__ import annotations

import re
import traceback
from typing import NamedTuple

from squarely.checkup.findings import Finding, SourceLine
from squarely.checkup.recorder.user_lines import is_user_file


class _Meaning(NamedTuple):
    """What messages of torch that match one of `patterns` say about the loop."""

    key: str
    confidence: str
    text: str
    patterns: tuple[str, ...]


_TABLE = (
    _Meaning(
        "graph-detached",
        "certain",
        "The loss has no graph, so backward() cannot give a gradient.",
        (r"does not require grad", r"'(?:float|int|numpy\.\w+)' object has no attribute 'backward'"),
    ),
    _Meaning(
        "graph-detached",
        "likely",
        "The graph of the loss does not contain a parameter whose gradient the loop asks for.",
        (r"differentiated Tensors? .*not have been used in the graph",),
    ),
    _Meaning(
        "graph-detached",
        "possible",
        "A parameter has no gradient where the loop reads it.",
        (r"'NoneType' object has no attribute '(?:\w+_|data|item|norm|clone|detach|numpy|mean|abs)'",
         r"unsupported operand .*'NoneType'"),
    ),
    _Meaning(
        "wrong-loss",
        "likely",
        "The loss has one number for each row: nothing reduces it to a mean.",
        (r"grad can be implicitly created only for scalar outputs",),
    ),
    _Meaning(
        "backward-on-accumulated-loss",
        "likely",
        "The loss contains the graph of a step that backward() has used already.",
        (r"backward through the graph a second time",),
    ),
    _Meaning(
        "backward-on-accumulated-loss",
        "possible",
        "The graph of the loss contains values that a step has changed since.",
        (r"modified by an inplace operation",),
    ),
    _Meaning(
        "wrong-device-or-dtype",
        "certain",
        "Tensors are on different devices, or on one that this machine does not have.",
        (
            r"on the same device", r"not on the expected device", r"Torch not compiled with", r"No CUDA GPUs",
            r"Found no NVIDIA driver",
            r"not linked with support for", r"out of meta tensor", r"at start of device string", r"[Ii]nvalid device",
            r"Cannot get CUDA generator", r"is_available\(\) is False", r"can't convert \w+:\d+ device type tensor",
            r"Cannot access accelerator", r"No supported gpu backend",
            r"`?(?:CUDA|MPS|XLA|GPU)Accelerator`? can not run",
        ),
    ),
    _Meaning(
        "wrong-device-or-dtype",
        "certain",
        "Tensors have different types of numbers, or one that the operation does not take.",
        (
            r"same (?:scalar |d|data ?)type", r"should be the same", r"dtype mismatch", r"expected scalar type",
            r"Found dtype",
            r"not implemented for '(?:Half|Long|Int|Short|Byte|Char|Bool|BFloat16|Float|Double)'",
            r"can't be cast to the desired output type",
            r"Tensors of floating point", r"must be either a floating point", r"expected target dtype",
            r"following scalar types",
            r"assign a gradient with dtype", r"two bool tensors", r"types other than float",
            r"value cannot be converted to type",
        ),
    ),
    _Meaning(
        "wrong-device-or-dtype",
        "certain",
        "A value that is not a tensor of numbers is given where torch takes one.",
        (
            r"must be Tensor, not", r"has to be a tensor, but got", r"can't convert np\.ndarray of type",
            r"too many dimensions 'str'",
            r"could not determine the shape of object type", r"invalid data type 'str'",
            r"numpy\.ndarray.*Tensor|Tensor.*numpy\.ndarray",
        ),
    ),
    _Meaning(
        "parameter-not-trained",
        "certain",
        "The optimizer has no parameters.",
        (r"optimizer got an empty parameter list",),
    ),
    _Meaning(
        "parameter-not-trained",
        "likely",
        "The optimizer has the result of an operation on a parameter, not the parameter itself.",
        (r"can't optimize a non-leaf Tensor",),
    ),
    _Meaning(
        "weights-never-move",
        "likely",
        "The scaler finds no gradient for its optimizer: no backward pass reaches these parameters.",
        (r"No inf checks were recorded",),
    ),
    _Meaning(
        "no-eval-mode",
        "possible",
        "Batch normalization gets one row in training mode: a prediction without eval(), or a last batch of one row.",
        (r"Expected more than 1 value per channel when training",),
    ),
)  # fmt: skip


def translate_error(error: BaseException) -> Finding | None:
    """Return what an exception of torch says about the loop; None for another exception."""
    if not isinstance(error, (RuntimeError, ValueError, AssertionError, TypeError, AttributeError)):
        return None
    message, line = str(error), line_of(error)
    for meaning in _TABLE:
        if not any(re.search(pattern, message) for pattern in meaning.patterns):
            continue
        if "NoneType" in message and not (line and "grad" in line.text):
            continue
        first = " ".join(message.split())[:300]
        return Finding(
            key=meaning.key,
            confidence=meaning.confidence,
            evidence=f"{meaning.text} {type(error).__name__}: {first}",
            source=line,
        )
    return None


def line_of(error: BaseException) -> SourceLine | None:
    """Return the innermost line of the user's code in a traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_user_file(frame.filename):
            return SourceLine(file=frame.filename, line=frame.lineno or 0, text=(frame.line or "").strip())
    return None
