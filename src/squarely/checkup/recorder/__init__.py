"""What happens while a training loop runs: forward passes, gradients, updates, losses and epochs."""
