import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import erp.clock
import erp.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('email', models.EmailField(help_text='Used to sign in and for messages. Up to 254 characters.', max_length=254, null=True, unique=True)),
                ('mobile', models.CharField(help_text='With the country code, such as +91 98765 43210.', max_length=16, null=True, unique=True, verbose_name='mobile number')),
                ('full_name', models.CharField(help_text='First and last name, up to 200 characters, without web addresses.', max_length=200)),
                ('user_type', models.CharField(choices=[('SUPER_ADMIN', 'Super administrator'), ('INTERNAL', 'Internal'), ('EXTERNAL', 'External'), ('APPLICANT', 'Applicant')], help_text='Internal users work for an organization of the company.', max_length=11)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('invited', 'Invited'), ('active', 'Active'), ('deactivated', 'Deactivated'), ('erased', 'Erased')], default='pending', max_length=11)),
                ('organization_id', models.UUIDField(db_index=True, help_text='Organization that an internal user works for.', null=True)),
                ('partner_id', models.UUIDField(db_index=True, help_text='Partner that an external user works for, or applies for.', null=True)),
                ('email_verified_at', models.DateTimeField(null=True)),
                ('mobile_verified_at', models.DateTimeField(null=True, verbose_name='mobile number verified at')),
                ('pending_email', models.EmailField(help_text='New e-mail address that is not verified yet.', max_length=254, null=True)),
                ('former_email', models.EmailField(max_length=254, null=True)),
                ('locale', models.CharField(choices=[('en-IN', 'English'), ('hi-IN', 'Hindi'), ('gu-IN', 'Gujarati')], default='en-IN', help_text='Language of messages: English, Hindi or Gujarati.', max_length=5, verbose_name='language')),
                ('notify_email', models.BooleanField(default=True, help_text='Send notifications by e-mail.', verbose_name='notify by e-mail')),
                ('notify_sms', models.BooleanField(default=False, help_text='Send notifications by SMS.', verbose_name='notify by SMS')),
                ('digest', models.CharField(choices=[('immediate', 'Immediate'), ('daily', 'Daily')], default='immediate', help_text='Send notifications immediately, or once a day in one message.', max_length=9, verbose_name='frequency of notifications')),
                ('terms_version', models.CharField(help_text='Version of the terms of use that the user accepts.', max_length=32, null=True, verbose_name='version of the terms')),
                ('terms_accepted_at', models.DateTimeField(null=True)),
                ('rights_version', models.PositiveIntegerField(default=1, editable=False)),
                ('erased_at', models.DateTimeField(null=True)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='AccessPolicy',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='CapabilityChange',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('kind', models.CharField(choices=[('role_capability', 'Capability of a role'), ('user_role', 'Role of a user'), ('single_grant', 'Single grant')], max_length=15)),
                ('role', models.CharField(help_text='Role to be changed, added or removed.', max_length=40, null=True)),
                ('capability', models.CharField(help_text='Capability to be granted or revoked.', max_length=120, null=True)),
                ('scope', models.CharField(choices=[('everywhere', 'All rows'), ('own', 'Own rows')], help_text="All rows, or only the rows of the user's own partner.", max_length=10, null=True)),
                ('object_type', models.CharField(help_text='For a grant on one record: its type, such as trade.Trade.', max_length=100, null=True, verbose_name='record type')),
                ('object_id', models.UUIDField(help_text='For a grant on one record: its ID, as its page shows it.', null=True, verbose_name='record ID')),
                ('operation', models.CharField(choices=[('add', 'Add'), ('remove', 'Remove')], help_text='Add or remove the right.', max_length=6)),
                ('grant_expires_at', models.DateTimeField(help_text='Date and time at which the grant ends. Leave empty for a grant without an end.', null=True, verbose_name='grant expires at')),
                ('reason', models.CharField(help_text='Why the change is needed, in 10 to 1000 characters. The approver reads it.', max_length=1000)),
                ('base_version', models.PositiveIntegerField()),
                ('status', models.CharField(choices=[('proposed', 'Proposed'), ('applied', 'Applied'), ('refused', 'Refused'), ('stale', 'Stale'), ('withdrawn', 'Withdrawn'), ('expired', 'Expired')], default='proposed', max_length=9)),
                ('approval_id', models.UUIDField(null=True)),
                ('proposed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'proposed')), fields=('kind', 'role', 'user', 'capability', 'scope', 'object_type', 'object_id'), name='capability_change_one_proposed', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('capability__isnull', False), ('kind', 'role_capability'), ('object_id', None), ('role__isnull', False), ('scope__isnull', False), ('user', None)), models.Q(('capability', None), ('kind', 'user_role'), ('object_id', None), ('role__isnull', False), ('user__isnull', False)), models.Q(('capability__isnull', False), ('kind', 'single_grant'), ('role', None), ('user__isnull', False)), _connector='OR'), name='capability_change_says_what'), models.CheckConstraint(condition=models.Q(models.Q(('object_id', None), ('object_type', None)), models.Q(('object_id__isnull', False), ('object_type__isnull', False)), _connector='OR'), name='capability_change_object_whole')],
            },
        ),
        migrations.CreateModel(
            name='PasswordHistory',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hash', models.CharField(max_length=128)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='passwords', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='PolicyDeviation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(max_length=40)),
                ('capability', models.CharField(max_length=120)),
                ('scope', models.CharField(choices=[('everywhere', 'All rows'), ('own', 'Own rows')], max_length=10)),
                ('operation', models.CharField(choices=[('add', 'Add'), ('remove', 'Remove')], max_length=6)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('role', 'capability', 'scope'), name='policy_deviation_once')],
            },
        ),
        migrations.CreateModel(
            name='RecoveryCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=100, unique=True)),
                ('used_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='recovery_codes', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='RoleMembership',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('change_id', models.UUIDField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('granted_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('role', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='memberships', to='auth.group')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('user', 'role'), name='role_membership_once')],
            },
        ),
        migrations.AddField(
            model_name='user',
            name='groups',
            field=models.ManyToManyField(related_name='user_set', related_query_name='user', through='account.RoleMembership', through_fields=('user', 'role'), to='auth.group'),
        ),
        migrations.CreateModel(
            name='SignInCounter',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=64, unique=True)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('window_started_at', models.DateTimeField(default=erp.clock.now)),
                ('locked_until', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='TotpDevice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('secret', models.CharField(default='', max_length=200)),
                ('confirmed_at', models.DateTimeField(null=True)),
                ('last_step', models.BigIntegerField(default=0)),
                ('pending_secret', models.CharField(default='', max_length=200)),
                ('pending_expires_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='totp', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='CapabilityGrant',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('capability', models.CharField(max_length=120)),
                ('object_type', models.CharField(max_length=100, null=True, verbose_name='record type')),
                ('object_id', models.UUIDField(null=True, verbose_name='record ID')),
                ('expires_at', models.DateTimeField(null=True)),
                ('reason', models.CharField(max_length=1000)),
                ('status', models.CharField(choices=[('active', 'Active'), ('expired', 'Expired'), ('revoked', 'Revoked')], default='active', max_length=7)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('change', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='account.capabilitychange')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='grants', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('status', 'active')), fields=['expires_at'], name='capability_grant_expiry')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'active')), fields=('user', 'capability', 'object_type', 'object_id'), name='capability_grant_one_active', nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name='OneTimeToken',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, primary_key=True, serialize=False)),
                ('purpose', models.CharField(choices=[('sign_up', 'Sign Up'), ('verify_email', 'Verify Email'), ('change_email', 'Change Email'), ('reset_password', 'Reset Password'), ('invitation', 'Invitation')], max_length=14)),
                ('address_hash', models.CharField(default='', max_length=64)),
                ('asked_by', models.UUIDField(null=True)),
                ('network_hash', models.CharField(default='', max_length=64)),
                ('new_password', models.CharField(default='', max_length=128)),
                ('key_id', models.CharField(max_length=16)),
                ('expires_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
                ('voided_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='one_time_tokens', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['address_hash', 'purpose'], name='one_time_token_address'), models.Index(fields=['expires_at'], name='one_time_token_expiry'), models.Index(fields=['created_at'], name='one_time_token_day'), models.Index(fields=['asked_by', 'created_at'], name='one_time_token_caller'), models.Index(fields=['network_hash', 'created_at'], name='one_time_token_network')],
            },
        ),
        migrations.CreateModel(
            name='OtpChallenge',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, primary_key=True, serialize=False)),
                ('purpose', models.CharField(choices=[('sign_in', 'Sign in'), ('prove_number', 'Verify a mobile number')], help_text='To sign in, or to verify a new mobile number.', max_length=12)),
                ('mobile', models.CharField(default='', max_length=200)),
                ('mobile_hash', models.CharField(max_length=64)),
                ('wrong', models.PositiveSmallIntegerField(default=0, verbose_name='wrong attempts')),
                ('key_id', models.CharField(max_length=16)),
                ('expires_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
                ('voided_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='otp_challenges', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['mobile_hash', 'created_at'], name='otp_challenge_number'), models.Index(fields=['created_at'], name='otp_challenge_day')],
                'constraints': [models.CheckConstraint(condition=models.Q(('wrong__lte', 3)), name='otp_challenge_three_tries')],
            },
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('organization_id', None), ('partner_id', None), ('user_type', 'SUPER_ADMIN')), models.Q(('organization_id', None), ('user_type', 'APPLICANT')), models.Q(('organization_id__isnull', False), ('partner_id', None), ('user_type', 'INTERNAL')), models.Q(('organization_id', None), ('partner_id__isnull', False), ('user_type', 'EXTERNAL')), _connector='OR'), name='user_type_fits_ids'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('is_superuser', True), ('user_type', 'SUPER_ADMIN')), models.Q(('is_superuser', False), models.Q(('user_type', 'SUPER_ADMIN'), _negated=True)), _connector='OR'), name='user_superuser_is_super_admin'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('email__isnull', False), ('mobile__isnull', False), ('erased_at__isnull', False), _connector='OR'), name='user_has_address'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('email', None), models.Q(('email', django.db.models.functions.text.Lower('email')), models.Q(('email', ''), _negated=True)), _connector='OR'), name='user_email_lower_case'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('mobile', None), ('mobile__regex', '^\\+[1-9][0-9]{7,14}$'), _connector='OR'), name='user_mobile_e164'),
        ),
        migrations.CreateModel(
            name='Session',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('door', models.CharField(choices=[('api', 'API'), ('admin', 'Staff portal')], help_text='API or staff portal.', max_length=5, verbose_name='channel')),
                ('method', models.CharField(choices=[('password', 'Password'), ('otp', 'Code by SMS')], help_text='First factor used: password, or code by SMS.', max_length=8)),
                ('second_factor', models.CharField(choices=[('none', 'None'), ('totp', 'Authenticator app'), ('recovery_code', 'Recovery code')], default='none', help_text='Second factor used: authenticator app, recovery code or none.', max_length=13)),
                ('device_label', models.CharField(default='', help_text='Name of the device in the list of sessions, up to 120 characters.', max_length=120, verbose_name='device name')),
                ('device_hash', models.CharField(default='', max_length=64)),
                ('ip', models.GenericIPAddressField(help_text='IP address at sign-in.', null=True, verbose_name='IP address')),
                ('refreshed_at', models.DateTimeField(verbose_name='last refreshed at')),
                ('expires_at', models.DateTimeField(help_text='Without a refresh the session ends at this time.')),
                ('absolute_expires_at', models.DateTimeField(help_text='The session ends at this time in any case.', verbose_name='latest end')),
                ('reauthenticated_at', models.DateTimeField(null=True, verbose_name='identity confirmed at')),
                ('ended_at', models.DateTimeField(null=True)),
                ('end_reason', models.CharField(choices=[('signed_out', 'Signed out'), ('user', 'Ended by the user'), ('password', 'Password changed'), ('second_factor', 'Two-factor authentication changed'), ('reuse', 'Refresh token used twice'), ('deactivated', 'User deactivated'), ('administrator', 'Ended by an administrator'), ('erased', 'User erased')], max_length=13, null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('end_reason', None), ('ended_at', None)), models.Q(('end_reason__isnull', False), ('ended_at__isnull', False)), _connector='OR'), name='session_end_has_reason')],
            },
        ),
        migrations.CreateModel(
            name='RefreshToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('jti', models.UUIDField(unique=True)),
                ('expires_at', models.DateTimeField()),
                ('rotated_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=erp.clock.now)),
                ('updated_at', models.DateTimeField(default=erp.clock.now)),
                ('session', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to='account.session')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('rotated_at', None)), fields=('session',), name='refresh_token_one_usable')],
            },
        ),
        migrations.CreateModel(
            name='ViewAs',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('partner_id', models.UUIDField(help_text='ID of the partner, as its page shows it.')),
                ('reason', models.CharField(help_text='Why the view is needed, in 10 to 500 characters.', max_length=500, validators=[django.core.validators.MinLengthValidator(10)])),
                ('ends_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='views_as', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'view as a partner',
                'verbose_name_plural': 'views as a partner',
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('user',), name='view_as_one_at_a_time'), models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('created_at'))), name='view_as_ends_later'), models.CheckConstraint(condition=models.Q(('reason__regex', '^.{10,}$')), name='view_as_has_reason')],
            },
        ),
    ]
