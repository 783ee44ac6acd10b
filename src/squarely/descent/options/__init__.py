"""The options of a run, their checks, and optimizers and schedulers by name."""
