"""The result of a run: `Training`, its end, its summary, its figure and its file."""
