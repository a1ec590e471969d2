import django.db.models.deletion
import django.db.models.expressions
import erp.clock
import erp.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('commodity', '0001_initial'),
        ('partner', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Availability',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('number', models.CharField(editable=False, max_length=20, unique=True)),
                ('crop_year', models.CharField(blank=True, help_text='Season of the crop, such as 2025-26. Required for seasonal commodities.', max_length=7, null=True)),
                ('address', models.CharField(help_text='Street or plot, and town where the goods are stored.', max_length=300)),
                ('country', models.CharField(help_text='Two-letter ISO 3166-1 code, such as IN.', max_length=2)),
                ('state_code', models.CharField(blank=True, default='', help_text='Code of the state, such as GJ.', max_length=3, verbose_name='state')),
                ('district', models.CharField(blank=True, default='', help_text='District within the state.', max_length=80)),
                ('time_zone', models.CharField(help_text='IANA time zone of the place, such as Asia/Kolkata. Required outside India.', max_length=64)),
                ('unit', models.CharField(help_text="Unit of all quantities of the offer, such as BALE. Empty: the commodity's trade unit.", max_length=16)),
                ('total_quantity', models.DecimalField(decimal_places=3, help_text="Quantity offered, in the offer's unit: up to three decimals, whole numbers for packages.", max_digits=18)),
                ('available_quantity', models.DecimalField(decimal_places=3, help_text="Quantity that can still be reserved, in the offer's unit.", max_digits=18)),
                ('reserved_quantity', models.DecimalField(decimal_places=3, default=0, help_text="Quantity reserved for buyers, in the offer's unit.", max_digits=18)),
                ('sold_quantity', models.DecimalField(decimal_places=3, default=0, help_text="Quantity sold, in the offer's unit.", max_digits=18)),
                ('withdrawn_quantity', models.DecimalField(decimal_places=3, default=0, help_text="Quantity that the seller no longer offers, in the offer's unit.", max_digits=18)),
                ('total_weight_kg', models.DecimalField(decimal_places=3, help_text='Weight of the whole quantity in kilograms, up to three decimals. Not needed where the unit is KG.', max_digits=18)),
                ('weight_basis', models.CharField(choices=[('ESTIMATED', 'Estimated'), ('DECLARED', 'Declared'), ('WEIGHED', 'Weighed')], default='ESTIMATED', help_text='How the weight is known: estimated, declared by the seller, or weighed.', max_length=9)),
                ('quantity_tolerance_percent', models.DecimalField(decimal_places=2, default=5, help_text='By how much the delivered quantity may differ, 0 to 10 percent. Default 5.', max_digits=5)),
                ('allow_partial', models.BooleanField(default=True, help_text='Whether buyers may reserve a part of the quantity.', verbose_name='partial sale')),
                ('min_order_quantity', models.DecimalField(blank=True, decimal_places=3, help_text="Smallest quantity that a buyer may reserve, in the offer's unit. The last part may be smaller.", max_digits=18, null=True, verbose_name='minimum order quantity')),
                ('max_hold_hours', models.PositiveSmallIntegerField(default=24, help_text='How long a buyer may reserve, 1 to 168 hours. Default 24.', verbose_name='longest reservation (hours)')),
                ('available_from_date', models.DateField(help_text='First day on which the goods can be collected.', verbose_name='available from')),
                ('available_until_date', models.DateField(help_text='Last day of the offer, in the time zone of the place.', verbose_name='available until')),
                ('expires_at', models.DateTimeField(editable=False, help_text='When the offer ends.', null=True)),
                ('visibility', models.CharField(choices=[('PUBLIC', 'Public'), ('INTERNAL', 'Internal')], default='PUBLIC', help_text='Public: buyers can find the offer. Internal: only its seller and staff see it.', max_length=8)),
                ('internal_reference', models.CharField(blank=True, default='', help_text="The seller's own reference. Buyers don't see it.", max_length=64)),
                ('notes', models.CharField(blank=True, default='', help_text="Remarks for the seller and staff. Buyers don't see them.", max_length=2000)),
                ('status', models.CharField(choices=[('DRAFT', 'Draft'), ('PENDING_APPROVAL', 'Pending approval'), ('ACTIVE', 'Active'), ('REJECTED', 'Rejected'), ('SUSPENDED', 'Suspended'), ('SOLD_OUT', 'Sold out'), ('EXPIRED', 'Expired'), ('CANCELLED', 'Cancelled')], default='DRAFT', max_length=16)),
                ('terms_version', models.PositiveIntegerField(default=1, editable=False, help_text='Rises whenever the terms of the offer change.')),
                ('approved_at', models.DateTimeField(editable=False, null=True)),
                ('listed_at', models.DateTimeField(editable=False, null=True)),
                ('approved_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('commodity', models.ForeignKey(help_text='The goods offered.', on_delete=django.db.models.deletion.PROTECT, related_name='availabilities', to='commodity.commodity')),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('seller_partner', models.ForeignKey(help_text='The partner that sells. Sellers can leave it empty: the offer is then their own.', on_delete=django.db.models.deletion.PROTECT, related_name='availabilities', to='partner.partner', verbose_name='seller')),
                ('updated_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'availabilities',
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(fields=['status', 'visibility', '-created_at'], name='idx_availability_market')],
                'constraints': [models.CheckConstraint(condition=models.Q(('total_quantity', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('available_quantity'), '+', models.F('reserved_quantity')), '+', models.F('sold_quantity')), '+', models.F('withdrawn_quantity')))), name='availability_ledger_adds_up'), models.CheckConstraint(condition=models.Q(('available_quantity__gte', 0), ('reserved_quantity__gte', 0), ('sold_quantity__gte', 0), ('withdrawn_quantity__gte', 0)), name='availability_ledger_not_negative'), models.CheckConstraint(condition=models.Q(('total_quantity__gt', 0)), name='availability_total_positive'), models.CheckConstraint(condition=models.Q(('total_weight_kg__gt', 0)), name='availability_weight_positive'), models.CheckConstraint(condition=models.Q(('min_order_quantity', None), models.Q(('min_order_quantity__gt', 0), ('min_order_quantity__lte', models.F('total_quantity'))), _connector='OR'), name='availability_minimum_within_total'), models.CheckConstraint(condition=models.Q(('available_until_date__gte', models.F('available_from_date'))), name='availability_window_in_order'), models.CheckConstraint(condition=models.Q(('max_hold_hours__range', (1, 168))), name='availability_hold_hours_range'), models.CheckConstraint(condition=models.Q(('quantity_tolerance_percent__range', (0, 10))), name='availability_tolerance_range'), models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['EXPIRED', 'CANCELLED']), _negated=True), ('available_quantity', 0), _connector='OR'), name='availability_ended_has_nothing_free'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'SOLD_OUT'), _negated=True), models.Q(('available_quantity', 0), ('reserved_quantity', 0), ('sold_quantity__gt', 0)), _connector='OR'), name='availability_sold_out_is_sold')],
            },
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('requirement_id', models.UUIDField(help_text='The requirement that the reservation serves, if any.', null=True)),
                ('match_id', models.UUIDField(help_text='The match that led to the reservation, if any.', null=True)),
                ('negotiation_id', models.UUIDField(help_text='The negotiation that the reservation belongs to, if any.', null=True)),
                ('trade_id', models.UUIDField(help_text='The trade that the reservation backs, if any.', null=True)),
                ('quantity', models.DecimalField(decimal_places=3, help_text="Quantity in the offer's unit: up to three decimals, whole numbers for packages.", max_digits=18)),
                ('released_quantity', models.DecimalField(decimal_places=3, default=0, help_text="Quantity released, in the offer's unit.", max_digits=18)),
                ('open_quantity', models.GeneratedField(db_persist=True, expression=django.db.models.expressions.CombinedExpression(models.F('quantity'), '-', models.F('released_quantity')), output_field=models.DecimalField(decimal_places=3, max_digits=18))),
                ('weight_kg', models.DecimalField(decimal_places=3, help_text='Weight of the open quantity in kilograms.', max_digits=18)),
                ('terms_version', models.PositiveIntegerField(help_text="Version of the offer's terms that was reserved.")),
                ('status', models.CharField(choices=[('HELD', 'Held'), ('IN_TRADE', 'In trade'), ('SOLD', 'Sold'), ('RELEASED', 'Released'), ('EXPIRED', 'Expired'), ('RETURNED', 'Returned')], default='HELD', max_length=8)),
                ('expires_at', models.DateTimeField(help_text='When the reservation ends unless it backs a trade.', null=True)),
                ('release_reason', models.CharField(blank=True, default='', help_text='Why staff release it, 3 to 500 characters. Buyers need none.', max_length=500)),
                ('availability', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to='availability.availability')),
                ('holder_partner', models.ForeignKey(help_text='The partner that the quantity is reserved for. Buyers can leave it empty: it is then their own.', on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to='partner.partner', verbose_name='buyer')),
                ('reserved_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('status', 'HELD')), fields=['expires_at'], name='idx_reservation_due'), models.Index(fields=['holder_partner', 'availability'], name='idx_reservation_holder')],
                'constraints': [models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='reservation_quantity_positive'), models.CheckConstraint(condition=models.Q(('released_quantity__gte', 0), ('released_quantity__lte', models.F('quantity'))), name='reservation_released_within_quantity'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'HELD'), _negated=True), ('expires_at__isnull', False), _connector='OR'), name='reservation_held_has_deadline'), models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['IN_TRADE', 'SOLD']), _negated=True), ('trade_id__isnull', False), _connector='OR'), name='reservation_trade_named'), models.UniqueConstraint(condition=models.Q(('status__in', ['HELD', 'IN_TRADE', 'SOLD'])), fields=('trade_id',), name='reservation_one_per_trade')],
            },
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
