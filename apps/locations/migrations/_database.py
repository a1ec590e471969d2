"""The search index compares groups of three letters."""

from django.db import migrations

BEFORE = [migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS pg_trgm", migrations.RunSQL.noop)]
AFTER = []
