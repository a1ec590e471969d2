"""Services of commodities and their reference data, a module for each topic."""
