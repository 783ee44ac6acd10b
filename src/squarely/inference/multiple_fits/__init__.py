"""Many fits at once: of several responses, of groups of rows, and of moving windows."""
