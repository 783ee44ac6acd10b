"""Loops whose reported losses are at fault, and their corrections."""
