"""What Django's constraints can't say, since it concerns two rows or two versions of one.

Nobody whom a request excludes decides it, nobody is removed from those excluded, and a decision never changes: the
database enforces it too, against writes that come past the services.
"""

from django.db import migrations

BEFORE = [migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS pg_trgm", migrations.RunSQL.noop)]
AFTER = [
    migrations.RunSQL(
        """
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

CREATE FUNCTION approval_question_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.answered_at IS NOT NULL
            OR (NEW.request_id, NEW.asked_by_id, NEW.question, NEW.due_date, NEW.created_at)
                IS DISTINCT FROM (OLD.request_id, OLD.asked_by_id, OLD.question, OLD.due_date, OLD.created_at) THEN
        RAISE EXCEPTION 'a question and its answer stay as they were written'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_question_stays';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_question_stays BEFORE UPDATE OR DELETE ON approval_approvalquestion
    FOR EACH ROW EXECUTE FUNCTION approval_question_stays();

ALTER TABLE approval_approvalrequest ADD CONSTRAINT approval_maker_is_excluded
    CHECK (maker_id IS NULL OR maker_id = ANY (excluded));
""",
        """
ALTER TABLE approval_approvalrequest DROP CONSTRAINT approval_maker_is_excluded;
DROP FUNCTION approval_question_stays() CASCADE;
DROP FUNCTION approval_excluded_stay() CASCADE;
DROP FUNCTION approval_voice_stays() CASCADE;
DROP FUNCTION approval_voice_of_another() CASCADE;
""",
    )
]
