"""What models can't say: inputs and scores of matches, and allocations, never change."""

from django.db import migrations

BEFORE = []
AFTER = [
    migrations.RunSQL(
        """
CREATE FUNCTION matching_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was matched stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE FUNCTION match_inputs(m matching_match) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT to_jsonb(m) - ARRAY[
        'version', 'updated_at', 'status', 'expires_at', 'allocated_quantity', 'allocated_kg', 'allocation_id',
        'buyer_decision', 'buyer_decided_by_id', 'buyer_decided_at', 'buyer_quantity', 'buyer_reason', 'buyer_note',
        'seller_decision', 'seller_decided_by_id', 'seller_decided_at', 'seller_reason', 'seller_note',
        'reservation_id', 'trade_id', 'superseded_by_id']
$$;
CREATE TRIGGER match_inputs_stay BEFORE UPDATE ON matching_match FOR EACH ROW
    WHEN (match_inputs(OLD) IS DISTINCT FROM match_inputs(NEW)) EXECUTE FUNCTION matching_stays();
CREATE TRIGGER allocation_stays BEFORE UPDATE ON matching_allocation
    FOR EACH ROW EXECUTE FUNCTION matching_stays();
CREATE TRIGGER allocation_part_stays BEFORE UPDATE ON matching_allocationpart
    FOR EACH ROW EXECUTE FUNCTION matching_stays();
""",
        "DROP FUNCTION match_inputs(matching_match) CASCADE; DROP FUNCTION matching_stays() CASCADE",
    ),
]
