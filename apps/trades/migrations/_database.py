"""Rows that are only added: a trigger refuses UPDATE, DELETE and TRUNCATE, to the owner of the table too."""

from django.db import migrations

from apps.approvals.models import protect_published

APPEND_ONLY = (
    "terms", "acknowledgement", "approval", "qualityresult", "qualityvalue", "weighment", "dispatchline",
    "ewayextension", "delivery", "deliveryline", "payment", "paymentallocation", "settlement", "line",
    "ledgerentry", "positionentry", "tradedocument", "refusal", "refusalclosing",
)  # fmt: skip

BEFORE = []
AFTER = [
    migrations.RunSQL(
        """
CREATE FUNCTION trade_row_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a recorded row of a trade stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
        + "".join(
            f"""
CREATE TRIGGER trade_row_stays BEFORE UPDATE OR DELETE ON trade_{table}
    FOR EACH ROW EXECUTE FUNCTION trade_row_stays();
CREATE TRIGGER trade_rows_not_emptied BEFORE TRUNCATE ON trade_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION trade_row_stays();
"""
            for table in APPEND_ONLY
        ),
        "DROP FUNCTION trade_row_stays() CASCADE",
    ),
    protect_published("trade_taxrule"),
    protect_published("trade_approvalband"),
    protect_published("trade_positionopening"),
]
