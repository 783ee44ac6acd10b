"""Loops that Lightning and skorch run. Their own modules, as importing these packages takes seconds."""
