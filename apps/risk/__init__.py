"""Risk: gates, assessments, overrides and surveillance of trades."""
