"""Matching: which offers suit which requirements, and why."""
