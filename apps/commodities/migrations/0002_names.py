"""Names and aliases get a table of their own, in which one key has one owner."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


def copy_names(apps, schema_editor):
    commodity, name = apps.get_model("commodity", "Commodity"), apps.get_model("commodity", "CommodityName")
    for row in commodity.objects.all():
        name.objects.create(commodity=row, key=row.name_key)


class Migration(migrations.Migration):
    dependencies = [("commodity", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="CommodityName",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=400)),
                (
                    "commodity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="names",
                        to="commodity.commodity",
                    ),
                ),
            ],
            options={"abstract": False, "default_permissions": ()},
        ),
        migrations.AddConstraint(
            model_name="commodityname",
            constraint=models.UniqueConstraint(fields=("key",), name="commodity_name_once"),
        ),
        migrations.RunPython(copy_names, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField(model_name="commodity", name="name_key"),
        migrations.AddField(
            model_name="commodity",
            name="aliases",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=100), blank=True, default=list, size=None
            ),
        ),
        migrations.AlterField(
            model_name="commodity",
            name="code",
            field=models.CharField(
                max_length=32,
                validators=[django.core.validators.RegexValidator(r"\A[A-Z0-9][A-Z0-9_/-]{0,31}\Z")],
            ),
        ),
        migrations.AddConstraint(
            model_name="commodity",
            constraint=models.UniqueConstraint(fields=("code",), name="commodity_code_once"),
        ),
    ]
