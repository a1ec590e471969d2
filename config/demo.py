"""``make demo``: the main use case, end to end, on real servers and processes.

Starts the stack, runs a deal over HTTP (each write sent twice with the same key), sends invalid requests, kills
the relay with SIGKILL while events are published, and checks with its own Pub/Sub subscriber that every event
arrived, once per stream position and in order.
"""

import json
import os
import secrets
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyotp
from rich.console import Console
from rich.table import Table

from apps.commodities.seasons import season_of
from config.run import manage, prepare, processes
from erp.embedded import state
from erp.embedded.process import CannotStart, free_port
from erp.embedded.supervisor import Stack
from erp.embedded.tap import Received, Tap

PROJECT = os.environ.get("PUBSUB_PROJECT_ID") or "cotton-erp"
TOPIC = "cotton-erp-events"
STORM = 40  # reserve and release pairs while the relay is killed
TERMS = {
    "delivery_term": ("delivery-terms", "EX_GIN"),
    "payment_term": ("payment-terms", "ADVANCE_100"),
    "passing_term": ("passing-terms", "SELLER_PASS"),
    "weighment_term": ("weighment-terms", "ORIGIN_FINAL"),
}
QUALITY = {
    "staple_length": "29.2",
    "micronaire": "3.90",
    "strength": "28.6",
    "trash": "3.2",
    "moisture": "8.4",
}
BANDS = {
    "staple_length": {"min": "28.5", "max": "30.0", "preferred": "29.5"},
    "micronaire": {"min": "3.7", "max": "4.5", "preferred": "4.1"},
    "trash": {"max": "4.5", "preferred": "3.0"},
}
ARRIVAL_SECONDS = 30.0
SHOWN = 24  # events in the table
console = Console(highlight=False, width=max(Console().width, 110))


class DemoFailed(Exception):
    """Something didn't happen as it must."""


