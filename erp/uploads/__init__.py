"""Uploaded files: stored with the row that uses them, scanned, and gone after a day unused."""
