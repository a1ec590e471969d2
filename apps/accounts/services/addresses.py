"""Addresses and numbers are one person's each: whoever looks whether one is free holds it meanwhile."""

from apps.accounts import secrets
from erp import locks


def hold(address: str) -> None:
    """Hold the address or number until the transaction ends: of two who want it, the second sees the first's row."""
    locks.hold(f"account.address:{secrets.address_hash(address)}")
