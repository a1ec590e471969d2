"""Services of places and distances."""
