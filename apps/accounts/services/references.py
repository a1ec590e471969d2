"""References to rows of modules above this one, by the model's label: nothing here imports them."""

from uuid import UUID

from django.apps import apps

from erp.errors import FieldError, Invalid

ORGANIZATION, PARTNER = "organization.Organization", "partner.Partner"


def check_exists(label: str, key: UUID | None, *, pointer: str) -> None:
    """Raise Invalid where the ID at ``pointer`` belongs to no row of the model."""
    if key is not None and not apps.get_model(label)._default_manager.filter(pk=key).exists():
        raise Invalid(errors=[FieldError(pointer, "does_not_exist", "There is no record with this ID.")])
