"""Reference data: what the product knows of the trade by itself."""
