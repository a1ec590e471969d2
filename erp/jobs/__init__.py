"""Long work: a row with state and progress, done in chunks, resumed when its worker dies (core §4, api §6)."""
