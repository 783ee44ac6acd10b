"""The loops of docs/mistakes-in-loops.md: for each key one that makes the mistake, and the same loop corrected.

A function has the name of its key, with underscores; `_corrected` follows it for the right loop. `python -m
tests.support.mistakes_in_loops` writes the page.
"""
