"""Several processes that train one model (torch.distributed)."""
