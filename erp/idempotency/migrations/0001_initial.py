import erp.clock
import erp.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Record',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('scope', models.BinaryField(max_length=32, unique=True)),
                ('fingerprint', models.BinaryField(max_length=32)),
                ('principal', models.CharField(max_length=100)),
                ('method', models.CharField(max_length=10)),
                ('route', models.CharField(max_length=200)),
                ('status', models.SmallIntegerField()),
                ('headers', models.JSONField(default=dict)),
                ('body', models.BinaryField(default=b'')),
                ('secret', models.BooleanField(default=False)),
                ('body_wiped', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('body_expires_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'idempotency_record',
                'default_permissions': (),
                'indexes': [models.Index(fields=['expires_at'], name='idx_idempotency_expires'), models.Index(condition=models.Q(('body_wiped', False), ('secret', True)), fields=['body_expires_at'], name='idx_idempotency_secret')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
