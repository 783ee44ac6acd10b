"""Loops of several processes, and loops that set the state of a generator of random numbers."""
