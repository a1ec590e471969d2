"""Services of trades, by topic."""
