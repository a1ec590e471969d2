"""Rows of modules that lie above this one: known by their model's label, since nothing here imports them."""

from uuid import UUID

from django.apps import apps

from erp.errors import Fault, Invalid

ORGANIZATION, PARTNER = "organization.Organization", "partner.Partner"


def check_exists(label: str, key: UUID | None, *, pointer: str) -> None:
    """Raise Invalid where an id that was sent at ``pointer`` belongs to no row of the model."""
    if key is not None and not apps.get_model(label)._default_manager.filter(pk=key).exists():
        raise Invalid(errors=[Fault(pointer, "does_not_exist", "There is no such row.")])
