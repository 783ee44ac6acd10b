"""Sources made of another source: a train-validation split, a shard, or its schema alone."""
