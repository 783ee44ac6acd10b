"""Modes of a model in training and validation: train and eval, gradients on and off, and the rows of each."""
