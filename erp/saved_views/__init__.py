"""Views of lists that a person saved: search, filters and order under a name."""
