"""Locks on e-mail addresses and mobile numbers, of which each belongs to one user."""

from apps.accounts import secrets
from erp import locks


def hold(address: str) -> None:
    """Lock the address or number until the transaction ends, so that concurrent users of it see each other's rows."""
    locks.hold(f"account.address:{secrets.address_hash(address)}")
