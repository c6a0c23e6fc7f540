"""Records and vocabulary: what every stage speaks of."""
