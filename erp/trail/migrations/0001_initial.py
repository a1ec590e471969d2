import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import erp.clock
import erp.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Anchor',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('hash', models.CharField(max_length=64)),
                ('recorded_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Export',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('year', models.CharField(max_length=7)),
                ('filters', models.JSONField(default=dict)),
                ('lines', models.BigIntegerField()),
                ('recorded_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Seal',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('position', models.BigIntegerField(unique=True)),
                ('hash', models.BinaryField(max_length=32)),
                ('sealed_at', models.DateTimeField()),
                ('settled', models.BigIntegerField()),
                ('seen', models.BigIntegerField()),
                ('horizon', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ClearRead',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('actor_id', models.UUIDField(null=True)),
                ('table', models.CharField(db_column='table_name', max_length=63)),
                ('row', models.CharField(db_column='row_key', max_length=100)),
                ('fields', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), size=None)),
                ('recorded_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['table', 'row', 'id'], name='trail_clear_read_row')],
            },
        ),
        migrations.CreateModel(
            name='Entry',
            fields=[
                ('position', models.BigAutoField(primary_key=True, serialize=False)),
                ('recorded_at', models.DateTimeField()),
                ('txid', models.BigIntegerField()),
                ('actor_id', models.UUIDField(null=True)),
                ('on_behalf_of', models.UUIDField(null=True)),
                ('by_superuser', models.BooleanField()),
                ('service', models.CharField(max_length=120)),
                ('capability', models.CharField(max_length=120)),
                ('channel', models.CharField(max_length=7)),
                ('request_id', models.CharField(max_length=200)),
                ('record_id', models.CharField(max_length=36)),
                ('reason', models.TextField()),
                ('organization_id', models.UUIDField(null=True)),
                ('table', models.CharField(db_column='table_name', max_length=63)),
                ('row', models.CharField(db_column='row_key', max_length=100)),
                ('operation', models.CharField(max_length=6)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['table', 'row', 'position'], name='trail_entry_row'), models.Index(fields=['actor_id', 'position'], name='trail_entry_actor'), models.Index(condition=models.Q(('operation', 'DELETE')), fields=['table'], name='trail_entry_removed'), django.contrib.postgres.indexes.BrinIndex(fields=['recorded_at'], name='trail_entry_time')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
