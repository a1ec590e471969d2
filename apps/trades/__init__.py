"""Trades: the contract, its execution and its settlement."""
