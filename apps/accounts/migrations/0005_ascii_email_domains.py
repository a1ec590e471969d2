from typing import Any

from django.db import migrations

from erp.identifiers import EMAIL, IdentifierInvalid


def store_ascii_domains(apps: Any, schema_editor: Any) -> None:
    """Store each address in the form that sign-in looks for.

    An address that has no such form, or whose form is another account's, stays as it is: nobody signs in by it.
    """
    users = apps.get_model("account", "User").objects
    for user in users.exclude(erased_at__isnull=False).order_by("created_at"):
        changed = []
        for column in ("email", "pending_email", "former_email"):
            address = getattr(user, column)
            if address is None or address.isascii():
                continue
            try:
                canonical = EMAIL.normalise(address)
            except IdentifierInvalid:
                continue
            if column != "email" or not users.filter(email=canonical).exists():
                setattr(user, column, canonical)
                changed.append(column)
        if changed:
            user.save(update_fields=changed)


class Migration(migrations.Migration):
    dependencies = [("account", "0004_former_email")]

    operations = [migrations.RunPython(store_ascii_domains, migrations.RunPython.noop)]
