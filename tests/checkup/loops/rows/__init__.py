"""Loops whose rows or labels are at fault, and their corrections."""
