"""Units, what they are and since when; what packages weigh; what prices are quoted in.

What was published stays as it is: the database says so too, to whoever comes past the services. Every table of
drafted rows carries the trigger ``commodity_published_stays``.
"""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.core.validators
import django.db.models.deletion
import django.db.models.lookups
import django.utils.timezone
import erp.ids
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations, models

FORWARDS = """
CREATE FUNCTION commodity_published_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving CONSTANT text[] := ARRAY['status', 'valid_to', 'version', 'updated_at'];
BEGIN
    IF OLD.status IN ('PUBLISHED', 'WITHDRAWN') AND (
        TG_OP = 'DELETE'
        OR to_jsonb(NEW) - moving <> to_jsonb(OLD) - moving
        OR NEW.status NOT IN (OLD.status, 'WITHDRAWN')
        OR (NEW.valid_to IS DISTINCT FROM OLD.valid_to
            AND (OLD.valid_to IS NOT NULL OR OLD.status = 'WITHDRAWN'))
    ) THEN
        RAISE EXCEPTION 'what was published stays as it is'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'commodity_published_stays';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER commodity_published_stays BEFORE UPDATE OR DELETE ON commodity_unitdefinition
    FOR EACH ROW EXECUTE FUNCTION commodity_published_stays();
"""
BACKWARDS = """
DROP TRIGGER commodity_published_stays ON commodity_unitdefinition;
DROP FUNCTION commodity_published_stays();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("commodity", "0004_quality_parameters"),
    ]

    operations = [
        BtreeGistExtension(),  # exclusion constraints compare ids and dates in one index
        migrations.CreateModel(
            name="PricingUnit",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "status",
                    models.CharField(
                        choices=[("ACTIVE", "Active"), ("ARCHIVED", "Archived")],
                        default="ACTIVE",
                        max_length=8,
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        max_length=32,
                        validators=[django.core.validators.RegexValidator("\\A[A-Z0-9][A-Z0-9_/-]{0,31}\\Z")],
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("divisor", models.PositiveSmallIntegerField(default=1)),
                ("places", models.PositiveSmallIntegerField()),
                ("tick", models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="commodity",
            name="pricing_unit",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="commodity.pricingunit",
            ),
        ),
        migrations.CreateModel(
            name="Unit",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "code",
                    models.CharField(
                        max_length=16,
                        validators=[django.core.validators.RegexValidator("\\A[A-Z][A-Z0-9_]{0,15}\\Z")],
                    ),
                ),
                (
                    "dimension",
                    models.CharField(
                        choices=[
                            ("MASS", "Mass"),
                            ("LENGTH", "Length"),
                            ("AREA", "Area"),
                            ("VOLUME", "Volume"),
                            ("COUNT", "Count"),
                        ],
                        max_length=6,
                    ),
                ),
                ("symbol", models.CharField(max_length=20)),
                ("name", models.CharField(max_length=200)),
                ("gst_uqc", models.CharField(blank=True, max_length=3, null=True)),
                ("unece_code", models.CharField(blank=True, max_length=3, null=True)),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("code",), name="unit_code_once"),
                    models.CheckConstraint(
                        condition=models.Q(("code__regex", "^[A-Z][A-Z0-9_]{0,15}$")), name="unit_code_format"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("gst_uqc", None), ("gst_uqc__regex", "^[A-Z]{3}$"), _connector="OR"
                        ),
                        name="unit_uqc_format",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("unece_code", None), ("unece_code__regex", "^[A-Z0-9]{2,3}$"), _connector="OR"
                        ),
                        name="unit_unece_format",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="pricingunit",
            name="unit",
            field=models.ForeignKey(
                db_column="unit",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="commodity.unit",
                to_field="code",
            ),
        ),
        migrations.CreateModel(
            name="PackWeight",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("origin_country", models.CharField(max_length=2)),
                (
                    "basis",
                    models.CharField(
                        choices=[
                            ("NOMINAL", "Nominal"),
                            ("STATISTICAL_NET", "Statistical Net"),
                            ("GROSS", "Gross"),
                        ],
                        max_length=15,
                    ),
                ),
                ("value", models.DecimalField(blank=True, decimal_places=3, max_digits=18, null=True)),
                ("low", models.DecimalField(decimal_places=3, max_digits=18)),
                ("high", models.DecimalField(decimal_places=3, max_digits=18)),
                ("source", models.CharField(max_length=500)),
                ("valid_from", models.DateField()),
                ("valid_to", models.DateField(blank=True, null=True)),
                (
                    "commodity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="pack_weights",
                        to="commodity.commodity",
                    ),
                ),
                (
                    "package_unit",
                    models.ForeignKey(
                        db_column="package_unit",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="commodity.unit",
                        to_field="code",
                    ),
                ),
                (
                    "unit",
                    models.ForeignKey(
                        db_column="unit",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="commodity.unit",
                        to_field="code",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="UnitDefinition",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("valid_from", models.DateField()),
                ("valid_to", models.DateField(blank=True, null=True)),
                ("source", models.CharField(max_length=500)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("DRAFT", "Draft"),
                            ("SUBMITTED", "Submitted"),
                            ("PUBLISHED", "Published"),
                            ("WITHDRAWN", "Withdrawn"),
                        ],
                        default="DRAFT",
                        max_length=9,
                    ),
                ),
                (
                    "editors",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), default=list, editable=False, size=None
                    ),
                ),
                ("unit_version", models.PositiveIntegerField(editable=False)),
                ("numerator", models.DecimalField(decimal_places=0, max_digits=40)),
                ("denominator", models.DecimalField(decimal_places=0, max_digits=40)),
                (
                    "unit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="definitions",
                        to="commodity.unit",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
            },
        ),
        migrations.AddConstraint(
            model_name="pricingunit",
            constraint=models.UniqueConstraint(fields=("code",), name="pricing_unit_code_once"),
        ),
        migrations.AddConstraint(
            model_name="pricingunit",
            constraint=models.UniqueConstraint(
                fields=("currency", "divisor", "unit"), name="pricing_unit_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="pricingunit",
            constraint=models.CheckConstraint(
                condition=models.Q(("code__regex", "^[A-Z0-9][A-Z0-9_/-]{0,31}$")),
                name="pricing_unit_code_format",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricingunit",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="pricing_unit_currency_iso"
            ),
        ),
        migrations.AddConstraint(
            model_name="pricingunit",
            constraint=models.CheckConstraint(
                condition=models.Q(("divisor__in", (1, 100))), name="pricing_unit_divisor"
            ),
        ),
        migrations.AddConstraint(
            model_name="pricingunit",
            constraint=models.CheckConstraint(
                condition=models.Q(("places__range", (0, 6))), name="pricing_unit_places"
            ),
        ),
        migrations.AddConstraint(
            model_name="pricingunit",
            constraint=models.CheckConstraint(
                condition=models.Q(("tick", None), ("tick__gt", 0), _connector="OR"), name="pricing_unit_tick"
            ),
        ),
        migrations.AddConstraint(
            model_name="packweight",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("low__gt", 0),
                    ("low__lte", models.F("high")),
                    models.Q(
                        ("value", None),
                        models.Q(("value__gte", models.F("low")), ("value__lte", models.F("high"))),
                        _connector="OR",
                    ),
                ),
                name="pack_weight_limits",
            ),
        ),
        migrations.AddConstraint(
            model_name="packweight",
            constraint=models.CheckConstraint(
                condition=models.Q(("origin_country__regex", "^[A-Z]{2}$")), name="pack_weight_origin_iso"
            ),
        ),
        migrations.AddConstraint(
            model_name="packweight",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_to", None), ("valid_to__gte", models.F("valid_from")), _connector="OR"
                ),
                name="pack_weight_dates",
            ),
        ),
        migrations.AddConstraint(
            model_name="packweight",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    ("commodity", "="),
                    ("package_unit", "="),
                    ("origin_country", "="),
                    ("basis", "="),
                    (
                        models.Func(
                            "valid_from",
                            "valid_to",
                            django.contrib.postgres.fields.ranges.RangeBoundary(
                                inclusive_lower=True, inclusive_upper=True
                            ),
                            function="daterange",
                            output_field=django.contrib.postgres.fields.ranges.DateRangeField(),
                        ),
                        "&&",
                    ),
                ],
                name="pack_weight_no_overlap",
            ),
        ),
        migrations.AddConstraint(
            model_name="unitdefinition",
            constraint=models.UniqueConstraint(
                fields=("unit", "unit_version"), name="unit_definition_version_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="unitdefinition",
            constraint=models.CheckConstraint(
                condition=models.Q(("denominator__gt", 0), ("numerator__gt", 0)),
                name="unit_definition_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="unitdefinition",
            constraint=models.CheckConstraint(
                condition=django.db.models.lookups.Exact(
                    models.Func(
                        models.F("numerator"),
                        models.F("denominator"),
                        function="gcd",
                        output_field=models.DecimalField(decimal_places=0, max_digits=40),
                    ),
                    models.Value(1, models.DecimalField(decimal_places=0, max_digits=40)),
                ),
                name="unit_definition_lowest_terms",
            ),
        ),
        migrations.AddConstraint(
            model_name="unitdefinition",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_to", None), ("valid_to__gte", models.F("valid_from")), _connector="OR"
                ),
                name="unit_definition_dates",
            ),
        ),
        migrations.AddConstraint(
            model_name="unitdefinition",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                condition=models.Q(("status", "PUBLISHED")),
                expressions=[
                    ("unit", "="),
                    (
                        models.Func(
                            "valid_from",
                            "valid_to",
                            django.contrib.postgres.fields.ranges.RangeBoundary(
                                inclusive_lower=True, inclusive_upper=True
                            ),
                            function="daterange",
                            output_field=django.contrib.postgres.fields.ranges.DateRangeField(),
                        ),
                        "&&",
                    ),
                ],
                name="unit_definition_no_overlap",
            ),
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
