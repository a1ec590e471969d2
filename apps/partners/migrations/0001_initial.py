import erp.clock
import erp.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Partner',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('legal_name', models.CharField(help_text='As on the PAN card or the certificate of incorporation, without a web address.', max_length=500)),
                ('trade_name', models.CharField(blank=True, default='', help_text='Name in daily business, where it differs from the legal name.', max_length=500)),
                ('legal_form', models.CharField(choices=[('proprietorship', 'Proprietorship'), ('huf', 'HUF'), ('partnership', 'Partnership'), ('llp', 'LLP'), ('private_limited', 'Private limited'), ('public_limited', 'Public limited'), ('trust', 'Trust'), ('society', 'Society'), ('cooperative_society', 'Cooperative society'), ('government', 'Government'), ('foreign_entity', 'Foreign entity')], help_text='Legal form of the firm, such as private limited.', max_length=20)),
                ('country', models.CharField(default='IN', help_text='Two-letter ISO 3166-1 code, such as IN. Default IN.', max_length=2)),
                ('status', models.CharField(choices=[('draft', 'Draft'), ('pending', 'Pending'), ('active', 'Active'), ('rejected', 'Rejected'), ('suspended', 'Suspended'), ('closed', 'Closed')], default='draft', max_length=9)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('country__regex', '^[A-Z]{2}$')), name='partner_country_iso'), models.CheckConstraint(condition=models.Q(('legal_name', ''), _negated=True), name='partner_legal_name_given')],
            },
        ),
    ]
