import django.db.models.deletion
import django.db.models.expressions
import erp.clock
import erp.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Job',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('kind', models.CharField(max_length=60)),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('partial', 'Partial'), ('failed', 'Failed'), ('cancelling', 'Cancelling'), ('cancelled', 'Cancelled')], default='queued', max_length=10)),
                ('mode', models.CharField(choices=[('atomic', 'Atomic'), ('partial', 'Partial'), ('check', 'Check')], max_length=7)),
                ('parameters', models.JSONField(default=dict)),
                ('file_name', models.CharField(default='', max_length=255)),
                ('file_sha256', models.CharField(default='', max_length=64)),
                ('total', models.PositiveIntegerField()),
                ('processed', models.PositiveIntegerField(default=0)),
                ('accepted', models.PositiveIntegerField(default=0)),
                ('refused', models.PositiveIntegerField(default=0)),
                ('tally', models.JSONField(default=dict)),
                ('problem_code', models.CharField(default='', max_length=100)),
                ('problem_detail', models.TextField(default='')),
                ('lease_token', models.UUIDField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('owner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('status__in', ['queued', 'running', 'cancelling'])), fields=['lease_until'], name='job_open'), models.Index(fields=['owner', 'created_at'], name='job_owner')],
                'constraints': [models.CheckConstraint(condition=models.Q(('processed', django.db.models.expressions.CombinedExpression(models.F('accepted'), '+', models.F('refused'))), ('processed__lte', models.F('total'))), name='job_counts_fit'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('status__in', ['queued', 'running', 'cancelling'])), models.Q(('finished_at__isnull', False), ('status__in', ['succeeded', 'partial', 'failed', 'cancelled'])), _connector='OR'), name='job_finished_has_time')],
            },
        ),
        migrations.CreateModel(
            name='JobFile',
            fields=[
                ('job', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='file', serialize=False, to='job.job')),
                ('content', models.BinaryField()),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='JobResult',
            fields=[
                ('job', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='made', serialize=False, to='job.job')),
                ('media_type', models.CharField(max_length=100)),
                ('content_encrypted', models.BinaryField()),
                ('rights', models.JSONField(default=list)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='JobRow',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('word', models.CharField(default='', max_length=20)),
                ('object_id', models.UUIDField(null=True)),
                ('faults', models.JSONField(default=list)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rows', to='job.job')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('job', 'number'), name='job_row_once')],
            },
        ),
    ]
