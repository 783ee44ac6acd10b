"""What the numbers of a loop are: finite or not, of which type and device, and how long their graph is kept."""
