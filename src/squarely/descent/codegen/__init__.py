"""A run as a plain PyTorch script; the files are named for what they write."""
