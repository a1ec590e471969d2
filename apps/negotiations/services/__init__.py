"""How negotiations change."""
