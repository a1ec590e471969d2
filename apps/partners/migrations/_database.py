"""Numbers of partners, and a ledger to which lines are only added: a trigger refuses UPDATE, DELETE and TRUNCATE."""

from django.db import migrations

BEFORE = [
    migrations.RunSQL(f"CREATE EXTENSION IF NOT EXISTS {name}", migrations.RunSQL.noop)
    for name in ("btree_gist", "pg_trgm")
]
AFTER = [
    migrations.RunSQL("CREATE SEQUENCE partner_number", "DROP SEQUENCE partner_number"),
    migrations.RunSQL(
        """
CREATE FUNCTION partner_ledger_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a line of the exposure ledger stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER partner_ledger_stays BEFORE UPDATE OR DELETE ON partner_exposureentry
    FOR EACH ROW EXECUTE FUNCTION partner_ledger_stays();
CREATE TRIGGER partner_ledger_not_emptied BEFORE TRUNCATE ON partner_exposureentry
    FOR EACH STATEMENT EXECUTE FUNCTION partner_ledger_stays();
""",
        "DROP FUNCTION partner_ledger_stays() CASCADE",
    ),
]
