"""Shapes of commodities and their reference data."""
