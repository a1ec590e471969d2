from typing import Any

from django.db import migrations, models

from erp.text import name_key


def fill_keys(apps: Any, schema_editor: Any) -> None:
    """Compare the names that are there as new ones will be. Two that are the same stop the migration."""
    for organization in apps.get_model("organization", "Organization").objects.all():
        organization.name_key = name_key(organization.name)
        organization.save(update_fields=["name_key"])


class Migration(migrations.Migration):
    dependencies = [("organization", "0003_editors")]

    operations = [
        migrations.RemoveConstraint(model_name="organization", name="organization_name_once"),
        migrations.AddField(
            model_name="organization",
            name="name_key",
            field=models.CharField(default="", editable=False, max_length=400),
            preserve_default=False,
        ),
        migrations.RunPython(fill_keys, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.UniqueConstraint(fields=("name_key",), name="organization_name_once"),
        ),
    ]
