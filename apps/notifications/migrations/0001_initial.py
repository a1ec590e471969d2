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
            name='Digest',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('channel', models.CharField(choices=[('mail', 'E-mail'), ('sms', 'SMS')], max_length=4)),
                ('day', models.DateField()),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('sent', 'Sent')], default='queued', max_length=6)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('user', 'channel', 'day'), name='digest_one_a_day')],
            },
        ),
        migrations.CreateModel(
            name='Template',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('code', models.CharField(help_text='Notice that the template is for.', max_length=60, verbose_name='notice')),
                ('channel', models.CharField(choices=[('mail', 'E-mail'), ('sms', 'SMS')], help_text='E-mail or SMS.', max_length=4)),
                ('locale', models.CharField(choices=[('en-IN', 'English'), ('hi-IN', 'Hindi'), ('gu-IN', 'Gujarati')], help_text='Language of the template.', max_length=5, verbose_name='language')),
                ('subject', models.CharField(blank=True, default='', help_text='E-mail only, up to 150 characters. Names in braces are placeholders.', max_length=150)),
                ('body', models.TextField(help_text='Up to 10,000 characters. Names in braces are placeholders, such as {name}.', max_length=10000)),
                ('dlt_template_id', models.CharField(blank=True, default='', help_text="ID of the text as registered on the operators' DLT platform. Required to send SMS.", max_length=40, verbose_name='DLT template ID')),
                ('status', models.CharField(choices=[('active', 'Active'), ('retired', 'Retired')], default='active', max_length=7)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'active')), fields=('code', 'channel', 'locale'), name='template_one_active'), models.CheckConstraint(condition=models.Q(models.Q(('channel', 'mail'), models.Q(('subject', ''), _negated=True)), models.Q(('channel', 'sms'), ('subject', '')), _connector='OR'), name='template_mail_has_a_subject')],
            },
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('code', models.CharField(help_text='Notice from which the message was created.', max_length=60, verbose_name='notice')),
                ('channel', models.CharField(choices=[('mail', 'E-mail'), ('sms', 'SMS')], help_text='E-mail or SMS.', max_length=4)),
                ('category', models.CharField(choices=[('security', 'Security'), ('transactional', 'Transactional'), ('digest', 'Digest')], help_text='Security and transactional messages cannot be turned off.', max_length=13)),
                ('event_id', models.UUIDField()),
                ('dedupe_key', models.CharField(max_length=200, unique=True)),
                ('recipient_id', models.UUIDField(null=True)),
                ('context', models.JSONField(default=dict)),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('sent', 'Sent'), ('failed', 'Failed'), ('expired', 'Expired'), ('suppressed', 'Suppressed'), ('digested', 'Digested')], default='queued', max_length=10)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='Number of attempts to send the message.')),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('not_after', models.DateTimeField(help_text='The message is not sent after this time.', null=True, verbose_name='send not after')),
                ('error_code', models.CharField(blank=True, default='', max_length=60)),
                ('provider', models.CharField(blank=True, default='', max_length=20)),
                ('provider_message_id', models.CharField(blank=True, default='', max_length=200)),
                ('sent_at', models.DateTimeField(null=True)),
                ('subject', models.CharField(blank=True, default='', max_length=300)),
                ('body', models.TextField(blank=True, default='')),
                ('digest', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='messages', to='notification.digest')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('template', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='notification.template')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('status', 'queued')), fields=['next_attempt_at'], name='idx_message_due'), models.Index(fields=['user', 'created_at'], name='idx_message_user'), models.Index(fields=['status', 'created_at'], name='idx_message_status')],
                'constraints': [models.CheckConstraint(condition=models.Q(('user__isnull', False), ('recipient_id__isnull', False), _connector='OR'), name='message_has_a_recipient'), models.CheckConstraint(condition=models.Q(models.Q(('sent_at__isnull', False), ('status', 'sent')), models.Q(models.Q(('status', 'sent'), _negated=True), ('sent_at', None)), _connector='OR'), name='message_sent_has_a_time'), models.CheckConstraint(condition=models.Q(models.Q(('category', 'security'), _negated=True), models.Q(('body', ''), ('subject', '')), _connector='OR'), name='message_security_keeps_no_text')],
            },
        ),
    ]
