"""From the options of a run to a `Training`: the rows as batches, and the training."""
