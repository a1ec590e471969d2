"""What Django's constraints can't say, since it concerns two rows or two versions of one.

Nobody whom a request excludes has a voice on it, nobody is ever taken out of those excluded, and a voice stays as it
was given: the database says so too, to whoever comes past the services.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION approval_voice_of_another() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked approval_approvalrequest%ROWTYPE;
BEGIN
    SELECT * INTO asked FROM approval_approvalrequest WHERE id = NEW.request_id;
    IF NEW.decider_id = ANY (asked.excluded) OR NEW.maker_id IS DISTINCT FROM asked.maker_id THEN
        RAISE EXCEPTION 'nobody decides on their own work'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_voice_of_another';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_voice_of_another BEFORE INSERT ON approval_approvaldecision
    FOR EACH ROW EXECUTE FUNCTION approval_voice_of_another();

CREATE FUNCTION approval_voice_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a decision stays as it was given'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_voice_stays';
END $$;
CREATE TRIGGER approval_voice_stays BEFORE UPDATE OR DELETE ON approval_approvaldecision
    FOR EACH ROW EXECUTE FUNCTION approval_voice_stays();

CREATE FUNCTION approval_excluded_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT NEW.excluded @> OLD.excluded OR NEW.maker_id IS DISTINCT FROM OLD.maker_id THEN
        RAISE EXCEPTION 'nobody is taken out of those excluded'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_excluded_stay';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_excluded_stay BEFORE UPDATE OF excluded, maker_id ON approval_approvalrequest
    FOR EACH ROW EXECUTE FUNCTION approval_excluded_stay();

ALTER TABLE approval_approvalrequest ADD CONSTRAINT approval_maker_is_excluded
    CHECK (maker_id IS NULL OR maker_id = ANY (excluded));
"""
BACKWARDS = """
ALTER TABLE approval_approvalrequest DROP CONSTRAINT approval_maker_is_excluded;
DROP TRIGGER approval_excluded_stay ON approval_approvalrequest;
DROP FUNCTION approval_excluded_stay();
DROP TRIGGER approval_voice_stays ON approval_approvaldecision;
DROP FUNCTION approval_voice_stays();
DROP TRIGGER approval_voice_of_another ON approval_approvaldecision;
DROP FUNCTION approval_voice_of_another();
"""


class Migration(migrations.Migration):
    dependencies = [("approval", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
