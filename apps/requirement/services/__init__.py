"""Services of requirements, by topic."""
