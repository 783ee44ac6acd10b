"""Losses and updates that differ from what a loop declares."""
