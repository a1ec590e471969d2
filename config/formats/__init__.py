"""How dates and times are shown to people."""
