"""Fits as tables: the frames of broom, and several fits side by side."""
