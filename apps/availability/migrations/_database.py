"""The sequence behind an offer's number; gaps are allowed."""

from django.db import migrations

BEFORE = []
AFTER = [migrations.RunSQL("CREATE SEQUENCE availability_number", "DROP SEQUENCE availability_number")]
