"""How matches, their rules and marks change."""
