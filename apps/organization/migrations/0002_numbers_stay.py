"""A number that was given is never changed nor taken back: a trigger refuses UPDATE and DELETE."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION organization_number_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a document number that was given stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER organization_number_stays BEFORE UPDATE OR DELETE ON organization_allocatednumber
    FOR EACH ROW EXECUTE FUNCTION organization_number_stays();
"""
ALLOW = """
DROP TRIGGER organization_number_stays ON organization_allocatednumber;
DROP FUNCTION organization_number_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("organization", "0001_initial")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
