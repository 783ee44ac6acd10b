"""The clipping of gradients that is running."""

from __future__ import annotations

import sys


def clipping_on_stack() -> tuple[str, float] | None:
    """Return the name and limit of the clipping function of torch that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        if (
            frame.f_code.co_name in {"clip_grad_norm_", "clip_grad_value_", "_clip_grads_with_norm_"}
            and "clip_grad" in frame.f_code.co_filename
        ):
            limit = frame.f_locals.get("max_norm", frame.f_locals.get("clip_value"))
            name = "clip_grad_value_" if frame.f_code.co_name == "clip_grad_value_" else "clip_grad_norm_"
            return name, float(limit) if limit is not None else float("nan")
        frame = frame.f_back  # type: ignore[assignment]
    return None
