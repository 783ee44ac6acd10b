"""What printed losses alone say of a training run: read them, find their rates, and name mistakes by their marks."""
