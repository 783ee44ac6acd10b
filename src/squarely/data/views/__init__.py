"""Sources made of another source: a train-validation split, a shard, or columns that are parsed once."""
