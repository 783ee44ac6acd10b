"""The tests, in folders by the question that a test answers."""
