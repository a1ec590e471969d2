"""Write each app's only migration anew from its models: until the first release (``make initial-migrations``).

What models can't say stands in ``migrations/_database.py`` of the app: operations before and after the generated ones.
"""

import os
import sys
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command
from django.db.migrations.operations.models import IndexOperation

PROJECT = Path(__file__).resolve().parents[1]
HAND_WRITTEN = """

from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
"""


def main() -> None:
    """Replace the migrations of every app of ours."""
    sys.path.insert(0, str(PROJECT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    # Constraints and indexes become part of their table's creation: Django takes them for references to any model
    # and leaves them apart, which makes migrating three times as slow.
    IndexOperation.references_model = lambda self, name, _: self.model_name_lower == name.lower()  # type: ignore[attr-defined]
    own = [app for app in apps.get_app_configs() if app.name.startswith(("erp.", "apps."))]
    for app in own:
        for file in Path(app.path, "migrations").glob("0*.py"):
            file.unlink()
    # Named, since Django makes no first migration in a folder with other files.
    call_command("makemigrations", *(app.label for app in own), include_header=False, verbosity=0)
    for app in own:
        folder = Path(app.path, "migrations")
        if (folder / "_database.py").exists():
            with (folder / "0001_initial.py").open("a") as file:
                file.write(HAND_WRITTEN)


if __name__ == "__main__":
    main()
