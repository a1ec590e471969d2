import django.db.models.deletion
import django.db.models.functions.math
import django.db.models.lookups
import erp.clock
import erp.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('availability', '0001_initial'),
        ('commodity', '0001_initial'),
        ('matching', '0001_initial'),
        ('partner', '0001_initial'),
        ('requirement', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Negotiation',
            fields=[
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('id', models.UUIDField(default=erp.ids.uuid4, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('OPEN', 'Open'), ('ACCEPTED', 'Accepted'), ('REJECTED', 'Rejected'), ('WITHDRAWN', 'Withdrawn'), ('EXPIRED', 'Expired')], default='OPEN', max_length=9)),
                ('opened_by', models.CharField(choices=[('BUYER', 'Buyer'), ('SELLER', 'Seller')], help_text='Side that opened the negotiation.', max_length=6)),
                ('turn', models.CharField(choices=[('BUYER', 'Buyer'), ('SELLER', 'Seller')], help_text='Side that can make the next offer.', max_length=6)),
                ('round', models.PositiveSmallIntegerField(default=0, help_text='Number of offers made so far.')),
                ('max_rounds', models.PositiveSmallIntegerField(default=10, help_text='Most offers that both sides together can make.', verbose_name='most rounds')),
                ('expires_at', models.DateTimeField(help_text='When the negotiation ends unless an offer is made that is valid longer.')),
                ('hard_expires_at', models.DateTimeField(help_text='When it ends at the latest.', verbose_name='ends at the latest')),
                ('reservation_id', models.UUIDField(help_text='The reservation of the goods, if there is one.', null=True)),
                ('own_hold', models.BooleanField(default=False, editable=False)),
                ('accepted_at', models.DateTimeField(help_text='When it was accepted.', null=True)),
                ('closed_by', models.CharField(choices=[('BUYER', 'Buyer'), ('SELLER', 'Seller'), ('SYSTEM', 'System')], help_text='Who ended it: a side, or the system.', max_length=6, null=True)),
                ('close_reason', models.CharField(choices=[('PRICE', 'Price'), ('QUANTITY', 'Quantity'), ('QUALITY', 'Quality'), ('PLACE', 'Place'), ('TERMS', 'Terms'), ('TIMING', 'Timing'), ('COUNTERPARTY', 'Counterparty'), ('OTHER', 'Other'), ('LISTING_ENDED', 'A listing ended'), ('PARTNER_SUSPENDED', 'A partner was suspended'), ('MATCH_ENDED', 'The match ended')], help_text='Why it ended.', max_length=17, null=True)),
                ('close_note', models.CharField(blank=True, default='', help_text="Remark of the side that ended it. The other side doesn't see it.", max_length=500)),
                ('trade_id', models.UUIDField(help_text='The trade that was made of it, if any.', null=True)),
                ('pseudonym_key', models.PositiveSmallIntegerField(editable=False)),
                ('badges', models.JSONField(default=dict, editable=False)),
                ('availability', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='availability.availability', verbose_name='offered goods')),
                ('buyer_partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partner.partner', verbose_name='buyer')),
                ('match', models.OneToOneField(help_text='The match that is negotiated.', on_delete=django.db.models.deletion.PROTECT, related_name='negotiation', to='matching.match')),
                ('requirement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='requirement.requirement')),
                ('seller_partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partner.partner', verbose_name='seller')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Offer',
            fields=[
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('id', models.UUIDField(default=erp.ids.uuid4, editable=False, primary_key=True, serialize=False)),
                ('round', models.PositiveSmallIntegerField(help_text='Number of the offer within the negotiation.')),
                ('opened_by', models.CharField(choices=[('BUYER', 'Buyer'), ('SELLER', 'Seller')], editable=False, max_length=6)),
                ('side', models.CharField(choices=[('BUYER', 'Buyer'), ('SELLER', 'Seller')], help_text='Side that made the offer.', max_length=6)),
                ('price', models.DecimalField(decimal_places=6, help_text='Price in the pricing unit of the offered goods, as a decimal string.', max_digits=18)),
                ('quantity', models.DecimalField(decimal_places=3, help_text='Quantity in the unit of the offered goods.', max_digits=18)),
                ('weight_kg', models.DecimalField(decimal_places=3, help_text='Weight of the quantity in kilograms.', max_digits=18)),
                ('window_from_date', models.DateField(help_text='First day of delivery.', verbose_name='delivery from')),
                ('window_until_date', models.DateField(help_text='Last day of delivery.', verbose_name='delivery until')),
                ('availability_terms_version', models.PositiveIntegerField(editable=False)),
                ('requirement_terms_version', models.PositiveIntegerField(editable=False)),
                ('message', models.CharField(blank=True, default='', help_text='Message to the other side, without names and contact data.', max_length=500)),
                ('valid_until', models.DateTimeField(help_text='Until when the other side can accept the offer.')),
                ('status', models.CharField(choices=[('STANDING', 'Current'), ('COUNTERED', 'Countered'), ('ACCEPTED', 'Accepted'), ('REJECTED', 'Rejected'), ('WITHDRAWN', 'Withdrawn'), ('LAPSED', 'Lapsed')], default='STANDING', max_length=9)),
                ('delivery_term', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.deliveryterms')),
                ('made_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('negotiation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='offers', to='negotiation.negotiation')),
                ('passing_term', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.passingterms')),
                ('payment_term', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.paymentterms')),
                ('weighment_term', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.weighmentterms')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('status', 'STANDING')), fields=['valid_until', 'id'], name='idx_negotiation_offer_due')],
                'constraints': [models.UniqueConstraint(fields=('negotiation', 'round'), name='negotiation_offer_one_a_round'), models.UniqueConstraint(condition=models.Q(('status', 'STANDING')), fields=('negotiation',), name='negotiation_offer_one_standing'), models.UniqueConstraint(condition=models.Q(('status', 'ACCEPTED')), fields=('negotiation',), name='negotiation_offer_one_accepted'), models.CheckConstraint(condition=models.Q(models.Q(django.db.models.lookups.Exact(django.db.models.functions.math.Mod('round', 2), 1), ('side', models.F('opened_by'))), models.Q(models.Q(('side', models.F('opened_by')), _negated=True), django.db.models.lookups.Exact(django.db.models.functions.math.Mod('round', 2), 0)), _connector='OR'), name='negotiation_offer_sides_take_turns'), models.CheckConstraint(condition=models.Q(('price__gt', 0), ('quantity__gt', 0), ('round__gte', 1), ('weight_kg__gt', 0)), name='negotiation_offer_figures_positive'), models.CheckConstraint(condition=models.Q(('window_until_date__gte', models.F('window_from_date'))), name='negotiation_offer_window_in_order')],
            },
        ),
        migrations.AddField(
            model_name='negotiation',
            name='accepted_offer',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='negotiation.offer'),
        ),
        migrations.AddField(
            model_name='negotiation',
            name='standing_offer',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='negotiation.offer', verbose_name='current offer'),
        ),
        migrations.AddIndex(
            model_name='negotiation',
            index=models.Index(condition=models.Q(('status', 'OPEN')), fields=['expires_at', 'id'], name='idx_negotiation_due'),
        ),
        migrations.AddIndex(
            model_name='negotiation',
            index=models.Index(condition=models.Q(('status', 'OPEN')), fields=['reservation_id'], name='idx_negotiation_reservation'),
        ),
        migrations.AddIndex(
            model_name='negotiation',
            index=models.Index(fields=['buyer_partner', '-created_at'], name='idx_negotiation_buyer'),
        ),
        migrations.AddIndex(
            model_name='negotiation',
            index=models.Index(fields=['seller_partner', '-created_at'], name='idx_negotiation_seller'),
        ),
        migrations.AddIndex(
            model_name='negotiation',
            index=models.Index(fields=['-created_at', 'id'], name='idx_negotiation_newest'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.CheckConstraint(condition=models.Q(('buyer_partner', models.F('seller_partner')), _negated=True), name='negotiation_two_partners'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.CheckConstraint(condition=models.Q(('opened_by__in', ['BUYER', 'SELLER']), ('turn__in', ['BUYER', 'SELLER'])), name='negotiation_sides'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.CheckConstraint(condition=models.Q(('round__lte', models.F('max_rounds'))), name='negotiation_rounds_within_limit'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__lte', models.F('hard_expires_at'))), name='negotiation_ends_in_time'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'ACCEPTED'), _negated=True), models.Q(('accepted_at__isnull', False), ('accepted_offer__isnull', False), ('reservation_id__isnull', False)), _connector='OR'), name='negotiation_accepted_is_complete'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.CheckConstraint(condition=models.Q(('trade_id', None), ('status', 'ACCEPTED'), _connector='OR'), name='negotiation_trade_of_accepted'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_by', None), ('status', 'OPEN')), models.Q(models.Q(('status', 'OPEN'), _negated=True), ('closed_by__isnull', False)), _connector='OR'), name='negotiation_ended_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='negotiation',
            constraint=models.UniqueConstraint(fields=('trade_id',), name='negotiation_one_per_trade'),
        ),
    ]


from ._database import AFTER, BEFORE

Migration.operations = [*BEFORE, *Migration.operations, *AFTER]
