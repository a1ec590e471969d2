from typing import Any

from django.db import migrations

from erp.text import name_key


def renew_keys(apps: Any, schema_editor: Any) -> None:
    """Compare the names that are there as new ones are. Two that are the same stop the migration."""
    places = apps.get_model("location", "Location").objects
    for place in places.only("name", "aliases", "name_key", "search_key").iterator():
        key = name_key(place.name)
        search = "\n".join(dict.fromkeys([key, *map(name_key, place.aliases)]))
        if (key, search) != (place.name_key, place.search_key):
            places.filter(pk=place.pk).update(name_key=key, search_key=search)


class Migration(migrations.Migration):
    dependencies = [("location", "0002_whole_coordinates")]

    operations = [migrations.RunPython(renew_keys, migrations.RunPython.noop)]
