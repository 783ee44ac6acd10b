"""Fixed effects without iterating over rows: sums by level and counts of pairs of levels in one scan, then a system in memory."""