@dataclass
class DemoResponse:
    """The response to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body) if self.body else None


@dataclass
class Caller:
    """A user of the API."""

    base: str
    name: str
    journal: Table
    token: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> DemoResponse:
        """One request over HTTP."""
        request = urllib.request.Request(  # noqa: S310 - http to our own server
            self.base + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        for name, value in {"Content-Type": "application/json", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return DemoResponse(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return DemoResponse(error.code, dict(error.headers), error.read())

    def sign_in(self, email: str, password: str, seed: str = "") -> "Caller":
        """Take a token; who has an authenticator (its secret is ``seed``) types its code, too."""
        answer = self.send("POST", "/api/v1/auth/login", {"email": email, "password": password})
        self.note("POST", "/auth/login", answer, "asks for a code" if seed else "")
        if seed and answer.status == 200:
            # A code counts once: where this half minute's was used before, the next one's is taken already.
            for steps in (0, 1):
                code = pyotp.TOTP(seed).at(int(time.time()), counter_offset=steps)
                body = {"challenge_token": answer.json["challenge_token"], "code": code}
                second = self.send("POST", "/api/v1/auth/login/second-factor", body)
                if second.status == 200:
                    break
            answer = second
            self.note("POST", "/auth/login/second-factor", answer, "")
        if answer.status != 200:
            raise DemoFailed(f"{email} can't sign in: {answer.body.decode()}")
        self.token = answer.json["access_token"]
        return self

    def write(self, method: str, path: str, body: Any = None, *, if_match: str = "") -> Any:
        """A write as a careful client does it: one key, sent twice; the second answer must be the first again."""
        headers = {"Idempotency_Key": secrets.token_hex(16)} | ({"If_Match": if_match} if if_match else {})
        first = self.send(method, f"/api/v1{path}", body, **headers)
        again = self.send(method, f"/api/v1{path}", body, **headers)
        replayed = again.headers.get("Idempotency-Replayed") == "true"
        same = (first.status, first.body) == (again.status, again.body)
        self.note(method, path, first, "same answer, replayed" if same and replayed else "NOT REPLAYED")
        if first.status >= 300:
            raise DemoFailed(f"{method} {path}: {first.status} {first.body.decode()}")
        if not (same and replayed):
            raise DemoFailed(f"{method} {path}: the second answer was {again.status} {again.body.decode()}")
        return first.json | {"etag": first.headers.get("ETag", "")}

    def write_at_once(
        self, other: "Caller", path: str, body: Any
    ) -> tuple["Caller", "Caller", dict[str, Any]]:
        """Send one write as two callers at the same moment; return who got it, who didn't, and the answer."""
        answers: dict[str, DemoResponse] = {}

        def send(caller: Caller) -> None:
            answers[caller.name] = caller.send(
                "POST", f"/api/v1{path}", body, Idempotency_Key=secrets.token_hex(16)
            )

        threads = [threading.Thread(target=send, args=[caller]) for caller in (self, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first, last = sorted((self, other), key=lambda caller: answers[caller.name].status)
        for caller in (first, last):
            answer = answers[caller.name]
            caller.note("POST", path, answer, answer.json.get("code", "of two at the same moment the first"))
        if (answers[first.name].status, answers[last.name].status) != (201, 409):
            raise DemoFailed(f"POST {path}: two at once got {[each.status for each in answers.values()]}")
        return first, last, answers[first.name].json

    def refused(
        self, status: int, code: str, method: str, path: str, body: Any = None, **headers: str
    ) -> None:
        """A request that must be refused."""
        headers.setdefault("Idempotency_Key", secrets.token_hex(16))
        answer = self.send(method, f"/api/v1{path}", body, **{k: v for k, v in headers.items() if v})
        self.note(method, path, answer, answer.json["code"])
        problem = answer.headers.get("Content-Type") == "application/problem+json"
        if (answer.status, answer.json["code"], problem) != (status, code, True):
            raise DemoFailed(
                f"{method} {path}: expected {status} {code}, got {answer.status} {answer.body.decode()}"
            )

    def note(self, method: str, path: str, answer: DemoResponse, remark: str) -> None:
        """Write the request down."""
        for value, tag in self.tags.items():
            path = path.replace(value, tag)
        self.journal.add_row(self.name, f"{method} {path}", str(answer.status), remark)


def journey(base: str, password: str, seeds: dict[str, str], journal: Table) -> dict[str, str]:
    """A variety, a price by the candy, an offer and its approval, a requirement, two buyers who race, and refusals."""
    run = secrets.token_hex(3).upper()
    tags: dict[str, str] = {}

    def caller(name: str, email: str) -> Caller:
        return Caller(base, name, journal, tags=tags).sign_in(email, password, seeds.get(email, ""))

    staff = caller("master data", "masterdata@demo.example")
    seller = caller("seller", "seller@demo.example")
    manager = caller("manager", "manager@demo.example")
    buyer, mill = caller("buyer", "buyer@demo.example"), caller("mill", "mill@demo.example")

    (commodity,) = staff.send("GET", "/api/v1/commodities?code=COTTON").json["results"]
    tags[commodity["id"]] = "{cotton}"
    sort = {"name": f"Demo sort {run}", "aliases": [f"D-{run}"]}
    variety = staff.write(
        "POST", "/varieties", {"commodity_id": commodity["id"], "code": f"DEMO-{run}", **sort}
    )
    tags[variety["id"]] = "{variety}"
    staff.write(
        "PUT",
        f"/varieties/{variety['id']}",
        {**sort, "status": "ACTIVE", "aliases": []},
        if_match=variety["etag"],
    )
    path = f"/commodities/{commodity['id']}/calculate-conversion"
    asked = {"quantity": {"count": "600", "count_unit": "BALE"}, "rate": "50000", "pricing_unit": "INR/CANDY"}
    answer = staff.send("POST", f"/api/v1{path}", asked, Idempotency_Key=secrets.token_hex(16))
    staff.note("POST", path, answer, "600 bales at 50,000 a candy of 355.62 kg")
    price = answer.json
    require_figure("600 bales at 50,000 a candy", price["amount"]["value"], "14341150.67")

    def chosen(path: str, code: str) -> str:
        (row,) = seller.send("GET", f"/api/v1{path}?code={code}").json["results"]
        return str(row["id"])

    offer = seller.write(
        "POST",
        "/availabilities",
        {
            "commodity_id": commodity["id"],
            "variety_id": variety["id"],
            "total_quantity": "100",
            "total_weight_kg": "17000.000",
            "crop_year": season_of(date.today(), 10),  # noqa: DTZ011 - the demo's day
            "place": {"address": "Station Road, Gondal", "country": "IN", "state_code": "GJ"},
            "unit_price": "53500",
            **{f"{name}_id": chosen(f"/{path}", code) for name, (path, code) in TERMS.items()},
            "quality": [{"parameter": name, "value": value} for name, value in QUALITY.items()],
            "lots": [
                {"lot_no": "SSG-27", "press_mark": f"SSG {run}", "pr_from": 1201, "pr_to": 1300, "bales": 100}
            ],
            "available_from_date": date.today().isoformat(),  # noqa: DTZ011
            "available_until_date": (date.today() + timedelta(days=30)).isoformat(),  # noqa: DTZ011
        },
    )
    tags[offer["id"]] = "{offer}"
    require_figure("value of the offer", offer["estimated_value"], "2557505.20")
    path = f"/availabilities/{offer['id']}"
    offer = seller.write("POST", f"{path}/submit", if_match=offer["etag"])
    seller.refused(403, "capability.missing", "POST", f"{path}/approve", {}, If_Match=offer["etag"])
    manager.refused(428, "precondition.required", "POST", f"{path}/approve", {})
    manager.refused(412, "precondition.failed", "POST", f"{path}/approve", {}, If_Match='"1"')
    manager.write("POST", f"{path}/approve", {"note": "Seen."}, if_match=offer["etag"])

    want = buyer.write(
        "POST",
        "/requirements",
        {
            "commodity_id": commodity["id"],
            "max_quantity": "100",
            "kg_per_count": "170",
            "ceiling_price": "54000",
            "pricing_unit_id": chosen("/pricing-units", "INR/CANDY"),
            "delivery_from_date": date.today().isoformat(),  # noqa: DTZ011
            "delivery_until_date": (date.today() + timedelta(days=10)).isoformat(),  # noqa: DTZ011
            "bands": [{"parameter": name, "required": True, **band} for name, band in BANDS.items()],
            "places": [{"latitude": "11.016844", "longitude": "76.955833", "state_code": "TN"}],
        },
    )
    tags[want["id"]] = "{requirement}"
    require_figure("value of the requirement", want["estimated_value"], "2581407.12")
    buyer.write("POST", f"/requirements/{want['id']}/publish", if_match=want["etag"])

    first, last, whole = buyer.write_at_once(mill, f"{path}/reserve", {"quantity": "100"})
    tags[whole["id"]] = "{hold of all}"
    of_first = {"reservation_id": whole["id"]}
    last.refused(422, "availability.reservation_not_found", "POST", f"{path}/release", of_first)
    first.write("POST", f"{path}/release", of_first)

    hold = buyer.write("POST", f"{path}/reserve", {"quantity": "60"})
    tags[hold["id"]] = "{hold}"
    buyer.refused(409, "availability.quantity_exceeded", "POST", f"{path}/reserve", {"quantity": "41"})
    key = secrets.token_hex(16)
    buyer.refused(400, "request.invalid", "POST", f"{path}/reserve", {"quantity": 5}, Idempotency_Key=key)
    answer = buyer.send("POST", f"/api/v1{path}/reserve", {"quantity": "5"}, Idempotency_Key=key)
    buyer.note("POST", f"{path}/reserve", answer, "the corrected body, same key")
    buyer.refused(
        422, "idempotency.key_reused", "POST", f"{path}/reserve", {"quantity": "6"}, Idempotency_Key=key
    )
    buyer.refused(
        400, "idempotency.key_missing", "POST", f"{path}/reserve", {"quantity": "5"}, Idempotency_Key=""
    )
    seller.refused(403, "capability.missing", "POST", f"{path}/release", {"reservation_id": hold["id"]})
    buyer.write("POST", f"{path}/release", {"reservation_id": hold["id"], "quantity": "20"})
    return {"path": path, "token": manager.token, "holder": hold["holder_partner_id"]}


def require_figure(name: str, found: str, right: str) -> None:
    """Fail the demo unless the figure is right to the last digit."""
    if found != right:
        raise DemoFailed(f"{name}: {right}, not {found}")


def storm(base: str, path: str, token: str, holder: str, stack: Stack) -> tuple[int, int]:
    """Write on while the relay is killed with -9; returns the writes made and the kills."""
    silent = Table()
    failed: list[str] = []
    made = [0]

    def work() -> None:
        staff = Caller(base, "manager", silent, token)
        for _ in range(STORM // 2):
            try:
                wanted = {"quantity": "1", "holder_partner_id": holder}
                hold = staff.write("POST", f"{path}/reserve", wanted)
                freed = {"reservation_id": hold["id"], "reason": "The storm of the demo."}
                staff.write("POST", f"{path}/release", freed)
                made[0] += 2
            except DemoFailed as error:
                failed.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    kills = 0
    while any(thread.is_alive() for thread in threads) and kills < 2:
        time.sleep(0.4)
        stack.kill("relay", signal.SIGKILL)
        kills += 1
        time.sleep(1.5)
    for thread in threads:
        thread.join()
    if failed:
        raise DemoFailed("; ".join(failed[:3]))
    return made[0], kills


def expected(database: str, after: int) -> dict[str, tuple[str, str, int]]:
    """What the outbox committed since position ``after``: event id → type, stream, sequence."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT id, event_type, aggregate_type || ':' || aggregate_id, sequence FROM event_outbox"
            " WHERE position > %s ORDER BY position",
            [after],
        ).fetchall()
    return {str(row[0]): (row[1], row[2], row[3]) for row in rows}


def newest(database: str) -> int:
    """Highest position in the outbox."""
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT coalesce(max(position), 0) FROM event_outbox").fetchone()
    assert found is not None
    return int(found[0])


def check(events: dict[str, tuple[str, str, int]], received: list[Received]) -> list[str]:
    """Return the errors: a lost event, an uncommitted one, a delivery out of order, a duplicate position."""
    faults = []
    first: dict[str, Received] = {}
    for message in received:
        first.setdefault(message.event_id, message)
    faults += [f"lost: {events[missing]}" for missing in events.keys() - first.keys()]
    known = [message for message in first.values() if message.event_id in events]
    streams: dict[str, list[int]] = defaultdict(list)
    for message in known:
        streams[message.stream].append(message.sequence)
    for stream, sequences in streams.items():
        if sequences != list(range(sequences[0], sequences[0] + len(sequences))):
            faults.append(f"out of order or duplicated in {stream}: {sequences}")
    return faults


def show_events(received: list[Received]) -> None:
    """The events as they arrived, repeats left out and a long list cut."""
    table = Table(title="Events as received from Pub/Sub", title_justify="left")
    for column in ("stream", "sequence", "type"):
        table.add_column(column)
    firsts = list({message.event_id: message for message in reversed(received)}.values())[::-1]
    for message in firsts[:SHOWN]:
        kind, _, key = message.stream.partition(":")
        table.add_row(f"{kind} …{key[-6:]}", str(message.sequence), message.event_type)
    if len(firsts) > SHOWN:
        table.add_row("…", "…", f"{len(firsts) - SHOWN} more")
    console.print(table)
    repeats = len(received) - len(firsts)
    console.print(f"{len(firsts)} events, {repeats} delivered again (same id; an inbox drops them).")


def run(stack: Stack) -> None:
    """The demo against a stack whose servers are up. Raises Wrong."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    stack.set_public_url(base)
    prepare(stack)
    people = json.loads(manage(stack, "seed_demo", "--json"))
    database = stack.urls["DATABASE_URL"]
    after = newest(database)
    with Tap(stack.urls["PUBSUB_EMULATOR_HOST"], PROJECT, TOPIC, f"demo-{secrets.token_hex(4)}") as tap:
        stack.run_processes(processes(port))
        journal = Table(title="\nRequests", title_justify="left")
        for column in ("who", "request", "status", "sent again, or refused with"):
            journal.add_column(column)
        try:
            place = journey(base, people["password"], people["second_factors"], journal)
        finally:
            console.print(journal)
        calm = expected(database, after)
        if missing := tap.wait_for(set(calm), ARRIVAL_SECONDS):
            raise DemoFailed(f"{len(missing)} events of the journey did not arrive")
        writes, kills = storm(base, place["path"], place["token"], place["holder"], stack)
        events = expected(database, after)
        tap.wait_for(set(events), ARRIVAL_SECONDS)
        received = tap.received()
        show_events([message for message in received if message.event_id in events])
        console.print(f"The relay was killed with SIGKILL {kills} times during {writes} writes.")
        if faults := check(events, received):
            raise DemoFailed("; ".join(faults))
        console.print(f"All {len(events)} committed events arrived, each stream in order and without a gap.")


def main() -> int:
    """Run the demo; return 0 only if every check passed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    started = time.monotonic()
    # The storm is one buyer who writes as fast as the server answers: more than the limit for people.
    os.environ.setdefault("THROTTLE_WRITE", "100000")
    folder = Path(os.environ.get("ERP_DATA_DIR") or state.data_dir() / "demo")
    try:
        with Stack(folder, echo=console.print) as stack:
            run(stack)
    except CannotStart as error:
        console.print(str(error))
        return error.exit_code
    except DemoFailed as error:
        console.print(f"\nFAILED: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    console.print(f"Done in {time.monotonic() - started:.0f} s; all started processes have stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
