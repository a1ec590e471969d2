"""Rows to which others are only added: assessments, entries of screening lists, currency rates."""

from django.db import migrations

_TABLES = ("risk_riskassessment", "risk_screeningentry", "risk_currencyrate")
BEFORE = []
AFTER = [
    migrations.RunSQL(
        """
CREATE FUNCTION risk_row_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'this row stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
        + "".join(
            f"CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION risk_row_stays();\n"
            f"CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION risk_row_stays();\n"
            for table in _TABLES
        ),
        "DROP FUNCTION risk_row_stays() CASCADE",
    ),
]
