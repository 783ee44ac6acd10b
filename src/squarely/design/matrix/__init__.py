"""The rows of X, block by block, in this process."""
