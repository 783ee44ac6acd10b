"""The losses that the loop prints or returns, and which definition of an epoch's loss they have."""
