import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.text
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
            name='ApprovalRequest',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('kind', models.CharField(help_text='Kind of change, such as organization.bank_account.', max_length=60)),
                ('subject_type', models.CharField(help_text='Type of the record to be changed.', max_length=60)),
                ('subject_id', models.UUIDField(help_text='ID of the record to be changed.')),
                ('subject_name', models.CharField(blank=True, default='', help_text='Number or name of the record to be changed.', max_length=200, verbose_name='record')),
                ('subject_version', models.PositiveIntegerField(help_text='Version of the record that the request is about.')),
                ('base_type', models.CharField(blank=True, default='', help_text='Type of the record that the change builds on.', max_length=60)),
                ('base_id', models.UUIDField(help_text='ID of the record that the change builds on.', null=True)),
                ('base_version', models.PositiveIntegerField(help_text='Version of the record that the change builds on.', null=True)),
                ('capability', models.CharField(help_text='Capability that an approver needs on the record.', max_length=120)),
                ('decider_role', models.CharField(help_text='Role that an approver needs. Empty: any role with the capability.', max_length=40, null=True, verbose_name="approver's role")),
                ('diff', models.JSONField(default=list, help_text='Proposed changes, field by field.', verbose_name='changes')),
                ('reason', models.CharField(help_text='Why the change is requested.', max_length=1000)),
                ('amount', models.DecimalField(decimal_places=2, help_text='Amount of the change, two decimals.', max_digits=18, null=True)),
                ('currency', models.CharField(blank=True, default='', help_text="ISO 4217 code of the amount's currency, such as INR.", max_length=3)),
                ('needed', models.PositiveSmallIntegerField(default=1, help_text='Number of approvals that the change needs.', verbose_name='approvals needed')),
                ('given', models.PositiveSmallIntegerField(default=0, help_text='Number of approvals so far.', verbose_name='approvals so far')),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('granted', 'Granted'), ('refused', 'Refused'), ('stale', 'Stale'), ('withdrawn', 'Withdrawn'), ('expired', 'Expired')], default='pending', max_length=9)),
                ('excluded', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, help_text='IDs of the users who cannot decide on the request.', size=None)),
                ('expires_at', models.DateTimeField(help_text='When the request expires if it is still pending.', null=True)),
                ('decided_at', models.DateTimeField(null=True)),
                ('escalation_reason', models.CharField(blank=True, default='', max_length=1000)),
                ('escalated_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('maker', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['status', 'kind', 'created_at'], name='idx_approval_queue'), models.Index(fields=['subject_id'], name='idx_approval_subject'), models.Index(fields=['base_id'], name='idx_approval_base'), models.Index(fields=['maker', 'created_at'], name='idx_approval_maker'), models.Index(condition=models.Q(('status', 'pending')), fields=['expires_at'], name='idx_approval_due'), models.Index(models.OrderBy(models.F('decided_at'), descending=True), models.F('id'), name='idx_approval_list'), django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Upper('subject_name'), name='gin_trgm_ops'), name='idx_approval_search')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'pending')), fields=('kind', 'subject_type', 'subject_id'), name='approval_one_pending'), models.CheckConstraint(condition=models.Q(('given__gte', 0), ('given__lte', models.F('needed')), ('needed__range', (1, 3))), name='approval_voices_in_range'), models.CheckConstraint(condition=models.Q(models.Q(('given', models.F('needed')), ('status', 'granted')), models.Q(models.Q(('status', 'granted'), _negated=True), ('given__lt', models.F('needed'))), _connector='OR'), name='approval_granted_by_all_voices'), models.CheckConstraint(condition=models.Q(models.Q(('decided_at', None), ('status', 'pending')), models.Q(models.Q(('status', 'pending'), _negated=True), ('decided_at__isnull', False)), _connector='OR'), name='approval_decided_has_a_time'), models.CheckConstraint(condition=models.Q(models.Q(('amount', None), ('currency', '')), models.Q(('amount__isnull', False), ('currency__regex', '^[A-Z]{3}$')), _connector='OR'), name='approval_amount_has_a_currency'), models.CheckConstraint(condition=models.Q(models.Q(('base_id', None), ('base_type', ''), ('base_version', None)), models.Q(models.Q(('base_type', ''), _negated=True), ('base_id__isnull', False), ('base_version__isnull', False)), _connector='OR'), name='approval_base_is_whole')],
            },
        ),
        migrations.CreateModel(
            name='ApprovalQuestion',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('question', models.CharField(help_text='What the approver asks.', max_length=1000)),
                ('due_date', models.DateField(blank=True, help_text='Day by which the answer is needed.', null=True, verbose_name='answer by')),
                ('answer', models.CharField(blank=True, default='', help_text="The requester's answer.", max_length=1000)),
                ('answered_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('answered_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('asked_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='questions', to='approval.approvalrequest')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('answered_at', None)), fields=('request',), name='approval_one_open_question'), models.CheckConstraint(condition=models.Q(models.Q(('answer', ''), ('answered_at', None), ('answered_by', None)), models.Q(('answered_at__isnull', False), ('answered_by__isnull', False), models.Q(('answer', ''), _negated=True)), _connector='OR'), name='approval_answer_is_whole')],
            },
        ),
        migrations.CreateModel(
            name='ApprovalDecision',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('decision', models.CharField(choices=[('approve', 'Approve'), ('reject', 'Reject')], max_length=7)),
                ('seen_version', models.PositiveIntegerField(help_text='Version of the record that was reviewed.')),
                ('reason_code', models.CharField(blank=True, choices=[('wrong_data', 'Wrong data'), ('not_justified', 'Not justified'), ('more_information', 'More information needed'), ('duplicate', 'Duplicate'), ('other', 'Other')], default='', help_text='Reason for the rejection.', max_length=32, verbose_name='reason')),
                ('note', models.CharField(blank=True, default='', help_text='Note to the requester, up to 1000 characters.', max_length=1000)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('decider', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='decided by')),
                ('maker', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='approval.approvalrequest')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('request', 'decider'), name='approval_decision_once'), models.CheckConstraint(condition=models.Q(('decider', models.F('maker')), _negated=True), name='approval_decider_is_not_maker'), models.CheckConstraint(condition=models.Q(('decision', 'approve'), models.Q(('reason_code', ''), _negated=True), _connector='OR'), name='approval_refusal_has_a_reason')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
