"""Rules on each update of the parameters: its gradients, its loss, the parameters that it changes, and what it adds to them."""
