"""The tensors of a run: parameters, predictions, and the graph of a loss."""
