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
                ('code', models.CharField(help_text="2 to 20 capital letters, digits, _ and -, such as RBI. Can't be changed.", max_length=20)),
                ('name', models.CharField(help_text='Name of the bank, exchange or state.', max_length=100)),
                ('weekly_off', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), blank=True, default=apps.organization.models.calendars.sundays, help_text='Days of the week without business: 1 is Monday, 7 is Sunday. Default: Sunday.', size=7, verbose_name='weekly days off')),
                ('closes_at', models.TimeField(blank=True, help_text='End of business, Indian time. Empty: no set time.', null=True, verbose_name='closing time')),
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
                ('line1', models.CharField(help_text='Building and street, up to 255 characters.', max_length=255, verbose_name='address line 1')),
                ('line2', models.CharField(blank=True, help_text='Area or landmark, up to 255 characters.', max_length=255, null=True, verbose_name='address line 2')),
                ('city', models.CharField(help_text='Town or city.', max_length=100)),
                ('state_code', models.CharField(help_text='GST code of the state, such as 27.', max_length=2, verbose_name='state')),
                ('pin_code', models.CharField(help_text='Six digits that belong to the state.', max_length=6, verbose_name='PIN code')),
                ('name', models.CharField(help_text='Short name in daily use, 2 to 255 characters. Unique.', max_length=255)),
                ('name_key', models.CharField(editable=False, max_length=400)),
                ('legal_name', models.CharField(help_text='As on the PAN card or the certificate of incorporation.', max_length=255)),
                ('legal_form', models.CharField(choices=[('proprietorship', 'Proprietorship'), ('huf', 'HUF'), ('partnership', 'Partnership'), ('llp', 'LLP'), ('private_limited', 'Private limited'), ('public_limited', 'Public limited'), ('one_person_company', 'One-person company'), ('trust', 'Trust'), ('society', 'Society'), ('cooperative_society', 'Cooperative society')], help_text='Legal form, which must fit the PAN and the CIN.', max_length=20)),
                ('pan', models.CharField(help_text='Ten characters, as printed on the PAN card.', max_length=10, verbose_name='PAN')),
                ('cin', models.CharField(blank=True, help_text='Corporate identification number, 21 characters. Required for companies.', max_length=21, null=True)),
                ('llpin', models.CharField(blank=True, help_text='LLP identification number, such as AAB-1234. Required for LLPs.', max_length=8, null=True)),
                ('tan', models.CharField(blank=True, help_text='Tax deduction and collection account number, ten characters.', max_length=10, null=True)),
                ('iec', models.CharField(blank=True, help_text='Importer exporter code, ten characters. Usually the PAN.', max_length=10, null=True)),
                ('base_currency', models.CharField(default='INR', help_text='Currency of the books, ISO 4217 code. Default INR.', max_length=3)),
                ('email', models.CharField(blank=True, help_text='Address for correspondence, printed on documents.', max_length=254, null=True)),
                ('phone', models.CharField(blank=True, help_text='With country code, such as +91 22 2765 4321.', max_length=16, null=True)),
                ('e_invoice_from', models.DateField(blank=True, help_text='First day on which e-invoices are mandatory. Empty: not yet.', null=True)),
                ('lut_number', models.CharField(blank=True, help_text='Number of the letter of undertaking for exports without IGST.', max_length=32, null=True)),
                ('lut_valid_until', models.DateField(blank=True, help_text='Last day of the letter of undertaking.', null=True, verbose_name='LUT effective to')),
                ('invoice_footer', models.CharField(blank=True, help_text='Text at the foot of invoices, up to 1,024 characters.', max_length=1024, null=True)),
                ('status', models.CharField(choices=[('active', 'Active'), ('inactive', 'Inactive')], default='active', help_text='Inactive: nothing can be added. Requires that no financial year is open.', max_length=8)),
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
                ('line1', models.CharField(help_text='Building and street, up to 255 characters.', max_length=255, verbose_name='address line 1')),
                ('line2', models.CharField(blank=True, help_text='Area or landmark, up to 255 characters.', max_length=255, null=True, verbose_name='address line 2')),
                ('city', models.CharField(help_text='Town or city.', max_length=100)),
                ('state_code', models.CharField(help_text='GST code of the state, such as 27.', max_length=2, verbose_name='state')),
                ('pin_code', models.CharField(help_text='Six digits that belong to the state.', max_length=6, verbose_name='PIN code')),
                ('gstin', models.CharField(help_text='15 characters. Positions 3 to 12 are the PAN, the first two the state.', max_length=15, verbose_name='GSTIN')),
                ('kind', models.CharField(choices=[('regular', 'Regular'), ('sez_unit', 'SEZ unit'), ('input_service_distributor', 'Input service distributor')], default='regular', help_text='Type of registration. Default: regular.', max_length=25)),
                ('trade_name', models.CharField(blank=True, help_text='As on the registration certificate, where it differs from the legal name.', max_length=255, null=True)),
                ('branch_code', models.CharField(help_text='2 to 6 capital letters and digits, such as MUM. Printed in document numbers.', max_length=6)),
                ('is_primary', models.BooleanField(default=False, help_text='The first registration becomes primary automatically. Choosing a new primary replaces it.', verbose_name='primary')),
                ('valid_from', models.DateField(help_text='First day of the registration.', verbose_name='effective from')),
                ('status', models.CharField(choices=[('active', 'Active'), ('suspended', 'Suspended'), ('cancelled', 'Cancelled')], default='active', help_text='Cancelled is final and closes the document series of the registration.', max_length=9)),
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
                ('code', models.CharField(editable=False, help_text='Such as 2627 for April 2026 to March 2027.', max_length=4)),
                ('start_date', models.DateField(help_text='1 April. Only the first year can start on another day.')),
                ('end_date', models.DateField(help_text='31 March.')),
                ('status', models.CharField(choices=[('open', 'Open'), ('soft_closed', 'Soft-closed'), ('locked', 'Locked')], default='open', help_text='Soft-closed: only holders of the capability can post. Locked: nothing can be posted.', max_length=11)),
                ('status_reason', models.CharField(blank=True, help_text='Why the status was changed.', max_length=1000, null=True)),
                ('pending_approval_id', models.UUIDField(editable=False, help_text='The pending request to reopen the year.', null=True)),
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
                ('document_type', models.CharField(choices=[('tax_invoice', 'Tax Invoice'), ('bill_of_supply', 'Bill Of Supply'), ('self_invoice', 'Self Invoice'), ('credit_note', 'Credit Note'), ('debit_note', 'Debit Note'), ('receipt_voucher', 'Receipt Voucher'), ('refund_voucher', 'Refund Voucher'), ('payment_voucher', 'Payment Voucher'), ('delivery_challan', 'Delivery Challan'), ('trade', 'Trade'), ('contract_note', 'Contract Note'), ('proforma_invoice', 'Proforma Invoice'), ('settlement_statement', 'Settlement Statement'), ('claim', 'Claim')], help_text='Type of document that the series numbers.', max_length=20)),
                ('prefix', models.CharField(blank=True, default='', help_text='Up to 8 capital letters, digits, / and -, for {PREFIX}.', max_length=8)),
                ('template', models.CharField(help_text='Such as {PREFIX}/{FY}/{N:5}: {FY} once, {N:3} to {N:9} once at the end; {PREFIX} and {BRANCH} are optional.', max_length=64)),
                ('start_number', models.PositiveIntegerField(default=1, help_text='First number of the series, 1 to 999,999,999. Default 1.')),
                ('last_number', models.BigIntegerField(default=0, editable=False, help_text='Last number allocated; 0 before the first.')),
                ('date_ordered', models.BooleanField(help_text="Whether a number can't be dated before the last one. Default: yes for GST documents.", verbose_name='in date order')),
                ('last_document_date', models.DateField(editable=False, help_text='Latest date of a numbered document.', null=True)),
                ('status', models.CharField(choices=[('active', 'Active'), ('closed', 'Closed')], default='active', help_text='A closed series allocates no numbers. Closing is final.', max_length=6)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('financial_year', models.ForeignKey(help_text='Financial year of the documents.', on_delete=django.db.models.deletion.PROTECT, related_name='document_series', to='organization.financialyear')),
                ('gst_registration', models.ForeignKey(blank=True, help_text='Required for documents of GST law, not allowed for others.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='document_series', to='organization.gstregistration')),
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
                ('day', models.DateField(help_text='The day that differs from its weekday.', verbose_name='date')),
                ('name', models.CharField(help_text='Occasion, such as Diwali.', max_length=100)),
                ('closed', models.BooleanField(default=True, help_text='Whether there is no business on the day. Default: yes.')),
                ('closes_at', models.TimeField(blank=True, help_text='End of business on the day. Empty: as usual.', null=True, verbose_name='closing time')),
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
                ('holder', models.CharField(help_text="Name as in the bank's records.", max_length=200, verbose_name='account holder')),
                ('bank_name', models.CharField(help_text='Name of the bank.', max_length=200, verbose_name='bank')),
                ('branch_name', models.CharField(blank=True, help_text='Name of the branch.', max_length=200, null=True, verbose_name='branch')),
                ('number_encrypted', models.TextField(editable=False)),
                ('number_hash', models.CharField(editable=False, max_length=64)),
                ('last4', models.CharField(editable=False, help_text='Last four characters of the account number.', max_length=4, verbose_name='last four characters')),
                ('ifsc', models.CharField(blank=True, help_text='Eleven characters, such as SBIN0000300. Required for accounts in rupees.', max_length=11, null=True)),
                ('swift', models.CharField(blank=True, help_text='SWIFT code (BIC) of 8 or 11 characters. Required for other currencies.', max_length=11, null=True, verbose_name='SWIFT code')),
                ('account_type', models.CharField(choices=[('current', 'Current'), ('cash_credit', 'Cash credit'), ('overdraft', 'Overdraft'), ('eefc', 'EEFC'), ('escrow', 'Escrow')], help_text='Type of account.', max_length=11)),
                ('currency', models.CharField(default='INR', help_text='Currency of the account, ISO 4217 code. Default INR.', max_length=3)),
                ('purpose', models.CharField(choices=[('collections', 'Collections'), ('payments', 'Payments'), ('both', 'Both')], default='both', help_text='Whether it receives collections, makes payments, or both. Default: both.', max_length=11)),
                ('wants_default', models.BooleanField(default=False, editable=False, help_text='Whether it becomes the default account when it is approved.', verbose_name='default after approval')),
                ('is_default', models.BooleanField(default=False, help_text='Default account of its currency. Choosing a new default replaces it.', verbose_name='default')),
                ('status', models.CharField(choices=[('pending_approval', 'Pending approval'), ('active', 'Active'), ('inactive', 'Inactive'), ('refused', 'Refused')], default='pending_approval', help_text='Making an inactive account active again needs another approval.', max_length=16)),
                ('approval_id', models.UUIDField(editable=False, help_text='The latest request for approval.', null=True)),
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
                ('document_date', models.DateField(help_text='Date of the document, not after today.')),
                ('reference_type', models.CharField(help_text='Kind of record that gets the number, such as invoice.', max_length=50)),
                ('reference_id', models.UUIDField(help_text='ID of that record. The same record always gets the same number.', verbose_name='reference ID')),
                ('allocated_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('series', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='allocated_numbers', to='organization.documentseries')),
                ('financial_year', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='allocated_numbers', to='organization.financialyear')),
                ('gst_registration', models.ForeignKey(help_text='Required for documents of GST law, not allowed for others.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='allocated_numbers', to='organization.gstregistration')),
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
