"""Bad input, broken files and interrupts: each ends in one clear error."""
