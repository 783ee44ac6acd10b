"""What a run gives back: `Training`, its summary, and theory beside it."""
