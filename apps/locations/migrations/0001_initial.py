import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.text
import erp.clock
import erp.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='State',
            fields=[
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('gst_code', models.CharField(help_text="First two digits of the state's GSTINs.", max_length=2, primary_key=True, serialize=False, verbose_name='GST code')),
                ('iso_code', models.CharField(help_text='Two letters of ISO 3166-2:IN, such as GJ.', max_length=2, verbose_name='ISO code')),
                ('plate_codes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=2), help_text='Letters on vehicle number plates, the current ones first.', size=None)),
                ('name', models.CharField(max_length=60)),
                ('aliases', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=60), default=list, help_text='Older names and letter codes.', size=None)),
                ('region', models.CharField(choices=[('NORTH', 'North'), ('SOUTH', 'South'), ('EAST', 'East'), ('WEST', 'West'), ('CENTRAL', 'Central'), ('NORTHEAST', 'Northeast')], help_text='Region of India.', max_length=9)),
                ('cotton_zone', models.CharField(choices=[('NORTH', 'North'), ('CENTRAL', 'Central'), ('SOUTH', 'South'), ('OTHER', 'Other')], help_text='Zone of the Cotton Corporation of India; empty where no cotton grows.', max_length=7, null=True)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Location',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('type', models.CharField(choices=[('STATE', 'State'), ('DISTRICT', 'District'), ('CITY', 'City'), ('MANDI', 'Mandi'), ('STATION', 'Station'), ('GIN', 'Gin'), ('MILL', 'Mill'), ('WAREHOUSE', 'Warehouse'), ('LAB', 'Lab'), ('PORT', 'Port'), ('ICD', 'ICD'), ('OTHER', 'Other')], help_text='Kind of place, such as station, gin, warehouse or port.', max_length=9)),
                ('name', models.CharField(help_text='Name in common use, 2 to 200 characters.', max_length=200)),
                ('name_key', models.CharField(editable=False, max_length=400)),
                ('aliases', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, default=list, help_text='Other names and spellings: at most 20, each of 2 to 100 characters.', size=None)),
                ('search_key', models.TextField(editable=False)),
                ('country', models.CharField(default='IN', help_text='Two-letter ISO 3166-1 code, such as IN. Default IN.', max_length=2)),
                ('district', models.CharField(blank=True, help_text='District within the state.', max_length=100, null=True)),
                ('address', models.CharField(blank=True, help_text='Street address, up to 500 characters.', max_length=500, null=True)),
                ('pincode', models.CharField(blank=True, help_text='In India six digits that belong to the state; abroad the postal code.', max_length=12, null=True, verbose_name='PIN code')),
                ('latitude', models.DecimalField(blank=True, decimal_places=6, help_text='Degrees north, -90 to 90, up to six decimals. Enter it together with the longitude.', max_digits=9, null=True)),
                ('longitude', models.DecimalField(blank=True, decimal_places=6, help_text='Degrees east, -180 to 180, up to six decimals. Enter it together with the latitude.', max_digits=9, null=True)),
                ('timezone', models.CharField(default='Asia/Kolkata', help_text='IANA time zone, such as Asia/Kolkata. Default Asia/Kolkata.', max_length=64, verbose_name='time zone')),
                ('unlocode', models.CharField(blank=True, help_text='Five characters, such as INMUN. Only for ports and inland container depots.', max_length=5, null=True, verbose_name='UN/LOCODE')),
                ('customs_code', models.CharField(blank=True, help_text='Six characters of Indian customs, such as INMUN1. Only for ports and inland container depots.', max_length=6, null=True)),
                ('wdra_code', models.CharField(blank=True, help_text='Registration with the Warehousing Development and Regulatory Authority. Only for warehouses.', max_length=30, null=True, verbose_name='WDRA code')),
                ('is_verified', models.BooleanField(default=False, help_text='Whether a provider or staff confirmed the details.', verbose_name='verified')),
                ('verified_by', models.CharField(blank=True, help_text='Who confirmed the details: a provider, or staff.', max_length=30, null=True)),
                ('status', models.CharField(choices=[('ACTIVE', 'Active'), ('ARCHIVED', 'Archived'), ('MERGED', 'Merged')], default='ACTIVE', help_text="Archived places can't be chosen for anything new. They can be made active again.", max_length=8)),
                ('merge_reason', models.CharField(default='', editable=False, help_text='Why it was merged, 3 to 500 characters.', max_length=500)),
                ('merged_into', models.ForeignKey(editable=False, help_text='The place that replaces this one.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='merged', to='location.location')),
                ('parent', models.ForeignKey(blank=True, help_text='The place that it is located in. Empty in India: its state.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='location.location', verbose_name='located in')),
                ('state', models.ForeignKey(blank=True, help_text='State in India, by GST code, letters or name: 24, GJ or Gujarat.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='locations', to='location.state')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Upper('search_key'), name='gin_trgm_ops'), name='location_search'), models.Index(fields=['pincode'], name='location_pincode'), models.Index(fields=['type', 'status'], name='location_type_status'), models.Index(fields=['latitude'], name='location_latitude')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'ACTIVE')), fields=('type', 'parent', 'name_key'), name='location_once', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('country', 'IN'), ('state__isnull', False)), models.Q(models.Q(('country', 'IN'), _negated=True), ('state', None)), _connector='OR'), name='location_state_in_india'), models.CheckConstraint(condition=models.Q(models.Q(('latitude', None), ('longitude', None)), models.Q(('latitude__isnull', False), ('latitude__range', (-90, 90)), ('longitude__isnull', False), ('longitude__range', (-180, 180))), _connector='OR'), name='location_coordinates_whole'), models.CheckConstraint(condition=models.Q(models.Q(('merged_into__isnull', False), ('status', 'MERGED')), models.Q(models.Q(('status', 'MERGED'), _negated=True), ('merged_into', None)), _connector='OR'), name='location_merged_has_successor'), models.CheckConstraint(condition=models.Q(models.Q(('merged_into', None), models.Q(('merged_into', models.F('id')), _negated=True), _connector='OR'), models.Q(('parent', None), models.Q(('parent', models.F('id')), _negated=True), _connector='OR')), name='location_not_its_own')],
            },
        ),
        migrations.CreateModel(
            name='Distance',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('mode', models.CharField(choices=[('ROAD', 'Road'), ('RAIL', 'Rail')], help_text='By road or by rail.', max_length=4, verbose_name='by')),
                ('km', models.DecimalField(decimal_places=1, help_text='Kilometres, more than 0, one decimal.', max_digits=7, verbose_name='distance (km)')),
                ('transit_days', models.PositiveSmallIntegerField(blank=True, help_text='Usual days in transit, 0 to 60.', null=True)),
                ('source', models.CharField(help_text="Where the distance comes from, such as the transporter's rate list.", max_length=200)),
                ('valid_from', models.DateField(help_text='First day on which the distance applies.', verbose_name='effective from')),
                ('destination', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='distances_to', to='location.location')),
                ('origin', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='distances_from', to='location.location')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('origin', 'destination', 'mode', 'valid_from'), name='distance_once'), models.CheckConstraint(condition=models.Q(('origin', models.F('destination')), _negated=True), name='distance_between_two'), models.CheckConstraint(condition=models.Q(('km__gt', 0)), name='distance_positive'), models.CheckConstraint(condition=models.Q(('transit_days', None), ('transit_days__range', (0, 60)), _connector='OR'), name='distance_days')],
            },
        ),
        migrations.CreateModel(
            name='ProviderRef',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('provider', models.CharField(help_text='Provider of places, such as gazetteer.', max_length=30)),
                ('provider_id', models.CharField(help_text="The provider's ID of the place.", max_length=255, verbose_name='ID at the provider')),
                ('fetched_at', models.DateTimeField(help_text='When the details were read from the provider.')),
                ('location', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='provider_refs', to='location.location')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('provider', 'provider_id'), name='provider_ref_once')],
            },
        ),
        migrations.CreateModel(
            name='PinPrefix',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('prefix', models.CharField(max_length=3)),
                ('state', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='pin_prefixes', to='location.state')),
            ],
            options={
                'verbose_name_plural': 'PIN prefixes',
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('state', 'prefix'), name='pin_prefix_once_per_state')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
