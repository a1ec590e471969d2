"""The hard filters: one statement over the live pairs of a subject, with the first filter that each pair fails.

Amounts are numerics that are only compared, added and multiplied, or divided to whole numbers; so nothing is rounded
but where the page says so. Quantities are in steps of the offer's unit: packages, or thousandths of a unit of weight.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.matching.services.rule_reading import Rules
from erp import clock

HIDDEN: Final = frozenset({"partner", "visibility", "route", "risk"})  # filters that tell of the other side
NOT_ELIGIBLE: Final = "not_eligible"  # what partners read instead
POOL, DROPPED = "pool", "dropped"  # beside the filters, what few partners may make up
FEW_PARTNERS: Final = 3
EARTH_M: Final = 6_371_008.8
METRES_PER_DEGREE: Final = 111_194.0  # of latitude, a little less than there are

# Great circle in whole metres between the columns {a} and {b}.
_METRES: Final = """round(2 * {earth} * asin(least(1, sqrt(
    power(sin(radians({b}.latitude::float8 - {a}.latitude::float8) / 2), 2)
    + cos(radians({a}.latitude::float8)) * cos(radians({b}.latitude::float8))
    * power(sin(radians({b}.longitude::float8 - {a}.longitude::float8) / 2), 2)))))::bigint"""


def _metres(a: str, b: str) -> str:
    return _METRES.format(a=a, b=b, earth=EARTH_M)


_PLACES: Final = "jsonb_to_recordset(wp.places) AS x(lat numeric, lon numeric, m bigint)"

# Of the requirements that a run is about places are taken apart once, and not for each of their offers.
_OWN_PLACES: Final = f"""
spots AS MATERIALIZED (
    SELECT wp.requirement_id AS of_want, x.* FROM matching_wantprofile wp, {_PLACES}
    WHERE wp.requirement_id = ANY(%(wants)s)
),"""

# Live pairs of suitable goods. {subjects} chooses the listings that the run is about. Every pair of the market passes
# here, so its rows are narrow: what only those that pass the early filters need is read for those. The goods are those
# of the rules anyway; named as values, the planner knows how many offers there are of them.
_POOL: Final = f"""
rules AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rules)s::jsonb) AS r(
        commodity_id uuid, min_part int, default_target int, include_tax boolean, freight_rate numeric, road int,
        must_have text[])
),
market AS MATERIALIZED (
    SELECT w.id AS requirement_id, o.id AS availability_id, w.buyer_partner_id, o.seller_partner_id,
        o.visibility AS offer_visibility, w.visibility AS want_visibility,
        CASE WHEN o.country = w.country THEN op.sell_home ELSE op.sell_abroad END AS sell,
        CASE WHEN o.country = w.country THEN op.buy_home ELSE op.buy_abroad END AS buy,
        CASE
            WHEN w.origin_country IS NOT NULL AND w.origin_country <> o.country THEN 'place'
            WHEN w.origin_state_codes <> '{{{{}}}}' AND NOT o.state_code = ANY(w.origin_state_codes) THEN 'place'
            WHEN wp.places <> '[]' AND NOT EXISTS (
                SELECT FROM ({{places}}) l, LATERAL (SELECT l.lat AS latitude, l.lon AS longitude) q
                WHERE op.latitude BETWEEN l.lat - l.m / {METRES_PER_DEGREE} AND l.lat + l.m / {METRES_PER_DEGREE}
                    AND {_metres("op", "q")} <= l.m
            ) THEN 'place'
            WHEN o.available_from_date > w.delivery_until_date + w.flexibility_days
                OR o.available_until_date < w.delivery_from_date - w.flexibility_days THEN 'window'
        END AS failed
    FROM {{sources}}
    JOIN rules r ON r.commodity_id = o.commodity_id
    WHERE {{subjects}} AND o.commodity_id = ANY(%(goods)s)
        AND o.status = 'ACTIVE' AND w.status IN ('ACTIVE', 'PARTIALLY_FULFILLED')
        AND (o.expires_at IS NULL OR o.expires_at > %(now)s) AND (w.expires_at IS NULL OR w.expires_at > %(now)s)
        AND op.listing_version = o.version AND wp.listing_version = w.version
        AND (%(states)s::text[] IS NULL OR o.state_code = ANY(%(states)s::text[]))
        AND (w.commodity_id <> o.commodity_id OR (
            (w.variety_ids = '{{{{}}}}' OR o.variety_id = ANY(w.variety_ids))
            AND (w.crop_years = '{{{{}}}}' OR o.crop_year = ANY(w.crop_years))
            AND (w.grade_id IS NULL OR o.grade_id = w.grade_id)))
)"""

# From the requirement's side offers are found by the index of the market; from the offer's, requirements by the goods.
_FROM_WANT: Final = """requirement_requirement w
    JOIN matching_wantprofile wp ON wp.requirement_id = w.id
    JOIN availability_availability o ON o.commodity_id = ANY(wp.commodity_ids)
    JOIN matching_offerprofile op ON op.availability_id = o.id"""
_FROM_OFFER: Final = """availability_availability o
    JOIN matching_offerprofile op ON op.availability_id = o.id
    JOIN matching_wantprofile wp ON wp.commodity_ids @> ARRAY[o.commodity_id]
    JOIN requirement_requirement w ON w.id = wp.requirement_id"""

# What a pair that passes is judged and shown by; not the wide columns, of which all that is needed is known by then.
_KEPT: Final = """
    s.requirement_id, s.availability_id, s.buyer_partner_id, s.seller_partner_id, s.commodity_id, s.variety_id,
    s.same_goods, s.unit, s.counted, s.scale, s.open, s.want, s.demand, s.need, s.take, s.pref,
    s.total_quantity, s.total_weight_kg, s.quoted_kg, s.equalised_kg, s.freight_kg, s.tax_kg, s.target_kg,
    s.ceiling_kg, s.delivered, s.distance_m, s.reach, s.available_from_date, s.available_until_date,
    s.delivery_from_date, s.delivery_until_date, s.delivery_term_id, s.payment_term_id, s.weighment_term_id,
    s.passing_term_id, s.delivery_term_ids, s.payment_term_ids, s.weighment_term_ids, s.passing_term_ids,
    s.flags, s.lots, s.want_terms_version, s.offer_terms_version, s.listed_at, s.live_since, s.offer_created_at,
    s.offer_expires_at, s.want_expires_at, s.urgency, s.intent, s.own, s.want_version, s.offer_version,
    s.allow_partial, s.smallest_credit"""

# Whether staff have asked for the pair before, so that it may stay.
_BY_STAFF: Final = """EXISTS (
    SELECT FROM matching_match m JOIN matching_matchrun u ON u.id = m.run_id
    WHERE m.requirement_id = p.requirement_id AND m.availability_id = p.availability_id
        AND m.status IN ('PROPOSED', 'APPROVED') AND u.by_staff)"""

# What is asked of partners is asked once for each two of them. Sets in brackets before IS are looked up by their hash,
# whatever the planner expects of them; a join could become a loop over all of both sides.
_REST: Final = f""",
couples AS MATERIALIZED (
    SELECT c.*,
        coalesce((SELECT g.group_id FROM partner_groupmember g WHERE g.partner_id = c.buyer_partner_id),
            c.buyer_partner_id)
        = coalesce((SELECT g.group_id FROM partner_groupmember g WHERE g.partner_id = c.seller_partner_id),
            c.seller_partner_id) AS grouped,
        (SELECT true FROM risk_pairblock b
            WHERE b.low_id = least(c.buyer_partner_id, c.seller_partner_id)
                AND b.high_id = greatest(c.buyer_partner_id, c.seller_partner_id)
                AND b.freed_at IS NULL AND b.from_at <= %(now)s AND (b.until_at IS NULL OR b.until_at > %(now)s)
            LIMIT 1) AS blocked
    FROM (SELECT DISTINCT buyer_partner_id, seller_partner_id FROM market) c
    WHERE (SELECT x.status = 'active' AND x.kyc_expiry_date >= %(today)s
            FROM partner_partner x WHERE x.id = c.seller_partner_id)
        AND (SELECT x.status = 'active' AND x.kyc_expiry_date >= %(today)s
            FROM partner_partner x WHERE x.id = c.buyer_partner_id)
),
rights AS MATERIALIZED (
    SELECT h.partner_id, h.name FROM (
        SELECT buyer_partner_id AS partner_id FROM couples UNION SELECT seller_partner_id FROM couples
    ) c JOIN partner_tradepermission h ON h.partner_id = c.partner_id
    WHERE h.valid_from <= %(today)s AND (h.valid_to IS NULL OR h.valid_to >= %(today)s)
),
early AS MATERIALIZED (
    SELECT p.requirement_id, p.availability_id, p.buyer_partner_id, p.seller_partner_id, CASE
        WHEN (p.buyer_partner_id, p.seller_partner_id) IN (
            SELECT c.buyer_partner_id, c.seller_partner_id FROM couples c WHERE c.grouped) THEN 'partner'
        WHEN (p.buyer_partner_id, p.seller_partner_id) IN (
            SELECT c.buyer_partner_id, c.seller_partner_id FROM couples c WHERE c.blocked
        ) AND NOT EXISTS (
            SELECT FROM risk_riskoverride v
            WHERE v.partner_low_id = least(p.buyer_partner_id, p.seller_partner_id)
                AND v.partner_high_id = greatest(p.buyer_partner_id, p.seller_partner_id)
                AND v.status = 'GRANTED' AND v.starts_at <= %(now)s AND v.expires_at > %(now)s
                AND 'pair.blocked' = ANY(v.codes)
                AND (v.requirement_id IS NULL OR v.requirement_id = p.requirement_id)
                AND (v.availability_id IS NULL OR v.availability_id = p.availability_id)
        ) THEN 'partner'
        WHEN NOT (p.offer_visibility IN ('PUBLIC', 'MATCHED_ONLY') OR (p.offer_visibility = 'RESTRICTED' AND EXISTS (
                SELECT FROM availability_invitation i
                WHERE i.availability_id = p.availability_id AND i.partner_id = p.buyer_partner_id))
            OR (p.offer_visibility = 'INTERNAL' AND (%(staff)s OR {_BY_STAFF}))) THEN 'visibility'
        WHEN NOT (p.want_visibility IN ('PUBLIC', 'MATCHED_ONLY') OR (p.want_visibility = 'RESTRICTED' AND EXISTS (
                SELECT FROM requirement_invitation i
                WHERE i.requirement_id = p.requirement_id AND i.partner_id = p.seller_partner_id))
            OR (p.want_visibility = 'INTERNAL' AND (%(staff)s OR {_BY_STAFF}))) THEN 'visibility'
        WHEN ((p.seller_partner_id, p.sell) IN (SELECT h.partner_id, h.name FROM rights h)) IS NOT TRUE
            OR ((p.buyer_partner_id, p.buy) IN (SELECT h.partner_id, h.name FROM rights h)) IS NOT TRUE THEN 'route'
        ELSE p.failed
    END AS failed
    FROM market p
    WHERE ((p.buyer_partner_id, p.seller_partner_id) IN (
        SELECT c.buyer_partner_id, c.seller_partner_id FROM couples c)) IS TRUE
),
met AS (
    SELECT y.requirement_id, y.availability_id, y.buyer_partner_id, y.seller_partner_id,
        o.commodity_id, w.commodity_id = o.commodity_id AS same_goods, o.variety_id,
        o.country AS offer_country, w.country AS want_country, op.latitude, op.longitude,
        wp.latitude AS want_latitude, wp.longitude AS want_longitude, (wp.places -> 0 ->> 'm')::bigint AS reach,
        o.available_from_date, o.available_until_date, w.delivery_from_date, w.delivery_until_date,
        o.available_quantity, o.total_quantity, o.withdrawn_quantity, o.total_weight_kg,
        o.min_order_quantity, o.allow_partial, o.unit, o.unit = w.unit AND op.counted AND wp.counted AS same_count,
        op.counted, wp.counted AS want_counted, w.min_quantity, w.preferred_quantity, w.max_quantity,
        w.committed_quantity, w.purchased_quantity, w.tolerance_percent, w.single_lot, wp.gram_per_unit,
        op.quality, op.beyond_limits, wp.bands, op.steps, op.quoted, op.equalised, op.gst, op.price_problem,
        wp.price_problem AS want_price_problem, op.quantity_problem, wp.quantity_problem AS want_quantity_problem,
        op.delivered, wp.delivered AS want_delivered, wp.target, wp.ceiling, wp.smallest_credit, op.flags, op.lots,
        o.delivery_term_id, o.payment_term_id, o.weighment_term_id, o.passing_term_id,
        w.delivery_term_ids, w.payment_term_ids, w.weighment_term_ids, w.passing_term_ids,
        o.terms_version AS offer_terms_version, w.terms_version AS want_terms_version,
        o.version AS offer_version, w.version AS want_version,
        o.listed_at, w.live_since, o.created_at AS offer_created_at, o.expires_at AS offer_expires_at,
        w.expires_at AS want_expires_at, w.urgency, w.intent, o.location_id,
        (SELECT p.location_id FROM requirement_deliveryplace p
            WHERE p.requirement_id = w.id ORDER BY p.position LIMIT 1) AS want_location_id,
        r.min_part, r.default_target, r.include_tax, r.freight_rate, r.road, r.must_have
    FROM early y
    JOIN availability_availability o ON o.id = y.availability_id
    JOIN matching_offerprofile op ON op.availability_id = y.availability_id
    JOIN requirement_requirement w ON w.id = y.requirement_id
    JOIN matching_wantprofile wp ON wp.requirement_id = y.requirement_id
    JOIN rules r ON r.commodity_id = o.commodity_id
    WHERE y.failed IS NULL
    OFFSET 0
),
sized AS (
    SELECT e.*, k.scale, k.open, g.want, g.demand,
        greatest(least(coalesce(e.min_order_quantity * k.scale, 0), k.open), least(g.least, g.want), 1) AS need,
        CASE WHEN e.allow_partial THEN least(k.open, g.want) ELSE k.open END AS take,
        g.preferred, h.own,
        CASE WHEN e.latitude IS NOT NULL AND e.want_latitude IS NOT NULL THEN {_metres("e", "d")} END AS distance_m
    FROM met e
    CROSS JOIN LATERAL (SELECT e.want_latitude AS latitude, e.want_longitude AS longitude) d
    CROSS JOIN LATERAL (
        -- What this pair has reserved itself counts as open, and isn't taken off what is wanted.
        SELECT coalesce(sum(v.open_quantity) FILTER (
                WHERE v.availability_id = e.availability_id), 0) AS own,
            coalesce(sum(v.weight_kg) FILTER (WHERE v.availability_id <> e.availability_id), 0) AS others_kg
        FROM availability_reservation v
        WHERE v.requirement_id = e.requirement_id AND v.status = 'HELD' AND v.expires_at > %(now)s
            AND (v.bound_negotiation_id IS NOT NULL OR v.match_id IS NOT NULL
                OR (v.availability_id = e.availability_id AND v.negotiation_id IS NOT NULL))
    ) h
    CROSS JOIN LATERAL (
        SELECT CASE WHEN e.counted THEN 1 ELSE 1000 END AS scale,
            (e.available_quantity + h.own) * CASE WHEN e.counted THEN 1 ELSE 1000 END AS open,
            greatest(e.max_quantity - e.committed_quantity - e.purchased_quantity, 0) AS left_over,
            e.total_weight_kg * 1000 AS grams
    ) k
    CROSS JOIN LATERAL (
        SELECT least(k.left_over, CASE WHEN e.single_lot THEN e.min_quantity
                WHEN e.want_counted THEN ceil(e.max_quantity * e.min_part * 0.0001)
                ELSE ceil(e.max_quantity * e.min_part * 0.1) * 0.001 END) AS least_part,
            least(e.preferred_quantity, k.left_over) AS preferred_part
    ) f
    CROSS JOIN LATERAL (
        SELECT CASE WHEN e.same_count THEN k.left_over
                ELSE div(k.left_over * e.gram_per_unit * e.total_quantity * k.scale, k.grams) END AS want,
            CASE WHEN e.same_count THEN f.least_part ELSE
                div(f.least_part * e.gram_per_unit * e.total_quantity * k.scale, k.grams)
                + CASE WHEN mod(f.least_part * e.gram_per_unit * e.total_quantity * k.scale, k.grams) > 0
                    THEN 1 ELSE 0 END END AS least,
            CASE WHEN e.same_count THEN f.preferred_part
                ELSE div(f.preferred_part * e.gram_per_unit * e.total_quantity * k.scale, k.grams) END AS preferred,
            CASE WHEN e.same_count THEN trunc(e.max_quantity * (100 + e.tolerance_percent) * 0.01
                    - e.committed_quantity - e.purchased_quantity
                    - coalesce(div(h.others_kg * 1000, nullif(e.gram_per_unit, 0)), 0))
                ELSE div(((e.max_quantity * (100 + e.tolerance_percent) * 0.01
                    - e.committed_quantity - e.purchased_quantity) * e.gram_per_unit - h.others_kg * 1000)
                    * e.total_quantity * k.scale, k.grams) END AS demand
    ) g
    OFFSET 0
),
priced AS (
    SELECT s.*, greatest(s.need, least(s.preferred, s.want)) AS pref, q.quoted_kg, q.equalised_kg, n.freight_kg,
        CASE WHEN s.include_tax THEN round(q.equalised_kg * s.gst, 8) ELSE 0 END AS tax_kg,
        CASE WHEN s.include_tax THEN round(greatest(q.quoted_kg, q.equalised_kg) * s.gst, 8) ELSE 0 END
            + n.freight_kg + greatest(q.quoted_kg, q.equalised_kg) AS capped_kg,
        c.ceiling + CASE WHEN s.include_tax THEN round(c.ceiling * s.gst, 8) ELSE 0 END AS ceiling_kg,
        c.target + CASE WHEN s.include_tax THEN round(c.target * s.gst, 8) ELSE 0 END AS target_kg
    FROM sized s
    CROSS JOIN LATERAL (SELECT 1 + width_bucket(
        s.take * CASE WHEN s.counted THEN 1 ELSE 0.001 END, s.steps) AS step) b
    CROSS JOIN LATERAL (SELECT s.quoted[b.step] AS quoted_kg, s.equalised[b.step] AS equalised_kg) q
    CROSS JOIN LATERAL (
        SELECT s.ceiling, coalesce(s.target, trunc(s.ceiling * s.default_target * 0.0001, 8)) AS target
    ) c
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT s.want_delivered OR s.delivered THEN 0::numeric
            WHEN s.offer_country <> s.want_country THEN NULL
            ELSE s.freight_rate * 0.001 * coalesce(
                (SELECT ceil(x.km) FROM location_distance x
                    WHERE x.mode = 'ROAD' AND x.valid_from <= %(today)s
                        AND ((x.origin_id = s.location_id AND x.destination_id = s.want_location_id)
                            OR (x.origin_id = s.want_location_id AND x.destination_id = s.location_id))
                    ORDER BY (x.origin_id = s.location_id) DESC, x.valid_from DESC LIMIT 1),
                ceil(s.distance_m * s.road * 0.0000001)) END AS freight_kg
    ) n
    OFFSET 0
),
judged AS MATERIALIZED (
    SELECT {_KEPT}, CASE
        WHEN s.quantity_problem <> '' OR s.want_quantity_problem <> '' THEN 'quantity'
        WHEN s.take < s.need OR s.take <= 0 THEN 'quantity'
        WHEN NOT s.allow_partial AND (s.take <> (s.total_quantity - s.withdrawn_quantity) * s.scale
            OR s.take > s.demand OR s.want <= 0) THEN 'quantity'
        WHEN s.beyond_limits OR EXISTS (
            SELECT FROM jsonb_to_recordset(s.bands) AS b(
                key text, code text, required boolean, is_code boolean, min bigint, max bigint, codes jsonb),
                LATERAL (SELECT s.quality -> b.key AS found) v
            WHERE (v.found IS NULL AND (b.required OR b.code = ANY(s.must_have)))
                OR (b.required AND NOT coalesce(CASE
                    WHEN b.is_code THEN b.codes = '[]' OR (v.found -> 'c') <@ b.codes
                    ELSE ((v.found -> 'lo')::bigint >= b.min OR b.min IS NULL)
                        AND ((v.found -> 'hi')::bigint <= b.max OR b.max IS NULL) END, false))
        ) THEN 'quality'
        WHEN s.price_problem <> '' OR s.want_price_problem <> '' THEN 'price'
        WHEN s.quoted_kg IS NOT NULL AND (s.freight_kg IS NULL OR s.capped_kg > s.ceiling_kg) THEN 'price'
    END AS failed_late
    FROM priced s
),
passed AS MATERIALIZED (
    SELECT s.*, a.passes, a.assessments,
        a.worst OR s.own = 0 AND (s.smallest_credit IS NULL OR s.smallest_credit > 0 AND coalesce((
            SELECT CASE WHEN c.on_hold THEN 0 ELSE coalesce((
                    SELECT l.amount + round(l.collateral_value * l.collateral_rate, 2) FROM partner_creditlimit l
                    WHERE l.account_id = c.id AND l.status = 'approved' AND l.valid_from <= %(today)s
                        AND (l.valid_to IS NULL OR l.valid_to >= %(today)s)), 0) END
                - greatest(c.holds + round(c.contracted * %(factor)s, 2) + c.mark + c.delivered_unpaid
                    + c.advances - c.margin, 0)
            FROM partner_creditaccount c WHERE c.partner_id = s.buyer_partner_id), 0) < s.smallest_credit)
            AS risky
    FROM judged s
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(k.status IN ('FAIL', 'REVIEW')), false) AS worst,
            count(*) FILTER (WHERE k.status = 'PASS') = 4 AS passes, array_agg(k.assessment_id) AS assessments
        FROM (
            SELECT x.status, x.assessment_id FROM risk_riskstatus x
                WHERE x.requirement_id = s.requirement_id AND x.side = 'BUYER' AND x.valid_until > %(now)s
            UNION ALL SELECT x.status, x.assessment_id FROM risk_riskstatus x
                WHERE x.availability_id = s.availability_id AND x.side = 'SELLER' AND x.valid_until > %(now)s
            UNION ALL SELECT x.status, x.assessment_id FROM risk_riskstatus x
                WHERE x.partner_id = s.buyer_partner_id AND x.side = 'BUYER' AND x.valid_until > %(now)s
            UNION ALL SELECT x.status, x.assessment_id FROM risk_riskstatus x
                WHERE x.partner_id = s.seller_partner_id AND x.side = 'SELLER' AND x.valid_until > %(now)s
        ) k
    ) a
    WHERE s.failed_late IS NULL
),
counted AS (
    SELECT jsonb_object_agg(c.failed, jsonb_build_array(c.number, c.partners)) AS counts FROM (
        SELECT coalesce(x.failed, 'pool') AS failed, coalesce(sum(x.number), 0) AS number,
            greatest(count(DISTINCT x.buyer_partner_id), count(DISTINCT x.seller_partner_id)) AS partners FROM (
            SELECT y.failed, y.buyer_partner_id, y.seller_partner_id, count(*) AS number FROM (
                SELECT failed, buyer_partner_id, seller_partner_id FROM early WHERE failed IS NOT NULL
                UNION ALL SELECT failed_late, buyer_partner_id, seller_partner_id FROM judged
                    WHERE failed_late IS NOT NULL
                UNION ALL SELECT CASE WHEN risky THEN 'risk' ELSE '' END, buyer_partner_id, seller_partner_id
                    FROM passed
            ) y GROUP BY 1, 2, 3
        ) x GROUP BY GROUPING SETS ((x.failed), ())
    ) c
)
"""

_COLUMNS: Final = """
    j.requirement_id, j.availability_id, j.buyer_partner_id, j.seller_partner_id, j.commodity_id, j.variety_id,
    j.same_goods, j.unit, j.counted, j.scale, j.open::bigint, j.want::bigint, j.demand::bigint, j.need::bigint,
    j.take::bigint, j.pref::bigint, j.total_quantity, j.total_weight_kg,
    (j.quoted_kg * 100000000)::bigint AS quoted, (j.equalised_kg * 100000000)::bigint AS equalised,
    (j.freight_kg * 100000000)::bigint AS freight, (j.tax_kg * 100000000)::bigint AS tax,
    (greatest(j.equalised_kg + j.freight_kg + j.tax_kg, 0) * 100000000)::bigint AS landed,
    (j.target_kg * 100000000)::bigint AS target, (j.ceiling_kg * 100000000)::bigint AS ceiling,
    j.delivered, j.distance_m, j.reach,
    least(coalesce(j.available_until_date, j.delivery_until_date), j.delivery_until_date)
        - greatest(j.available_from_date, j.delivery_from_date) + 1 AS shared_days,
    j.delivery_until_date - j.delivery_from_date + 1 AS days,
    CASE WHEN j.delivery_term_ids = '{}' THEN 0 WHEN j.delivery_term_id IS NULL THEN 2
        WHEN j.delivery_term_id = ANY(j.delivery_term_ids) THEN 1 ELSE 3 END AS delivery_term,
    CASE WHEN j.payment_term_ids = '{}' THEN 0 WHEN j.payment_term_id IS NULL THEN 2
        WHEN j.payment_term_id = ANY(j.payment_term_ids) THEN 1 ELSE 3 END AS payment_term,
    CASE WHEN j.weighment_term_ids = '{}' THEN 0 WHEN j.weighment_term_id IS NULL THEN 2
        WHEN j.weighment_term_id = ANY(j.weighment_term_ids) THEN 1 ELSE 3 END AS weighment_term,
    CASE WHEN j.passing_term_ids = '{}' THEN 0 WHEN j.passing_term_id IS NULL THEN 2
        WHEN j.passing_term_id = ANY(j.passing_term_ids) THEN 1 ELSE 3 END AS passing_term,
    j.passes, j.assessments, op.quality::text, wp.bands::text, j.flags, j.lots,
    j.want_terms_version, j.offer_terms_version, j.listed_at, j.live_since, j.offer_created_at,
    j.offer_expires_at, j.want_expires_at, j.urgency, j.intent, j.own > 0 AS reserved, j.want_version,
    j.offer_version, j.allow_partial"""

_SELECT: Final = f"""{_REST}
SELECT c.counts::text, j.* FROM counted c LEFT JOIN (
    SELECT {_COLUMNS} FROM passed j
        JOIN matching_offerprofile op ON op.availability_id = j.availability_id
        JOIN matching_wantprofile wp ON wp.requirement_id = j.requirement_id
    WHERE NOT j.risky
) j ON true"""

BY_WANT: Final = f"WITH {_OWN_PLACES}" + _POOL.format(
    sources=_FROM_WANT,
    places="SELECT * FROM spots WHERE of_want = w.id",
    subjects="w.id = ANY(%(wants)s) AND (%(offers)s::uuid[] IS NULL OR o.id = ANY(%(offers)s::uuid[]))",
) + _SELECT  # fmt: skip
BY_OFFER: Final = "WITH " + _POOL.format(
    sources=_FROM_OFFER,
    places=f"SELECT * FROM {_PLACES}",
    subjects="o.id = ANY(%(offers)s) AND w.intent <> 'PRICE_DISCOVERY_ONLY'",
) + _SELECT  # fmt: skip


@dataclass(frozen=True)
class Found:
    """How many live pairs there were, how many failed each filter first, and those that pass."""

    pool: int
    rejected: dict[str, int]
    few: list[
        str
    ]  # filters that pairs of fewer than three partners failed, and whether the pool is of so few
    rows: list[Any]


@dataclass(frozen=True)
class Scope:
    """Which pairs are asked for. ``staff``: whether internal listings count."""

    wants: Sequence[UUID] = ()
    offers: Sequence[UUID] = ()
    states: Sequence[str] = ()
    staff: bool = False
    by_offer: bool = False


def parameters(scope: Scope, rules: Mapping[UUID, Rules]) -> dict[str, Any]:
    """The parameters of the statement."""
    return {
        "wants": list(scope.wants),
        "offers": list(scope.offers) or None,
        "states": list(scope.states) or None,
        "goods": list(rules),
        "staff": scope.staff,
        "now": clock.now(),
        "today": clock.today(),
        "factor": settings.CREDIT_EXPOSURE_FACTOR,
        "rules": json.dumps([_row(key, each) for key, each in rules.items()]),
    }


def _row(commodity_id: UUID, rules: Rules) -> dict[str, Any]:
    body = rules.body
    return {
        "commodity_id": str(commodity_id),
        "min_part": body.min_part,
        "default_target": body.default_target,
        "include_tax": body.tax_view == "INCLUDE",
        "freight_rate": str(body.freight_rate),
        "road": body.road,
        "must_have": [code for code, rule in body.parameters.items() if rule.missing == "REJECT"],
    }


def are_alike(one: Mapping[UUID, Rules], other: Mapping[UUID, Rules]) -> bool:
    """Whether the same pairs pass by both rules, at the same prices."""
    first, second = (
        {key: (_row(key, each), each.pricing) for key, each in side.items()} for side in (one, other)
    )
    return first == second


def find(scope: Scope, rules: Mapping[UUID, Rules]) -> Found:
    """Run the filters over the pairs of a subject; one statement, whatever the number of pairs."""
    with connection.cursor() as cursor:
        cursor.execute(BY_OFFER if scope.by_offer else BY_WANT, parameters(scope, rules))
        names = [column.name for column in cursor.description][1:]
        rows = cursor.fetchall()
    counts = json.loads(rows[0][0] or "{}") if rows else {}
    pool = counts.get(POOL, [0, 0])[0]
    rejected = {name: number for name, (number, _) in counts.items() if name not in ("", POOL)}
    few = sorted(name for name, (_, partners) in counts.items() if name and partners < FEW_PARTNERS)
    found = [Row(dict(zip(names, row[1:], strict=True))) for row in rows if row[1] is not None]
    return Found(pool, rejected, few, found)


class Row:
    """A pair that passes the filters; its columns are attributes."""

    __slots__ = ("__dict__",)

    def __init__(self, columns: dict[str, Any]) -> None:
        self.__dict__ = columns


def reason_against(want_id: UUID, offer_id: UUID, rules: Mapping[UUID, Rules], *, staff: bool) -> str:
    """The first filter that a pair fails; empty where it passes, ``live`` where it isn't in the pool."""
    found = find(Scope(wants=[want_id], offers=[offer_id], staff=staff), rules)
    return next(iter(found.rejected), "" if found.rows else "live")
