"""The audit trail: what changed in which row, by whom, how and why, written by the database itself and sealed."""
