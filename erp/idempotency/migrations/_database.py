"""The function that begins a request: the key's advisory lock, then the look-up, in one round trip."""

from django.db import migrations

BEFORE: list[migrations.RunSQL] = []
AFTER = [
    migrations.RunSQL(
        """
-- VOLATILE, so that each statement inside takes a snapshot of its own: the look-up sees what was committed before
-- the lock was given.
CREATE FUNCTION idempotency_begin(key bigint, scope_ bytea, lock_timeout text, transaction_timeout text)
RETURNS TABLE (locked boolean, record idempotency_record) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('lock_timeout', $3, true), set_config('transaction_timeout', $4, true);
    locked := pg_try_advisory_xact_lock(key);
    IF locked THEN
        SELECT r.* INTO record FROM idempotency_record r WHERE r.scope = scope_;
    END IF;
    RETURN NEXT;
END $$;
""",
        "DROP FUNCTION idempotency_begin",
    )
]
