"""The sequence behind an offer's number; gaps are allowed."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("availability", "0001_initial")]
    operations = [
        migrations.RunSQL("CREATE SEQUENCE availability_number", "DROP SEQUENCE availability_number")
    ]
