import django.contrib.postgres.fields
import erp.clock
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='FeedEntry',
            fields=[
                ('position', models.BigAutoField(primary_key=True, serialize=False)),
                ('event_id', models.UUIDField(unique=True)),
                ('type', models.CharField(max_length=100)),
                ('event_version', models.PositiveIntegerField()),
                ('aggregate_type', models.CharField(max_length=50)),
                ('aggregate_id', models.UUIDField()),
                ('sequence', models.BigIntegerField()),
                ('occurred_at', models.DateTimeField()),
                ('data', models.JSONField()),
                ('readers', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ('recorded_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'verbose_name': 'event',
                'verbose_name_plural': 'events',
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['aggregate_type', 'aggregate_id', 'position'], name='idx_feed_aggregate')],
            },
        ),
    ]
