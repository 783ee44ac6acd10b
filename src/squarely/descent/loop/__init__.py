"""Epoch by epoch: the loop, its state, when it stops, and the loops that need no rows."""
