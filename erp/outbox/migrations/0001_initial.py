import erp.clock
import erp.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Cursor',
            fields=[
                ('pk', models.CompositePrimaryKey('subscription', 'aggregate_type', 'aggregate_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subscription', models.CharField(max_length=255)),
                ('aggregate_type', models.CharField(max_length=50)),
                ('aggregate_id', models.UUIDField()),
                ('applied', models.BigIntegerField(default=0)),
            ],
            options={
                'db_table': 'event_cursor',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='EventStream',
            fields=[
                ('pk', models.CompositePrimaryKey('aggregate_type', 'aggregate_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('aggregate_type', models.CharField(max_length=50)),
                ('aggregate_id', models.UUIDField()),
                ('last_sequence', models.BigIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'db_table': 'event_stream',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Subscriber',
            fields=[
                ('subscription', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'db_table': 'event_subscriber',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('subscription', models.CharField(max_length=255)),
                ('key', models.CharField(max_length=64, verbose_name='event')),
                ('kind', models.CharField(choices=[('refused', 'Refused'), ('parked', 'refused in its turn'), ('poison', 'refused by Pub/Sub'), ('malformed', 'not an event')], max_length=10)),
                ('event_type', models.CharField(default='', max_length=100)),
                ('aggregate_type', models.CharField(default='', max_length=50)),
                ('aggregate_id', models.UUIDField(null=True)),
                ('sequence', models.BigIntegerField(null=True)),
                ('attempts', models.IntegerField(default=0)),
                ('last_error', models.TextField(default='', verbose_name='reason')),
                ('failed_at', models.DateTimeField(default=erp.clock.now)),
                ('seen_at', models.DateTimeField(null=True, verbose_name='last seen')),
                ('message_id', models.CharField(default='', max_length=64)),
                ('status', models.CharField(choices=[('failing', 'being delivered again'), ('waiting', 'waiting for a decision'), ('redriven', 'Redriven'), ('discarded', 'Discarded')], default='waiting', max_length=10)),
                ('resolved_by', models.CharField(default='', max_length=200)),
                ('resolved_at', models.DateTimeField(null=True)),
                ('resolution_reason', models.TextField(default='')),
                ('carried_out_at', models.DateTimeField(null=True)),
            ],
            options={
                'verbose_name': 'dead letter',
                'db_table': 'event_dead_letter',
                'default_permissions': (),
                'indexes': [models.Index(fields=['status', 'failed_at'], name='idx_dead_letter_status')],
                'constraints': [models.UniqueConstraint(fields=('subscription', 'key'), name='event_dead_letter_key')],
            },
        ),
        migrations.CreateModel(
            name='EventOutbox',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('event_type', models.CharField(max_length=100)),
                ('event_version', models.IntegerField()),
                ('payload', models.JSONField()),
                ('aggregate_id', models.UUIDField()),
                ('aggregate_type', models.CharField(max_length=50)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('processed_at', models.DateTimeField(null=True)),
                ('processing_attempts', models.IntegerField(default=0)),
                ('last_error', models.TextField(null=True)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('processing', 'Processing'), ('published', 'Published'), ('failed', 'Failed')], default='pending', max_length=20)),
                ('position', models.BigIntegerField(editable=False)),
                ('sequence', models.BigIntegerField()),
                ('bucket', models.SmallIntegerField()),
                ('correlation_id', models.CharField(default='', max_length=64)),
                ('causation_id', models.CharField(default='', max_length=64)),
                ('traceparent', models.CharField(default='', max_length=64)),
                ('actor_id', models.UUIDField(null=True)),
                ('not_before', models.DateTimeField(null=True)),
                ('published_message_id', models.CharField(default='', max_length=64)),
                ('resolution', models.CharField(choices=[('retried', 'Retried'), ('skipped', 'Skipped')], max_length=10, null=True)),
                ('resolved_by', models.CharField(default='', max_length=200)),
                ('resolved_at', models.DateTimeField(null=True)),
                ('resolution_reason', models.TextField(default='')),
            ],
            options={
                'verbose_name': 'event',
                'verbose_name_plural': 'events',
                'db_table': 'event_outbox',
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('status__in', ['pending', 'processing'])), fields=['bucket', 'position'], name='idx_outbox_waiting'), models.Index(fields=['status', 'created_at'], name='idx_outbox_status'), models.Index(fields=['aggregate_type', 'aggregate_id'], name='idx_outbox_aggregate'), models.Index(condition=models.Q(('causation_id', ''), _negated=True), fields=['causation_id'], name='idx_outbox_causation')],
                'constraints': [models.UniqueConstraint(fields=('aggregate_type', 'aggregate_id', 'sequence'), name='event_outbox_stream_sequence'), models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'processing', 'published', 'failed'])), name='event_outbox_status_known')],
            },
        ),
        migrations.CreateModel(
            name='Inbox',
            fields=[
                ('pk', models.CompositePrimaryKey('subscription', 'event_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subscription', models.CharField(max_length=255)),
                ('event_id', models.UUIDField()),
                ('applied_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'db_table': 'event_inbox',
                'default_permissions': (),
                'indexes': [models.Index(fields=['applied_at'], name='idx_inbox_applied')],
            },
        ),
        migrations.CreateModel(
            name='Parked',
            fields=[
                ('pk', models.CompositePrimaryKey('subscription', 'aggregate_type', 'aggregate_id', 'sequence', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subscription', models.CharField(max_length=255)),
                ('aggregate_type', models.CharField(max_length=50)),
                ('aggregate_id', models.UUIDField()),
                ('sequence', models.BigIntegerField()),
                ('event_id', models.UUIDField()),
                ('attributes', models.JSONField()),
                ('data', models.JSONField()),
                ('parked_at', models.DateTimeField(default=erp.clock.now)),
                ('attempts', models.IntegerField(default=0)),
                ('last_error', models.TextField(default='')),
                ('next_attempt_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'db_table': 'event_parked',
                'default_permissions': (),
                'indexes': [models.Index(fields=['next_attempt_at'], name='idx_parked_due')],
            },
        ),
        migrations.CreateModel(
            name='RelayLayout',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('ordering', models.CharField(max_length=10)),
                ('buckets', models.SmallIntegerField()),
                ('changed_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'db_table': 'event_relay_layout',
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='event_relay_layout_one_row')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
