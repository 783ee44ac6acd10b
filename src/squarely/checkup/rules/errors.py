"""Exceptions of torch, as findings."""

from __future__ import annotations

import re
import traceback

from squarely.checkup.findings import Finding, SourceLine
from squarely.checkup.recorder.user_lines import is_user_file

_TABLE = (  # a pattern of the message, the key, and what it means
    (r"does not require grad and does not have a grad_fn", "graph-detached", "certain", "The loss has no graph, so backward() cannot give a gradient."),
    (r"Trying to backward through the graph a second time", "backward-on-accumulated-loss", "likely", "The loss contains the graph of a step that backward() has used already."),
    (r"modified by an inplace operation", "backward-on-accumulated-loss", "possible", "The graph of the loss contains values that a step has changed since."),
    (r"Expected all tensors to be on the same device|Torch not compiled with CUDA|No CUDA GPUs|Found no NVIDIA driver|is_available\(\) is False|same device|not compiled with", "wrong-device-or-dtype", "certain", "Tensors are on different devices, or on one that this machine does not have."),
    (r"same dtype|expected scalar type|dtype mismatch|must have the same dtype|Found dtype|expected (?:m1 and m2|mat1 and mat2)|not implemented for '(?:Half|Long|Int|Byte|Bool|BFloat16)'|result type .* can't be cast|Only Tensors of floating point|should be the same type|must be Tensor, not numpy|expects? .*floating", "wrong-device-or-dtype", "certain", "Tensors have different types of numbers, or one that the operation does not take."),
    (r"optimizer got an empty parameter list", "parameter-not-trained", "certain", "The optimizer has no parameters."),
    (r"element 0 of tensors does not require grad", "graph-detached", "certain", "The loss has no graph, so backward() cannot give a gradient."),
)  # fmt: skip


def translate_error(error: BaseException) -> Finding | None:
    """Return what an exception of torch says about the loop; None for another exception."""
    message = str(error)
    line = line_of(error)
    if isinstance(error, TypeError) and "numpy" in message and "Tensor" in message:
        return _finding("wrong-device-or-dtype", "certain", "A NumPy array is given where torch takes a tensor.", error, line)
    for pattern, key, confidence, meaning in _TABLE:
        if re.search(pattern, message) and isinstance(error, (RuntimeError, ValueError, AssertionError, TypeError)):
            return _finding(key, confidence, meaning, error, line)
    if isinstance(error, AttributeError) and "'NoneType' object has no attribute" in message and line and ".grad" in line.text:
        return _finding("graph-detached", "possible", "A parameter has no gradient where the loop reads it.", error, line)
    return None


def _finding(key: str, confidence: str, meaning: str, error: BaseException, line: SourceLine | None) -> Finding:
    first = " ".join(str(error).split())[:300]
    return Finding(key=key, confidence=confidence, evidence=f"{meaning} {type(error).__name__}: {first}", source=line)


def line_of(error: BaseException) -> SourceLine | None:
    """Return the innermost line of the user's code in a traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_user_file(frame.filename):
            return SourceLine(file=frame.filename, line=frame.lineno or 0, text=(frame.line or "").strip())
    return None
