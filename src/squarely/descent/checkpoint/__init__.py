"""Runs on disk: when they are written, what is in them, and how they are resumed."""
