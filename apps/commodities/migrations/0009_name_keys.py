from typing import Any

from django.db import migrations

from erp.text import name_key

KEYED = (
    "HsnMapping",
    "QualityParameter",
    "TradeType",
    "BargainType",
    "PassingTerms",
    "WeighmentTerms",
    "DeliveryTerms",
    "PaymentTerms",
)


def renew_keys(apps: Any, schema_editor: Any) -> None:
    """Compare the names that are there as new ones are. Two that are the same stop the migration."""
    for model in (apps.get_model("commodity", name) for name in KEYED):
        for row in model.objects.all():
            if row.name_key != (key := name_key(row.name)):
                model.objects.filter(pk=row.pk).update(name_key=key)
    for kind in ("Commodity", "Variety"):
        name = apps.get_model("commodity", f"{kind}Name")
        for row in apps.get_model("commodity", kind).objects.all():
            owner = (
                {"commodity": row}
                if kind == "Commodity"
                else {"commodity_id": row.commodity_id, "variety": row}
            )
            wanted = {name_key(text) for text in (row.name, *row.aliases)}
            names = name.objects.filter(**owner)
            there = set(names.values_list("key", flat=True))
            names.filter(key__in=there - wanted).delete()
            name.objects.bulk_create(name(**owner, key=key) for key in sorted(wanted - there))


class Migration(migrations.Migration):
    dependencies = [("commodity", "0008_commissions_and_tax")]

    operations = [migrations.RunPython(renew_keys, migrations.RunPython.noop)]
