"""Offers of a negotiation: made in its order, and never changed but for their status."""

from django.db import migrations

BEFORE = []
AFTER = [
    migrations.RunSQL(
        """
CREATE FUNCTION negotiation_offer_in_turn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    whole negotiation_negotiation%ROWTYPE;
BEGIN
    SELECT * INTO whole FROM negotiation_negotiation WHERE id = NEW.negotiation_id;
    IF whole.opened_by <> NEW.opened_by OR whole.status <> 'OPEN' OR NEW.round <> whole.round + 1 THEN
        RAISE EXCEPTION 'the offer is not the next one of its negotiation'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER negotiation_offer_in_turn BEFORE INSERT ON negotiation_offer
    FOR EACH ROW EXECUTE FUNCTION negotiation_offer_in_turn();

CREATE FUNCTION negotiation_offer_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A message is emptied by retention; version and time of change move with the status.
    IF TG_OP = 'UPDATE' AND NEW.message IN (OLD.message, '')
        AND to_jsonb(NEW) - '{status,message,version,updated_at}'::text[]
            = to_jsonb(OLD) - '{status,message,version,updated_at}'::text[]
        AND (OLD.status = 'STANDING' OR NEW.status = OLD.status)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an offer stays as it was made' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER negotiation_offer_stays BEFORE UPDATE OR DELETE ON negotiation_offer
    FOR EACH ROW EXECUTE FUNCTION negotiation_offer_stays();
CREATE TRIGGER negotiation_offers_not_emptied BEFORE TRUNCATE ON negotiation_offer
    FOR EACH STATEMENT EXECUTE FUNCTION negotiation_offer_stays();

CREATE FUNCTION negotiation_end_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'OPEN' AND (NEW.status <> OLD.status OR NEW.round <> OLD.round) THEN
        RAISE EXCEPTION 'a negotiation that has ended stays ended' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER negotiation_end_is_final BEFORE UPDATE ON negotiation_negotiation
    FOR EACH ROW EXECUTE FUNCTION negotiation_end_is_final();
""",
        "DROP FUNCTION negotiation_offer_in_turn() CASCADE; DROP FUNCTION negotiation_offer_stays() CASCADE;"
        "DROP FUNCTION negotiation_end_is_final() CASCADE",
    ),
]
