"""The functions of the triggers that write the trail; ``erp.trail.triggers`` attaches them to tables."""

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION trail_mask(value jsonb, place text) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    pads bytea := decode(coalesce(current_setting('trail.key', true), ''), 'hex');
BEGIN
    IF value IS NULL OR value = 'null' THEN
        RETURN value;
    END IF;
    IF length(pads) <> 128 THEN
        RETURN jsonb_build_object('masked', true);
    END IF;
    RETURN jsonb_build_object('masked', true, 'digest', encode(sha256(
        substr(pads, 65) || sha256(substr(pads, 1, 64) || convert_to(place || value::text, 'UTF8'))
    ), 'hex'));
END $$;

CREATE FUNCTION trail_record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    personal text[] := string_to_array(TG_ARGV[1], ',');
    ignored text[] := string_to_array(TG_ARGV[2], ',');
    context jsonb := nullif(current_setting('trail.context', true), '');
    old_row jsonb;
    new_row jsonb;
    before jsonb;
    after jsonb;
    name text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        new_row := to_jsonb(NEW);
        SELECT jsonb_object_agg(key, value) INTO after FROM jsonb_each(new_row - ignored) WHERE value <> 'null';
    ELSIF TG_OP = 'DELETE' THEN
        old_row := to_jsonb(OLD);
        SELECT jsonb_object_agg(key, value) INTO before FROM jsonb_each(old_row - ignored) WHERE value <> 'null';
    ELSE
        old_row := to_jsonb(OLD);
        new_row := to_jsonb(NEW);
        SELECT jsonb_object_agg(field.key, old_row -> field.key), jsonb_object_agg(field.key, field.value)
            INTO before, after
            FROM jsonb_each(new_row - ignored) AS field
            WHERE field.value IS DISTINCT FROM old_row -> field.key;
        IF after IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    FOREACH name IN ARRAY personal LOOP
        IF before ? name THEN
            before := before || jsonb_build_object(name, trail_mask(before -> name, TG_TABLE_NAME || '.' || name || ' '));
        END IF;
        IF after ? name THEN
            after := after || jsonb_build_object(name, trail_mask(after -> name, TG_TABLE_NAME || '.' || name || ' '));
        END IF;
    END LOOP;
    INSERT INTO trail_entry (
        recorded_at, txid, actor_id, on_behalf_of, by_superuser, service, capability, channel, request_id,
        record_id, reason, organization_id, table_name, row_key, operation, before, after
    ) VALUES (
        transaction_timestamp(), pg_current_xact_id()::text::bigint, (context ->> 'actor')::uuid,
        (context ->> 'on_behalf_of')::uuid, coalesce((context ->> 'superuser')::boolean, false),
        coalesce(context ->> 'service', ''), coalesce(context ->> 'capability', ''),
        coalesce(context ->> 'channel', 'sql'), coalesce(context ->> 'request_id', ''),
        coalesce(context ->> 'record_id', ''), coalesce(context ->> 'reason', ''),
        (coalesce(new_row, old_row) ->> 'organization_id')::uuid, TG_TABLE_NAME,
        coalesce(new_row, old_row) ->> TG_ARGV[0], TG_OP, before, after
    );
    RETURN NULL;
END $$;

CREATE FUNCTION trail_written_by_triggers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'only changes of rows write the audit trail' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION trail_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the audit trail stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
"""
_REVERSE = """
DROP FUNCTION trail_record() CASCADE;
DROP FUNCTION trail_mask(jsonb, text);
DROP FUNCTION trail_written_by_triggers() CASCADE;
DROP FUNCTION trail_stays() CASCADE;
"""

BEFORE: list[migrations.RunSQL] = []
AFTER = [migrations.RunSQL(FUNCTIONS, _REVERSE)]
