"""The relay's statements, in one readable place. They run on its own connection, in autocommit."""

from typing import Final

# Waiting rows of some buckets, each bucket from its low-water mark on, with the state of each row's
# predecessor and the limits of the snapshot that all of it was read in (one row even where nothing waits).
# ``held`` names streams to leave out; ``not_before`` holds back poison that is backing off.
READ: Final = """
WITH snapshot AS MATERIALIZED (
    SELECT pg_snapshot_xmin(s)::text::bigint AS xmin, pg_snapshot_xmax(s)::text::bigint AS xmax
    FROM pg_current_snapshot() s
)
SELECT snapshot.xmin, snapshot.xmax, waiting.*
FROM snapshot LEFT JOIN (
    SELECT w.id, w.bucket, w.position, w.sequence, w.aggregate_type, w.aggregate_id, w.event_type,
           w.event_version, w.data, w.size, w.bytes, w.created_at, w.correlation_id, w.causation_id,
           w.traceparent, w.processing_attempts, w.resolution,
           p.id AS predecessor, p.status AS predecessor_status,
           extract(epoch FROM p.not_before - clock_timestamp())::float AS predecessor_wait
    FROM unnest(%(buckets)s::smallint[], %(marks)s::bigint[]) AS b (bucket, mark)
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT o.*, octet_length(o.data) AS size,
                   sum(octet_length(o.data)) OVER (ORDER BY o.position) AS bytes
            FROM (SELECT *, payload::text AS data FROM event_outbox) o
            WHERE o.bucket = b.bucket AND o.position > b.mark AND o.status IN ('pending', 'processing')
              AND (o.not_before IS NULL OR o.not_before <= clock_timestamp())
              AND o.aggregate_type || ':' || o.aggregate_id <> ALL (%(held)s::text[])
            ORDER BY o.position
            LIMIT %(rows)s
        ) o
        WHERE o.bytes - o.size < %(bytes)s
    ) w
    LEFT JOIN event_outbox p
      ON p.aggregate_type = w.aggregate_type AND p.aggregate_id = w.aggregate_id
     AND p.sequence = w.sequence - 1
) waiting ON true
ORDER BY waiting.position
"""

PUBLISHED: Final = """
UPDATE event_outbox o
SET status = 'published', processed_at = clock_timestamp(), published_message_id = d.message_id,
    not_before = NULL
FROM unnest(%(ids)s::uuid[], %(message_ids)s::text[]) AS d (id, message_id)
WHERE o.id = d.id AND o.status IN ('pending', 'processing')
"""

POISONED: Final = """
UPDATE event_outbox
SET status = %(status)s, processing_attempts = processing_attempts + 1, last_error = %(reason)s,
    not_before = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE id = %(id)s AND status IN ('pending', 'processing')
"""

# Which of the rows that block a stream still do.
STILL_BLOCKING: Final = "SELECT id FROM event_outbox WHERE id = ANY (%(ids)s::uuid[]) AND status = 'failed'"

# One relay's view of all: how many relays there are, and which buckets somebody owns.
CENSUS: Final = """
SELECT count(*) FILTER (WHERE classid = %(present)s::oid) AS relays,
       coalesce(array_agg(objid::bigint) FILTER (WHERE classid = %(bucket)s::oid), '{}') AS owned
FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid IN (%(present)s::oid, %(bucket)s::oid)
"""

CLAIM: Final = "SELECT b FROM unnest(%(buckets)s::int[]) b WHERE pg_try_advisory_lock(%(space)s, b)"
RELEASE: Final = "SELECT pg_advisory_unlock(%(space)s, b) FROM unnest(%(buckets)s::int[]) b"

LAYOUT: Final = "SELECT ordering, buckets FROM event_relay_layout WHERE id = 1"
SET_LAYOUT: Final = """
INSERT INTO event_relay_layout (id, ordering, buckets, changed_at)
VALUES (1, %(ordering)s, %(buckets)s, clock_timestamp())
ON CONFLICT (id) DO UPDATE
SET ordering = EXCLUDED.ordering, buckets = EXCLUDED.buckets, changed_at = EXCLUDED.changed_at
"""
DRAINED: Final = """
SELECT NOT EXISTS (SELECT 1 FROM event_outbox WHERE status IN ('pending', 'processing', 'failed'))
"""
