"""Services of offers, a module for each topic."""
