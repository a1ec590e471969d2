import apps.organization.models.calendars
import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
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
            name='Calendar',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('code', models.CharField(max_length=20)),
                ('name', models.CharField(max_length=100)),
                ('weekly_off', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), blank=True, default=apps.organization.models.calendars.sundays, size=7)),
                ('closes_at', models.TimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('code',), name='calendar_code_once')],
            },
        ),
        migrations.CreateModel(
            name='Organization',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('line1', models.CharField(max_length=255)),
                ('line2', models.CharField(blank=True, max_length=255, null=True)),
                ('city', models.CharField(max_length=100)),
                ('state_code', models.CharField(max_length=2)),
                ('pin_code', models.CharField(max_length=6)),
                ('name', models.CharField(max_length=255)),
                ('name_key', models.CharField(editable=False, max_length=400)),
                ('legal_name', models.CharField(max_length=255)),
                ('legal_form', models.CharField(choices=[('proprietorship', 'Proprietorship'), ('huf', 'Huf'), ('partnership', 'Partnership'), ('llp', 'Llp'), ('private_limited', 'Private Limited'), ('public_limited', 'Public Limited'), ('one_person_company', 'One Person Company'), ('trust', 'Trust'), ('society', 'Society'), ('cooperative_society', 'Cooperative Society')], max_length=20)),
                ('pan', models.CharField(max_length=10, verbose_name='PAN')),
                ('cin', models.CharField(blank=True, max_length=21, null=True)),
                ('llpin', models.CharField(blank=True, max_length=8, null=True)),
                ('tan', models.CharField(blank=True, max_length=10, null=True)),
                ('iec', models.CharField(blank=True, max_length=10, null=True)),
                ('base_currency', models.CharField(default='INR', max_length=3)),
                ('email', models.CharField(blank=True, max_length=254, null=True)),
                ('phone', models.CharField(blank=True, max_length=16, null=True)),
                ('e_invoice_from', models.DateField(blank=True, null=True)),
                ('lut_number', models.CharField(blank=True, max_length=32, null=True)),
                ('lut_valid_until', models.DateField(blank=True, null=True)),
                ('invoice_footer', models.CharField(blank=True, max_length=1024, null=True)),
                ('status', models.CharField(choices=[('active', 'Active'), ('inactive', 'Inactive')], default='active', max_length=8)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('name_key',), name='organization_name_once'), models.UniqueConstraint(fields=('pan',), name='organization_pan_once'), models.CheckConstraint(condition=models.Q(('pan__regex', '^[A-Z]{5}[0-9]{4}[A-Z]$')), name='organization_pan_format'), models.CheckConstraint(condition=models.Q(('base_currency__regex', '^[A-Z]{3}$')), name='organization_currency_iso'), models.CheckConstraint(condition=models.Q(models.Q(('lut_number', None), ('lut_valid_until', None)), models.Q(('lut_number__isnull', False), ('lut_valid_until__isnull', False)), _connector='OR'), name='organization_lut_complete')],
            },
        ),
        migrations.CreateModel(
            name='GstRegistration',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('line1', models.CharField(max_length=255)),
                ('line2', models.CharField(blank=True, max_length=255, null=True)),
                ('city', models.CharField(max_length=100)),
                ('state_code', models.CharField(max_length=2)),
                ('pin_code', models.CharField(max_length=6)),
                ('gstin', models.CharField(max_length=15, verbose_name='GSTIN')),
                ('kind', models.CharField(choices=[('regular', 'Regular'), ('sez_unit', 'SEZ unit'), ('input_service_distributor', 'Input Service Distributor')], default='regular', max_length=25)),
                ('trade_name', models.CharField(blank=True, max_length=255, null=True)),
                ('branch_code', models.CharField(max_length=6)),
                ('is_primary', models.BooleanField(default=False, verbose_name='primary')),
                ('valid_from', models.DateField()),
                ('status', models.CharField(choices=[('active', 'Active'), ('suspended', 'Suspended'), ('cancelled', 'Cancelled')], default='active', max_length=9)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='gst_registrations', to='organization.organization')),
            ],
            options={
                'verbose_name': 'GST registration',
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('gstin',), name='gst_gstin_once'), models.UniqueConstraint(fields=('organization', 'branch_code'), name='gst_branch_code_once'), models.UniqueConstraint(condition=models.Q(('is_primary', True)), fields=('organization',), name='gst_one_primary'), models.CheckConstraint(condition=models.Q(('state_code', django.db.models.functions.text.Substr('gstin', 1, 2))), name='gst_state_of_gstin'), models.CheckConstraint(condition=models.Q(('is_primary', False), ('status', 'active'), _connector='OR'), name='gst_primary_is_active'), models.CheckConstraint(condition=models.Q(('branch_code__regex', '^[A-Z0-9]{2,6}$')), name='gst_branch_code_format')],
            },
        ),
        migrations.CreateModel(
            name='FinancialYear',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('code', models.CharField(editable=False, max_length=4)),
                ('start_date', models.DateField()),
                ('end_date', models.DateField()),
                ('status', models.CharField(choices=[('open', 'Open'), ('soft_closed', 'Soft Closed'), ('locked', 'Locked')], default='open', max_length=11)),
                ('status_reason', models.CharField(blank=True, max_length=1000, null=True)),
                ('pending_approval_id', models.UUIDField(editable=False, null=True)),
                ('editors', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, editable=False, size=None)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='financial_years', to='organization.organization')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('organization', 'code'), name='financial_year_code_once'), models.CheckConstraint(condition=models.Q(('start_date__lt', models.F('end_date')), ('end_date__lte', models.Func(models.F('start_date'), output_field=models.DateTimeField(), template="(%(expressions)s + INTERVAL '15 months')"))), name='financial_year_length'), django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('organization', '='), (models.Func('start_date', 'end_date', django.contrib.postgres.fields.ranges.RangeBoundary(inclusive_lower=True, inclusive_upper=True), function='daterange', output_field=django.contrib.postgres.fields.ranges.DateRangeField()), '&&')], name='financial_year_no_overlap')],
            },
        ),
        migrations.CreateModel(
            name='DocumentSeries',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('document_type', models.CharField(choices=[('tax_invoice', 'Tax Invoice'), ('bill_of_supply', 'Bill Of Supply'), ('self_invoice', 'Self Invoice'), ('credit_note', 'Credit Note'), ('debit_note', 'Debit Note'), ('receipt_voucher', 'Receipt Voucher'), ('refund_voucher', 'Refund Voucher'), ('payment_voucher', 'Payment Voucher'), ('delivery_challan', 'Delivery Challan'), ('trade', 'Trade'), ('contract_note', 'Contract Note'), ('proforma_invoice', 'Proforma Invoice'), ('settlement_statement', 'Settlement Statement'), ('claim', 'Claim')], max_length=20)),
                ('prefix', models.CharField(blank=True, default='', max_length=8)),
                ('template', models.CharField(max_length=64)),
                ('start_number', models.PositiveIntegerField(default=1)),
                ('last_number', models.BigIntegerField(default=0, editable=False)),
                ('date_ordered', models.BooleanField()),
                ('last_document_date', models.DateField(editable=False, null=True)),
                ('status', models.CharField(choices=[('active', 'Active'), ('closed', 'Closed')], default='active', max_length=6)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('financial_year', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='document_series', to='organization.financialyear')),
                ('gst_registration', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='document_series', to='organization.gstregistration')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='document_series', to='organization.organization')),
            ],
            options={
                'verbose_name_plural': 'document series',
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'active')), fields=('organization', 'gst_registration', 'financial_year', 'document_type'), name='document_series_one_active', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('document_type__in', ['bill_of_supply', 'credit_note', 'debit_note', 'delivery_challan', 'payment_voucher', 'receipt_voucher', 'refund_voucher', 'self_invoice', 'tax_invoice']), ('gst_registration__isnull', False)), models.Q(models.Q(('document_type__in', ['bill_of_supply', 'credit_note', 'debit_note', 'delivery_challan', 'payment_voucher', 'receipt_voucher', 'refund_voucher', 'self_invoice', 'tax_invoice']), _negated=True), ('gst_registration', None)), _connector='OR'), name='document_series_of_registration'), models.CheckConstraint(condition=models.Q(('start_number__range', (1, 999999999))), name='document_series_start_number'), models.CheckConstraint(condition=models.Q(('last_number__gte', 0)), name='document_series_last_number'), models.CheckConstraint(condition=models.Q(('prefix__regex', '^[A-Z0-9/-]{0,8}$')), name='document_series_prefix_format')],
            },
        ),
        migrations.CreateModel(
            name='CalendarDay',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('day', models.DateField()),
                ('name', models.CharField(max_length=100)),
                ('closed', models.BooleanField(default=True)),
                ('closes_at', models.TimeField(blank=True, null=True)),
                ('calendar', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='days', to='organization.calendar')),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('calendar', 'day'), name='calendar_day_once')],
            },
        ),
        migrations.CreateModel(
            name='BankAccount',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('holder', models.CharField(max_length=200)),
                ('bank_name', models.CharField(max_length=200)),
                ('branch_name', models.CharField(blank=True, max_length=200, null=True)),
                ('number_encrypted', models.TextField(editable=False)),
                ('number_hash', models.CharField(editable=False, max_length=64)),
                ('last4', models.CharField(editable=False, max_length=4, verbose_name="number's last four")),
                ('ifsc', models.CharField(blank=True, max_length=11, null=True, verbose_name='IFSC')),
                ('swift', models.CharField(blank=True, max_length=11, null=True, verbose_name='SWIFT')),
                ('account_type', models.CharField(choices=[('current', 'Current'), ('cash_credit', 'Cash Credit'), ('overdraft', 'Overdraft'), ('eefc', 'EEFC'), ('escrow', 'Escrow')], max_length=11)),
                ('currency', models.CharField(default='INR', max_length=3)),
                ('purpose', models.CharField(choices=[('collections', 'Collections'), ('payments', 'Payments'), ('both', 'Both')], default='both', max_length=11)),
                ('wants_default', models.BooleanField(default=False, editable=False)),
                ('is_default', models.BooleanField(default=False, verbose_name='default')),
                ('status', models.CharField(choices=[('pending_approval', 'Pending Approval'), ('active', 'Active'), ('inactive', 'Inactive'), ('refused', 'Refused')], default='pending_approval', max_length=16)),
                ('approval_id', models.UUIDField(editable=False, null=True)),
                ('editors', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, editable=False, size=None)),
                ('approved_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('proposed_by', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bank_accounts', to='organization.organization')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('status__in', ['pending_approval', 'active'])), fields=('organization', 'number_hash', 'ifsc', 'swift'), name='bank_account_once', nulls_distinct=False), models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('organization', 'currency'), name='bank_account_one_default'), models.CheckConstraint(condition=models.Q(('is_default', False), ('status', 'active'), _connector='OR'), name='bank_account_default_is_active'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'active'), _negated=True), models.Q(('approved_by__isnull', False), models.Q(('approved_by', models.F('proposed_by')), _negated=True)), _connector='OR'), name='bank_account_two_people'), models.CheckConstraint(condition=models.Q(models.Q(('currency', 'INR'), ('ifsc__isnull', False), ('swift', None)), models.Q(models.Q(('currency', 'INR'), _negated=True), ('ifsc', None), ('swift__isnull', False)), _connector='OR'), name='bank_account_code_of_currency')],
            },
        ),
        migrations.CreateModel(
            name='AllocatedNumber',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('number', models.BigIntegerField()),
                ('document_number', models.CharField(max_length=20)),
                ('document_type', models.CharField(choices=[('tax_invoice', 'Tax Invoice'), ('bill_of_supply', 'Bill Of Supply'), ('self_invoice', 'Self Invoice'), ('credit_note', 'Credit Note'), ('debit_note', 'Debit Note'), ('receipt_voucher', 'Receipt Voucher'), ('refund_voucher', 'Refund Voucher'), ('payment_voucher', 'Payment Voucher'), ('delivery_challan', 'Delivery Challan'), ('trade', 'Trade'), ('contract_note', 'Contract Note'), ('proforma_invoice', 'Proforma Invoice'), ('settlement_statement', 'Settlement Statement'), ('claim', 'Claim')], max_length=20)),
                ('document_date', models.DateField()),
                ('reference_type', models.CharField(max_length=50)),
                ('reference_id', models.UUIDField()),
                ('allocated_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('series', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='allocated_numbers', to='organization.documentseries')),
                ('financial_year', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='allocated_numbers', to='organization.financialyear')),
                ('gst_registration', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='allocated_numbers', to='organization.gstregistration')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='allocated_numbers', to='organization.organization')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['reference_id', 'organization', 'document_type'], name='idx_allocated_reference'), models.Index(fields=['organization', 'number', 'id'], name='idx_allocated_order')],
                'constraints': [models.UniqueConstraint(fields=('series', 'number'), name='allocated_number_once'), models.UniqueConstraint(fields=('organization', 'document_type', 'reference_type', 'reference_id'), name='allocated_number_reference_once'), models.UniqueConstraint(fields=('organization', 'gst_registration', 'financial_year', 'document_number'), name='allocated_number_text_once', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='allocated_number_positive')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
