import django.contrib.postgres.fields
import django.db.models.deletion
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
            name='Call',
            fields=[
                ('call_id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('task', models.CharField(max_length=60)),
                ('prompt', models.PositiveIntegerField(verbose_name='prompt number')),
                ('provider', models.CharField(max_length=20)),
                ('model', models.CharField(max_length=100)),
                ('organization_id', models.UUIDField(verbose_name='organization')),
                ('user_id', models.UUIDField(null=True, verbose_name='user')),
                ('input_hash', models.CharField(max_length=64)),
                ('output_hash', models.CharField(max_length=64)),
                ('tokens_in', models.PositiveIntegerField()),
                ('tokens_out', models.PositiveIntegerField()),
                ('cost', models.DecimalField(decimal_places=6, max_digits=18)),
                ('currency', models.CharField(max_length=3)),
                ('latency_ms', models.PositiveIntegerField(verbose_name='latency (ms)')),
                ('outcome', models.CharField(choices=[('OK', 'Answered'), ('FALLBACK', 'Built-in answer used'), ('REFUSED', 'Not asked')], max_length=8)),
                ('reason', models.CharField(max_length=20)),
                ('recorded_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['organization_id', 'recorded_at'], name='ai_call_month')],
            },
        ),
        migrations.CreateModel(
            name='Budget',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('status', models.CharField(choices=[('DRAFT', 'Awaiting approval'), ('ACTIVE', 'Active'), ('RETIRED', 'Retired')], default='DRAFT', max_length=7)),
                ('reason', models.CharField(help_text='Why it is proposed.', max_length=1000)),
                ('organization_id', models.UUIDField(help_text='The organization that pays.', verbose_name='organization')),
                ('month_limit', models.DecimalField(decimal_places=2, help_text='Most that calls of one calendar month may cost.', max_digits=18)),
                ('currency', models.CharField(help_text='ISO 4217 code, such as INR.', max_length=3)),
                ('calls_per_user_hour', models.PositiveIntegerField(default=100, help_text='Most questions of one user in an hour.', verbose_name='calls per user and hour')),
                ('tasks', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=60), help_text='Tasks that a remote model may answer.', size=None)),
                ('proposed_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'ACTIVE')), fields=('organization_id',), name='ai_budget_active_once'), models.CheckConstraint(condition=models.Q(('month_limit__gte', 0)), name='ai_budget_not_negative')],
            },
        ),
        migrations.CreateModel(
            name='Prompt',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('status', models.CharField(choices=[('DRAFT', 'Awaiting approval'), ('ACTIVE', 'Active'), ('RETIRED', 'Retired')], default='DRAFT', max_length=7)),
                ('reason', models.CharField(help_text='Why it is proposed.', max_length=1000)),
                ('task', models.CharField(help_text='Name of the task, such as commodity.hsn.', max_length=60)),
                ('number', models.PositiveIntegerField(editable=False)),
                ('template', models.TextField(help_text="Instruction to the model. The question's data follows apart from it.", max_length=20000)),
                ('schema_hash', models.CharField(editable=False, max_length=64)),
                ('proposed_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('task', 'number'), name='ai_prompt_number'), models.UniqueConstraint(condition=models.Q(('status', 'ACTIVE')), fields=('task',), name='ai_prompt_active_once')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
