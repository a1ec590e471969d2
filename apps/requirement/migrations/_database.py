"""The sequence behind a requirement's number, and its ledger to which lines are only added."""

from django.db import migrations

BEFORE = []
AFTER = [
    migrations.RunSQL("CREATE SEQUENCE requirement_number", "DROP SEQUENCE requirement_number"),
    migrations.RunSQL(
        """
CREATE FUNCTION requirement_ledger_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a line of the ledger stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER requirement_ledger_stays BEFORE UPDATE OR DELETE ON requirement_fulfilment
    FOR EACH ROW EXECUTE FUNCTION requirement_ledger_stays();
CREATE TRIGGER requirement_ledger_not_emptied BEFORE TRUNCATE ON requirement_fulfilment
    FOR EACH STATEMENT EXECUTE FUNCTION requirement_ledger_stays();
""",
        "DROP FUNCTION requirement_ledger_stays() CASCADE",
    ),
]
