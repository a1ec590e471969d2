"""Trades in the staff portal."""

from apps.trades import money_admin as money_admin  # registers its pages
