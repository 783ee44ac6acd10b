"""What is trained: nn.Linear or the user's module, with its loss, metrics and gradient."""
