"""What was published never changes, except that it ends: each table of drafts carries ``commodity_published_stays``."""

from django.db import migrations

BEFORE = [
    # Exclusion constraints compare ids and dates in one index. Other modules need the extension, too.
    migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS btree_gist", migrations.RunSQL.noop)
]
AFTER = [
    migrations.RunSQL(
        """
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
CREATE TRIGGER commodity_published_stays BEFORE UPDATE OR DELETE ON commodity_qualityschedule
    FOR EACH ROW EXECUTE FUNCTION commodity_published_stays();
CREATE TRIGGER commodity_published_stays BEFORE UPDATE OR DELETE ON commodity_taxrate
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
""",
        """
DROP FUNCTION commodity_published_lines_stay() CASCADE;
DROP FUNCTION commodity_published_stays() CASCADE;
""",
    )
]
