"""Many runs at once: the grid, the batched program, and the `Sweep`."""
