"""Runs on disk: when checkpoints are written, what is in them, and how a run resumes."""
