"""Loops whose parameters, graph or state are at fault, and their corrections."""
