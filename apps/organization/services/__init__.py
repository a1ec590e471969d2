"""Services of organizations, their registrations, bank accounts, years, series and calendars."""
