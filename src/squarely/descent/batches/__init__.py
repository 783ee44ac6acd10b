"""The rows of a run as tensors: in memory, streamed, or from the user's loader."""
