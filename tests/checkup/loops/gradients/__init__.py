"""Loops whose gradients or steps are at fault, and their corrections."""
