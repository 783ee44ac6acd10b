"""Tensors inside a transformation of `torch.func`."""

import torch
from torch import Tensor


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has values: one inside a transformation of `torch.func` does not."""
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
