"""Measure lists of partners and the ledger of exposure.

- a page of 50 among many partners, with filters: statements, milliseconds, and the plan of the query;
- holds a second, by eight threads, on one account and on a thousand;
- random operations of the ledger, after which every sum is recomputed.

    python -m benchmarks.partners [--partners 100000] [--holds 400] [--operations 10000] [--json]
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["THROTTLE_READ"] = "1000000"
os.environ["LOG_LEVEL"] = "ERROR"

THREADS = 8
QUERIES = {
    "newest": {},
    "status": {"status": "active"},
    "state": {"status": "active", "state_code": "24"},
    "KYC ends": {"kyc_expiry_date__lte": "2099-12-31", "status": "suspended"},
    "role": {"role": "seller"},
    "rare role": {"role": "broker"},
    "name": {"search": "Firm 4711"},
    "in order of names": {"ordering": "legal_name"},
    "changed since": {"updated_after": "2026-01-01T00:00:00Z"},
}
LIMIT = Decimal(10) ** 15


def fill(count: int) -> None:
    """Write partners with a role and a credit account each, as onboarding leaves them."""
    from django.db import connection

    statements = (
        """
        INSERT INTO partner_partner (id, version, created_at, updated_at, legal_name, trade_name, legal_form, country,
            status, code, line1, city, state_code, postal_code, kyc_expiry_date, pan_hash, contact_name, contact_email,
            contact_phone, preferred_currency, can_arrange_transport, has_quality_lab, commodities)
        SELECT gen_random_uuid(), 1, now() - n * interval '1 minute', now() - n * interval '1 second',
            'Firm ' || n, '', 'partnership', 'IN',
            CASE WHEN n %% 20 = 0 THEN 'suspended' ELSE 'active' END, 'BP-' || n, 'Station Road', 'Gondal',
            (ARRAY['24', '27', '33', '36'])[1 + n %% 4], '360311', current_date + 365, md5(n::text), '', '', '',
            'INR', false, false, '{}'
        FROM generate_series(1, %s) AS n
        """,
        """
        INSERT INTO partner_partnerrole (id, version, created_at, updated_at, partner_id, role, live)
        SELECT gen_random_uuid(), 1, now(), now(), id,
            CASE WHEN code LIKE '%%555' THEN 'broker' WHEN code LIKE '%%5' THEN 'buyer' ELSE 'seller' END, true
        FROM partner_partner
        """,
        """
        INSERT INTO partner_creditaccount (id, version, created_at, updated_at, partner_id, currency, on_hold, holds,
            contracted, mark, delivered_unpaid, advances, margin)
        SELECT id, 1, now(), now(), id, 'INR', false, 0, 0, 0, 0, 0, 0 FROM partner_partner
        WHERE status = 'active' LIMIT 1000
        """,
        """
        INSERT INTO partner_creditlimit (id, version, created_at, updated_at, partner_id, account_id, amount,
            valid_from, payment_terms_days, collateral_value, collateral_rate, on_hold, status, base_version, reason)
        SELECT gen_random_uuid(), 1, now(), now(), id, id, 1e15, current_date, 0, 0, 0, false, 'approved', 1, 'none'
        FROM partner_creditaccount
        """,
    )
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statements[0], [count])
        for statement in statements[1:]:
            cursor.execute(statement.replace("%%", "%"))
        cursor.execute("RESET session_replication_role")
        cursor.execute(
            "ANALYZE partner_partner, partner_partnerrole, partner_creditaccount, partner_creditlimit"
        )


def lists(rounds: int = 15) -> list[dict[str, Any]]:
    """Read a page of each query; the plan is that of the statement that reads the rows."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from config.testing import active_user, signed_in_client

    person = active_user("INTERNAL", user_type="INTERNAL", organization_id=uuid4())
    client = signed_in_client(person)
    found = []
    for name, query in QUERIES.items():
        client.read("/api/v1/partners", query)
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            answer = client.read("/api/v1/partners", query)
            times.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 200, answer.content
        with CaptureQueriesContext(connection) as captured:
            rows = len(client.read("/api/v1/partners", query).json()["results"])
        page = next(
            each["sql"] for each in captured if "LIMIT" in each["sql"] and "partner_partner" in each["sql"]
        )
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + page)
            plan = [line for (line,) in cursor.fetchall()]
        steps = [line.strip().removeprefix("->  ").split("  (")[0] for line in plan]
        scans = [step for step in steps if "Scan" in step or step.endswith("Sort")]
        found.append(
            {
                "query": name,
                "rows": rows,
                "statements": len(captured),
                "ms": round(statistics.median(times), 1),
                "plan": "; ".join(scans),
            }
        )
    return found


