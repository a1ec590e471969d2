"""Measure whether response times reveal that an account exists: known and unknown addresses in random order.

Each try is a request through the whole stack in this process: signing in with a wrong password, asking for a reset,
asking for a link again, signing up. The report has the medians of both kinds and D, the largest distance between
their distributions (Kolmogorov–Smirnov). From one response a guess is right in 0.5 + D / 2 of all cases.
Exit 1 where D is larger than chance and 0.15 explain.

    python -m benchmarks.sign_in_timing [--tries 100] [--json]      # the full run: --tries 1000
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["THROTTLE_PUBLIC_FACTOR"] = "1000000"
os.environ["LOG_LEVEL"] = "ERROR"

ALLOWED = 0.15  # distance that is borne beyond what chance explains
CHANCE = 1.63  # of Kolmogorov and Smirnov, for one percent


def distance(one: list[float], two: list[float]) -> float:
    """The largest distance between the two empirical distributions."""
    one, two = sorted(one), sorted(two)
    return max(
        abs(bisect_right(one, value) / len(one) - bisect_right(two, value) / len(two)) for value in one + two
    )


def measure(name: str, ask: Callable[[str], int], known: list[str], tries: int) -> dict[str, Any]:
    """Send requests for known and unknown addresses in random order."""
    turns = [("known", address) for address in known[:tries]]
    turns += [("unknown", f"nobody{number}@{name}.example") for number in range(tries)]
    random.Random(42).shuffle(turns)
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    statuses: dict[str, set[int]] = {"known": set(), "unknown": set()}
    for kind, address in turns:
        started = time.perf_counter()
        statuses[kind].add(ask(address))
        times[kind].append((time.perf_counter() - started) * 1000)
    apart = distance(times["known"], times["unknown"])
    limit = ALLOWED + CHANCE * math.sqrt(2 / tries)
    return {
        "endpoint": name,
        "known_ms": round(statistics.median(times["known"]), 2),
        "unknown_ms": round(statistics.median(times["unknown"]), 2),
        "spread_ms": round(statistics.pstdev(times["unknown"]), 2),
        "distance": round(apart, 3),
        "limit": round(limit, 3),
        "passed": apart <= limit and statuses["known"] == statuses["unknown"],
    }


def run(tries: int, only: str = "") -> list[dict[str, Any]]:
    """Measure every endpoint, or ``only`` the named one."""
    from django.contrib.auth.hashers import make_password

    from apps.accounts.models import User
    from config.testing import active_user
    from erp.api.testing import ApiClient
    from erp.ids import uuid7
    from erp.models import unguarded_writes

    encoded = make_password("a passphrase of the benchmark")
    partner_id = uuid7()
    known = []
    for _ in range(tries):
        person = active_user("SELLER", password=None, user_type="EXTERNAL", partner_id=partner_id)
        known.append(person.email)
    with unguarded_writes():
        User.objects.update(password=encoded)
    client = ApiClient()

    def endpoint(path: str, **body: Any) -> Callable[[str], int]:
        def ask(email: str) -> int:
            return int(client.write(f"/api/v1/auth/{path}", {**body, "email": email}).status_code)

        return ask

    person = {"full_name": "Asha Patel", "terms_version": "1", "is_adult": True}
    endpoints = {
        "login": endpoint("login", password="not the password"),
        "forgot-password": endpoint("forgot-password"),
        "resend": endpoint("verify-email/resend"),
        "register": endpoint("register", password="a long enough passphrase", **person),
    }
    for ask in endpoints.values():
        for _ in range(3):
            ask("warm@up.example")
    wanted = {name: ask for name, ask in endpoints.items() if only in ("", name)}
    return [measure(name, ask, known, tries) for name, ask in wanted.items()]


def main() -> int:
    """Measure and print a table; return 0 if no endpoint reveals it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=100, help="of each kind and endpoint")
    parser.add_argument("--only", default="", help="one endpoint, such as register")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        assert "Argon2" in settings.PASSWORD_HASHERS[0]
        call_command("migrate", verbosity=0)
        found = run(options.tries, options.only)
    if options.json:
        print(json.dumps({"tries": options.tries, "endpoints": found}))
    else:
        print(f"{options.tries} tries of each kind and endpoint, argon2id as in production")
        for line in found:
            print(
                f"{line['endpoint']:16} known {line['known_ms']:8.2f} ms   unknown {line['unknown_ms']:8.2f} ms"
                f"   spread {line['spread_ms']:7.2f} ms   D {line['distance']:.3f} of {line['limit']:.3f}"
                f"   {'ok' if line['passed'] else 'DIFFERS'}"
            )
    return 0 if all(line["passed"] for line in found) else 1


if __name__ == "__main__":
    sys.exit(main())
