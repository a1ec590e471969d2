"""Grades, and schedules of premiums and discounts with their lines.

What was published stays as it is, lines included: the database says so too.
"""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import erp.ids
from django.db import migrations, models


FORWARDS = """
CREATE TRIGGER commodity_published_stays BEFORE UPDATE OR DELETE ON commodity_qualityschedule
    FOR EACH ROW EXECUTE FUNCTION commodity_published_stays();
CREATE FUNCTION commodity_published_lines_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM commodity_qualityschedule
        WHERE id IN (OLD.schedule_id, NEW.schedule_id) AND status IN ('PUBLISHED', 'WITHDRAWN')
    ) THEN
        RAISE EXCEPTION 'what was published stays as it is'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'commodity_published_stays';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER commodity_published_lines_stay BEFORE INSERT OR UPDATE OR DELETE ON commodity_scheduleline
    FOR EACH ROW EXECUTE FUNCTION commodity_published_lines_stay();
"""
BACKWARDS = """
DROP TRIGGER commodity_published_lines_stay ON commodity_scheduleline;
DROP FUNCTION commodity_published_lines_stay();
DROP TRIGGER commodity_published_stays ON commodity_qualityschedule;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('commodity', '0006_terms'),
    ]

    operations = [
        migrations.CreateModel(
            name='QualitySchedule',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('valid_from', models.DateField()),
                ('valid_to', models.DateField(blank=True, null=True)),
                ('source', models.CharField(max_length=500)),
                ('status', models.CharField(choices=[('DRAFT', 'Draft'), ('SUBMITTED', 'Submitted'), ('PUBLISHED', 'Published'), ('WITHDRAWN', 'Withdrawn')], default='DRAFT', max_length=9)),
                ('editors', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, editable=False, size=None)),
                ('code', models.CharField(max_length=32, validators=[django.core.validators.RegexValidator('\\A[A-Z0-9][A-Z0-9_/-]{0,31}\\Z')])),
                ('schedule_version', models.PositiveIntegerField(editable=False)),
                ('contract_form', models.CharField(max_length=32)),
                ('title', models.CharField(max_length=200)),
                ('mode', models.CharField(choices=[('ADDITIVE', 'Additive'), ('COMPOUND', 'Compound')], max_length=8)),
                ('cap_percent', models.DecimalField(blank=True, decimal_places=4, max_digits=9, null=True)),
                ('commodity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='quality_schedules', to='commodity.commodity')),
                ('pricing_unit', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.pricingunit')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ScheduleLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order', models.PositiveSmallIntegerField()),
                ('method', models.CharField(max_length=32)),
                ('form', models.CharField(choices=[('BAND', 'Band'), ('LADDER', 'Ladder'), ('LINEAR', 'Linear'), ('MATRIX', 'Matrix'), ('WEIGHT', 'Weight'), ('NO_LIMIT', 'No Limit')], max_length=8)),
                ('effect', models.CharField(blank=True, choices=[('PERCENT', 'Percent'), ('MONEY', 'Money'), ('POINTS', 'Points')], max_length=7, null=True)),
                ('base_low', models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ('base_high', models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ('side', models.CharField(blank=True, choices=[('ABOVE', 'Above'), ('BELOW', 'Below'), ('BOTH', 'Both')], max_length=5, null=True)),
                ('tolerance', models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ('rate', models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ('weight_rule', models.CharField(blank=True, choices=[('ONE_FOR_ONE', 'One For One'), ('DRY_MATTER', 'Dry Matter')], max_length=11, null=True)),
                ('reciprocal', models.BooleanField(default=False)),
                ('line_cap', models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ('reject_below', models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ('reject_above', models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ('reject_mode', models.CharField(choices=[('ABSOLUTE', 'Absolute'), ('BUYER_OPTION', 'Buyer Option')], default='ABSOLUTE', max_length=12)),
                ('bands', models.JSONField(blank=True, default=list)),
                ('steps', models.JSONField(blank=True, default=list)),
                ('cells', models.JSONField(blank=True, default=list)),
                ('parameter', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.qualityparameter')),
                ('schedule', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='line_rows', to='commodity.qualityschedule')),
                ('second_parameter', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.qualityparameter')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Grade',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('status', models.CharField(choices=[('ACTIVE', 'Active'), ('ARCHIVED', 'Archived')], default='ACTIVE', max_length=8)),
                ('code', models.CharField(max_length=32, validators=[django.core.validators.RegexValidator('\\A[A-Z0-9][A-Z0-9_/-]{0,31}\\Z')])),
                ('name', models.CharField(max_length=200)),
                ('rank', models.PositiveSmallIntegerField()),
                ('is_basis', models.BooleanField(default=False)),
                ('limits', models.JSONField(blank=True, default=list)),
                ('difference_kind', models.CharField(choices=[('NONE', 'None'), ('PERCENT', 'Percent'), ('MONEY', 'Money')], default='NONE', max_length=7)),
                ('difference', models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ('commodity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='grades', to='commodity.commodity')),
                ('pricing_unit', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='commodity.pricingunit')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('commodity', 'code'), name='grade_code_once'), models.UniqueConstraint(fields=('commodity', 'rank'), name='grade_rank_once'), models.UniqueConstraint(condition=models.Q(('is_basis', True)), fields=('commodity',), name='grade_one_basis'), models.CheckConstraint(condition=models.Q(('code__regex', '^[A-Z0-9][A-Z0-9_/-]{0,31}$')), name='grade_code_format'), models.CheckConstraint(condition=models.Q(('rank__range', (1, 999))), name='grade_rank_range'), models.CheckConstraint(condition=models.Q(models.Q(('difference', None), ('difference_kind', 'NONE'), ('pricing_unit', None)), models.Q(('difference__isnull', False), ('difference_kind', 'PERCENT'), ('is_basis', False), ('pricing_unit', None)), models.Q(('difference__isnull', False), ('difference_kind', 'MONEY'), ('is_basis', False), ('pricing_unit__isnull', False)), _connector='OR'), name='grade_difference_by_kind')],
            },
        ),
        migrations.AddConstraint(
            model_name='qualityschedule',
            constraint=models.UniqueConstraint(fields=('code', 'schedule_version'), name='quality_schedule_version_once'),
        ),
        migrations.AddConstraint(
            model_name='qualityschedule',
            constraint=models.CheckConstraint(condition=models.Q(('code__regex', '^[A-Z0-9][A-Z0-9_/-]{0,31}$')), name='quality_schedule_code_format'),
        ),
        migrations.AddConstraint(
            model_name='qualityschedule',
            constraint=models.CheckConstraint(condition=models.Q(('cap_percent', None), ('cap_percent__range', (0, 100)), _connector='OR'), name='quality_schedule_cap'),
        ),
        migrations.AddConstraint(
            model_name='qualityschedule',
            constraint=models.CheckConstraint(condition=models.Q(('valid_to', None), ('valid_to__gte', models.F('valid_from')), _connector='OR'), name='quality_schedule_dates'),
        ),
        migrations.AddConstraint(
            model_name='qualityschedule',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(condition=models.Q(('status', 'PUBLISHED')), expressions=[('code', '='), (models.Func('valid_from', 'valid_to', django.contrib.postgres.fields.ranges.RangeBoundary(inclusive_lower=True, inclusive_upper=True), function='daterange', output_field=django.contrib.postgres.fields.ranges.DateRangeField()), '&&')], name='quality_schedule_no_overlap'),
        ),
        migrations.AddConstraint(
            model_name='scheduleline',
            constraint=models.UniqueConstraint(fields=('schedule', 'order'), name='schedule_line_order_once'),
        ),
        migrations.AddConstraint(
            model_name='scheduleline',
            constraint=models.CheckConstraint(condition=models.Q(('tolerance__gte', 0)), name='schedule_line_tolerance_positive'),
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