def hold(partner_id: Any) -> None:
    """Take one hold in a transaction of its own."""
    from django.db import connection, transaction

    from apps.partners.models import Partner
    from apps.partners.services import exposure
    from erp.access import SYSTEM

    try:
        with transaction.atomic():
            exposure.take_hold(
                actor=SYSTEM,
                partner=Partner(pk=partner_id),
                amount=Decimal(1),
                source=exposure.Source("reservation", uuid4()),
                entry_key=str(uuid4()),
            )
    finally:
        connection.close()


def holds(count: int, accounts: int) -> dict[str, Any]:
    """Take holds by threads on so many accounts; return how many a second."""
    from apps.partners.models import CreditAccount

    keys = list(CreditAccount.objects.order_by("pk").values_list("pk", flat=True)[:accounts])
    dice = random.Random(1)
    chosen = [dice.choice(keys) for _ in range(count)]
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(hold, chosen))
    return {
        "accounts": len(keys),
        "holds": count,
        "a_second": round(count / (time.perf_counter() - started), 1),
    }


def operations(count: int) -> dict[str, Any]:
    """Play random operations on one account and recompute every sum."""
    from django.db import transaction

    from apps.partners.ledgers import find_mismatches
    from apps.partners.models import CreditAccount, Partner
    from apps.partners.services import exposure
    from erp.access import SYSTEM
    from erp.errors import DomainError

    partner = Partner(pk=CreditAccount.objects.order_by("-pk").values_list("pk", flat=True)[0])
    steps = (
        "take_hold",
        "release_hold",
        "contract",
        "deliver",
        "pay",
        "advance",
        "mark",
        "set_margin",
        "cancel_source",
    )
    dice, sources, refused = random.Random(7), [exposure.Source("trade", uuid4()) for _ in range(40)], 0
    started = time.perf_counter()
    for number in range(count):
        step = dice.choice(steps)
        amount = {"amount": Decimal(dice.randrange(1, 10**9)) / 100}
        more = {} if step in ("release_hold", "cancel_source") else amount
        try:
            with transaction.atomic():
                getattr(exposure, step)(
                    actor=SYSTEM, partner=partner, source=dice.choice(sources), entry_key=str(number), **more
                )
        except DomainError:
            refused += 1
    seconds = time.perf_counter() - started
    return {
        "operations": count,
        "refused": refused,
        "a_second": round(count / seconds, 1),
        "mismatches": len(list(find_mismatches())),
    }


def main() -> int:
    """Measure and print; 1 where a sum is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--partners", type=int, default=100_000)
    parser.add_argument("--holds", type=int, default=400, help="on one account, and on a thousand")
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        fill(options.partners)
        found = {
            "partners": options.partners,
            "lists": lists(),
            "holds": [holds(options.holds, 1), holds(options.holds, 1000)],
            "operations": operations(options.operations),
        }
    if options.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 1 if found["operations"]["mismatches"] else 0


def _print(found: dict[str, Any]) -> None:
    print(f"pages of 50 among {found['partners']:,} partners")
    for line in found["lists"]:
        print(f"  {line['query']:18} {line['statements']} statements {line['ms']:8.1f} ms   {line['plan']}")
    for line in found["holds"]:
        print(f"holds on {line['accounts']} accounts: {line['a_second']} a second")
    line = found["operations"]
    print(
        f"{line['operations']:,} operations: {line['a_second']} a second, {line['refused']} refused,"
        f" {line['mismatches']} wrong sums"
    )


if __name__ == "__main__":
    sys.exit(main())
