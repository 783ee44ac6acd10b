"""Sources made of another source: a train-validation split, or a shard."""
