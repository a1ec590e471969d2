"""Negotiations: firm offers in turn between the two sides of a match."""
