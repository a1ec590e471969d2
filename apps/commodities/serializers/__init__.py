"""Inputs and outputs of commodities and their reference data."""
