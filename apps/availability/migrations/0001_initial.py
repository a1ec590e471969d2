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
                ('crop_year', models.CharField(blank=True, max_length=7, null=True)),
                ('address', models.CharField(max_length=300)),
                ('country', models.CharField(max_length=2)),
                ('state_code', models.CharField(blank=True, default='', max_length=3)),
                ('district', models.CharField(blank=True, default='', max_length=80)),
                ('time_zone', models.CharField(max_length=64)),
                ('unit', models.CharField(max_length=16)),
                ('total_quantity', models.DecimalField(decimal_places=3, max_digits=18)),
                ('available_quantity', models.DecimalField(decimal_places=3, max_digits=18)),
                ('reserved_quantity', models.DecimalField(decimal_places=3, default=0, max_digits=18)),
                ('sold_quantity', models.DecimalField(decimal_places=3, default=0, max_digits=18)),
                ('withdrawn_quantity', models.DecimalField(decimal_places=3, default=0, max_digits=18)),
                ('total_weight_kg', models.DecimalField(decimal_places=3, max_digits=18)),
                ('weight_basis', models.CharField(choices=[('ESTIMATED', 'Estimated'), ('DECLARED', 'Declared'), ('WEIGHED', 'Weighed')], default='ESTIMATED', max_length=9)),
                ('quantity_tolerance_percent', models.DecimalField(decimal_places=2, default=5, max_digits=5)),
                ('allow_partial', models.BooleanField(default=True)),
                ('min_order_quantity', models.DecimalField(blank=True, decimal_places=3, max_digits=18, null=True)),
                ('max_hold_hours', models.PositiveSmallIntegerField(default=24)),
                ('available_from_date', models.DateField()),
                ('available_until_date', models.DateField()),
                ('expires_at', models.DateTimeField(editable=False, null=True)),
                ('visibility', models.CharField(choices=[('PUBLIC', 'Public'), ('INTERNAL', 'Internal')], default='PUBLIC', max_length=8)),
                ('internal_reference', models.CharField(blank=True, default='', max_length=64)),
                ('notes', models.CharField(blank=True, default='', max_length=2000)),
                ('status', models.CharField(choices=[('DRAFT', 'Draft'), ('PENDING_APPROVAL', 'Pending Approval'), ('ACTIVE', 'Active'), ('REJECTED', 'Rejected'), ('SUSPENDED', 'Suspended'), ('SOLD_OUT', 'Sold Out'), ('EXPIRED', 'Expired'), ('CANCELLED', 'Cancelled')], default='DRAFT', max_length=16)),
                ('terms_version', models.PositiveIntegerField(default=1, editable=False)),
                ('approved_at', models.DateTimeField(editable=False, null=True)),
                ('listed_at', models.DateTimeField(editable=False, null=True)),
                ('approved_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('commodity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='availabilities', to='commodity.commodity')),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('seller_partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='availabilities', to='partner.partner')),
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
                ('requirement_id', models.UUIDField(null=True)),
                ('match_id', models.UUIDField(null=True)),
                ('negotiation_id', models.UUIDField(null=True)),
                ('trade_id', models.UUIDField(null=True)),
                ('quantity', models.DecimalField(decimal_places=3, max_digits=18)),
                ('released_quantity', models.DecimalField(decimal_places=3, default=0, max_digits=18)),
                ('open_quantity', models.GeneratedField(db_persist=True, expression=django.db.models.expressions.CombinedExpression(models.F('quantity'), '-', models.F('released_quantity')), output_field=models.DecimalField(decimal_places=3, max_digits=18))),
                ('weight_kg', models.DecimalField(decimal_places=3, max_digits=18)),
                ('terms_version', models.PositiveIntegerField()),
                ('status', models.CharField(choices=[('HELD', 'Held'), ('IN_TRADE', 'In Trade'), ('SOLD', 'Sold'), ('RELEASED', 'Released'), ('EXPIRED', 'Expired'), ('RETURNED', 'Returned')], default='HELD', max_length=8)),
                ('expires_at', models.DateTimeField(null=True)),
                ('release_reason', models.CharField(blank=True, default='', max_length=500)),
                ('availability', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to='availability.availability')),
                ('holder_partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to='partner.partner')),
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
