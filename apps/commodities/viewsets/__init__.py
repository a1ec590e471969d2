"""Commodities and their reference data over HTTP."""
