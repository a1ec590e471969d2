"""Calls are only added, and what a prompt says stays as it was approved: triggers refuse anything else."""

from django.db import migrations

BEFORE = []
AFTER = [
    migrations.RunSQL(
        """
CREATE FUNCTION ai_row_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % stays as it is', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER ai_call_stays BEFORE UPDATE OR DELETE ON ai_call FOR EACH ROW EXECUTE FUNCTION ai_row_stays();
CREATE TRIGGER ai_call_not_emptied BEFORE TRUNCATE ON ai_call FOR EACH STATEMENT EXECUTE FUNCTION ai_row_stays();
CREATE TRIGGER ai_prompt_stays BEFORE UPDATE ON ai_prompt FOR EACH ROW
    WHEN (ROW(NEW.task, NEW.number, NEW.template, NEW.schema_hash)
        IS DISTINCT FROM ROW(OLD.task, OLD.number, OLD.template, OLD.schema_hash))
    EXECUTE FUNCTION ai_row_stays();
""",
        "DROP FUNCTION ai_row_stays() CASCADE",
    )
]
