"""Which rows the batches have: of an epoch, of validation, and in which order."""
