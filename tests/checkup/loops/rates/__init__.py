"""Learning rates above the limit, far below the best one, and for columns in their raw units."""
