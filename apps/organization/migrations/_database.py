"""An allocated number is never changed nor taken back: a trigger refuses UPDATE and DELETE."""

from django.db import migrations

BEFORE = [
    # An exclusion constraint compares organization and dates in one index. Other modules need the extension, too.
    migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS btree_gist", migrations.RunSQL.noop)
]
AFTER = [
    migrations.RunSQL(
        """
CREATE FUNCTION organization_number_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a document number that was given stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER organization_number_stays BEFORE UPDATE OR DELETE ON organization_allocatednumber
    FOR EACH ROW EXECUTE FUNCTION organization_number_stays();
""",
        "DROP FUNCTION organization_number_stays() CASCADE",
    )
]
