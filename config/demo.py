"""``make demo``: the main use case, end to end, on real servers and processes.

Starts the stack on an empty database, runs a deal from the offer to the settlement over HTTP (each write sent twice
with the same key) and checks its figures, sends invalid requests, kills the relay with SIGKILL while events are
published, and checks with its own Pub/Sub subscriber that every event arrived, once per stream position and in order.
"""

import json
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial

import psycopg
from rich.console import Console
from rich.table import Table

from apps.commodities.seasons import season_of
from config.demo_client import Caller, DemoFailed, require_figure
from config.demo_trade import Deal, partner_of
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
    "payment_term": ("payment-terms", "ADV15_D15"),
    "passing_term": ("passing-terms", "SPEC"),
    "weighment_term": ("weighment-terms", "ORIGIN_FR025"),
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
PROOFS = ("verify_ledger", "verify_audit")  # exit with an error where anything disagrees
SHOWN = 24  # events in the table
console = Console(highlight=False, width=max(Console().width, 110))


def journey(base: str, password: str, seeds: dict[str, str], journal: Table) -> tuple[dict[str, str], Deal]:
    """A variety, a price by the candy, an offer and its approval, a requirement, two buyers who race, and the deal."""
    run = secrets.token_hex(3).upper()
    tags: dict[str, str] = {}

    def caller(name: str, login: str = "") -> Caller:
        email = f"{login or name}@demo.example"
        return Caller(base, name, journal, tags=tags).sign_in(email, password, seeds.get(email, ""))

    staff, finance = caller("master data", "masterdata"), caller("finance")
    manager, second = caller("manager"), caller("2nd manager", "approver")
    seller, buyer, mill = caller("seller"), caller("buyer"), caller("mill")
    ginner, director, carrier = caller("ginner"), caller("director"), caller("transport")

    (commodity,) = staff.read("/commodities?code=COTTON")["results"]
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
    price = staff.ask(path, asked, "600 bales at 50,000 a candy of 355.62 kg")
    require_figure("600 bales at 50,000 a candy", price["amount"]["value"], "14341150.67")

    deal = Deal(
        {"T1": staff, "F1": finance, "M1": manager, "M2": second, "SO": seller, "KO": buyer, "TR": carrier},
        tags,
        run,
    )
    deal.give_credit(partner_of(buyer), "10000000.00")
    deal.give_credit(partner_of(mill), "2500000.00")

    def chosen(path: str, code: str) -> str:
        return str(seller.read(f"{path}?code={code}")["results"][0]["id"])

    def offer_lot(
        lot: str,
        first: int,
        remark: str = "",
        *,
        seller: Caller = seller,
        price: str = "53500",
        value: str = "2557505.20",
        address: str = "Station Road, Gondal",
        state: str = "GJ",
    ) -> str:
        """Offer 100 bales with a laboratory's report, and submit them; return the path of the offer."""
        offer = seller.write(
            "POST",
            "/availabilities",
            {
                "commodity_id": commodity["id"],
                "variety_id": variety["id"],
                "total_quantity": "100",
                "total_weight_kg": "17000.000",
                "weight_basis": "ESTIMATED",
                "crop_year": season_of(date.today(), 10),  # noqa: DTZ011 - the demo's day
                "place": {"address": address, "country": "IN", "state_code": state},
                "unit_price": price,
                **{f"{name}_id": chosen(f"/{path}", code) for name, (path, code) in TERMS.items()},
                "quality": [{"parameter": name, "value": value} for name, value in QUALITY.items()],
                "lots": [{
                    "lot_no": lot, "press_mark": f"{lot[:3]} {run}", "pr_from": first, "pr_to": first + 99,
                    "bales": 100,
                }],
                "available_from_date": date.today().isoformat(),  # noqa: DTZ011
                "available_until_date": (date.today() + timedelta(days=30)).isoformat(),  # noqa: DTZ011
            },
        )  # fmt: skip
        tags[offer["id"]] = f"{{{remark}offer}}"
        require_figure("value of the offer", offer["estimated_value"], value)
        path = f"/availabilities/{offer['id']}"
        report = {
            "upload_id": seller.upload("availability.test_report", f"{lot}.pdf", f"%PDF-1.4\n% {lot} {run}\n".encode()),
            "lab_name": "Demo laboratory", "report_no": f"{lot} {run}", "sample_no": "1", "method": "HVI",
            "tested_date": date.today().isoformat(),  # noqa: DTZ011
            "values": [{"parameter": name, "value": QUALITY[name]} for name in ("strength", "micronaire")],
        }  # fmt: skip
        seller.write("POST", f"{path}/test-reports", report)
        seller.write_current(path, "submit")
        return path

    path = offer_lot("SSG-27", 1201)
    etag = seller.etag(path)
    seller.refused(403, "capability.missing", "POST", f"{path}/approve", {}, If_Match=etag)
    manager.refused(428, "precondition.required", "POST", f"{path}/approve", {})
    manager.refused(412, "precondition.failed", "POST", f"{path}/approve", {}, If_Match='"1"')
    manager.write_current(path, "approve", {"note": "Seen."})

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
    buyer.write("POST", f"{path}/release", {"reservation_id": hold["id"]})
    buyer.write("POST", f"{path}/release", {"reservation_id": answer.json["id"]})

    cheaper = offer_lot(
        "VCG-27", 2201, "cheaper ", seller=ginner, price="52000", value="2485799.45",
        address="MIDC Lohara, Yavatmal", state="MH",
    )  # fmt: skip
    manager.write_current(cheaper, "approve", {"note": "Seen."})
    suspended = {"reason_code": "regulatory", "reason": "The trade licence is being looked at."}
    director.write_current(f"/partners/{partner_of(ginner)}", "suspend", suspended)
    deal.play(want["id"], path.rpartition("/")[2], absent=cheaper.rpartition("/")[2])

    path = offer_lot("SSG-28", 1301, "second ")
    manager.write_current(path, "approve", {"note": "Seen."})
    return {"path": path, "token": manager.token, "holder": partner_of(buyer)}, deal


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
    """The demo against a stack whose servers are up. Raises DemoFailed."""
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
            place, deal = journey(base, people["password"], people["second_factors"], journal)
            papers, eway = deal.wait_for_papers(), deal.wait_for_eway()
        finally:
            console.print(journal)
        console.print(deal.statement())
        console.print(f"E-way bill {eway}: entered by the worker, valid for 9 days.")
        console.print(
            f"Drawn as PDF: {', '.join(papers)}. The statement above was computed again from its trace."
        )
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
        with ThreadPoolExecutor() as pool:
            for command, _ in zip(PROOFS, pool.map(partial(manage, stack), PROOFS), strict=True):
                console.print(f"manage.py {command}: passed")


def main() -> int:
    """Run the demo; return 0 only if every check passed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    started = time.monotonic()
    # The storm is one buyer who writes as fast as the server answers: more than the limit for people.
    os.environ.setdefault("THROTTLE_WRITE", "100000")
    folder = state.data_dir() / "demo"
    if state.owner(folder) is None:  # each run is the first: TDS depends on what was bought before
        shutil.rmtree(folder, ignore_errors=True)
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
