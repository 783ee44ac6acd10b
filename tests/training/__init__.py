"""Training, its checkpoints, its processes and the code that it generates."""
