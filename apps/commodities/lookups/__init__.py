"""Questions about commodities that a user waits for, a module for each topic."""
