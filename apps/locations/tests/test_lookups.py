"""Look-ups at providers, also while one is down."""

import json
import socket
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core import signing
from django.db import connection

from apps.locations import events
from apps.locations.clients.nominatim import Nominatim
from apps.locations.details import Details
from apps.locations.gazetteer import gazetteer
from apps.locations.models import Location
from apps.locations.services import reference
from erp.access import SYSTEM
from erp.idempotency.models import Record
from erp.identifiers import pin_fits
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
PATH = "/api/v1/locations"
GONDAL = {
    "osm_type": "node",
    "osm_id": 245,
    "lat": "21.9612345678",
    "lon": "70.8",
    "name": "Gondal",
    "display_name": "Gondal, Rajkot, Gujarat",
    "addresstype": "town",
    "address": {
        "town": "Gondal",
        "state_district": "Rajkot District",
        "state": "Gujarat",
        "postcode": "360311",
        "country_code": "in",
    },
}


@pytest.fixture
def buyer(user, client_for):
    return client_for(user("BUYER"))


@pytest.fixture
def remote(settings):
    """A server with Nominatim's API: it answers as the test sets, and counts requests."""

    class Remote(BaseHTTPRequestHandler):
        status, body, wait = 200, [GONDAL], 0.0
        requests: list = []

        def do_GET(self):
            type(self).requests.append((urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)))
            time.sleep(type(self).wait)
            content = json.dumps(type(self).body).encode()
            self.send_response(type(self).status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Remote)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.NOMINATIM_URL = f"http://127.0.0.1:{server.server_port}"
    settings.NOMINATIM_KEY = "a-secret-key"
    for operation in ("search", "lookup", "reverse"):
        Nominatim._breakers.pop(("nominatim", operation, ""), None)
    yield Remote
    server.shutdown()
    server.server_close()


def rows():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM location_location")
        places = cursor.fetchone()[0]
    return places, EventOutbox.objects.count(), Record.objects.count()


def test_the_gazetteer_finds_places_by_beginning_similarity_and_pin_code(buyer, place):
    def search(**query):
        answer = buyer.write(f"{PATH}/search", query)
        assert answer.status_code == 200, answer.content
        assert answer.json()["provider"] == "gazetteer"
        return [(row["type"], row["label"]) for row in answer.json()["results"]]

    before = rows()
    assert search(query="gondal")[0] == ("STATION", "Gondal, Rajkot, Gujarat 360311")
    assert ("STATION", "Rajkot, Gujarat 360001") in search(query="Rajkt")
    assert {label[-6:] for _, label in search(query="360311")} == {"360311"}
    assert {kind for kind, _ in search(query="mu", types=["PORT"])} == {"PORT"}
    assert all("Tamil Nadu" in label for _, label in search(query="coim", state="Tamil Nadu"))
    assert len(search(query="ra", limit=20)) == 20
    near = search(query="rampur", near={"latitude": "21.9", "longitude": "70.8"}, types=["CITY"])
    assert "Gujarat" in near[0][1]
    assert search(query="qxqxqx") == []
    assert search(query="London", country="GB") == []
    for wrong in ({"query": "x"}, {"query": "ab", "limit": 21}, {"query": "ab", "near": {"latitude": "1"}}):
        assert buyer.write(f"{PATH}/search", wrong).status_code == 400, wrong
    refused = buyer.write(f"{PATH}/search", {"query": "gondal", "provider": "nominatim"})
    assert refused.status_code == 400
    assert refused.json()["errors"][0] == {
        "pointer": "/provider",
        "code": "unknown_provider",
        "detail": "The provider doesn't exist or isn't enabled.",
    }
    assert rows() == before


def test_the_gazetteer_matches_the_table_of_pin_codes(place):
    known = gazetteer()
    offices = [known._office(number) for number in range(0, len(known._pins), 97)]
    assert len(known._pins) > 160_000
    assert all(pin_fits(office.pincode, office.state) for office in offices)
    assert sum(entry.type == "STATION" for entry in known.named) >= 150
    assert sum(entry.type == "PORT" for entry in known.named) == 8
    for entry in (*known.named, *offices):
        assert known.details(entry.id).type == entry.type


def test_places_around_a_point_come_nearest_first(buyer):
    point = {"latitude": "21.961100", "longitude": "70.802800"}
    found = buyer.write(f"{PATH}/reverse-geocode", {**point, "radius_km": 5}).json()["results"]
    distances = [Decimal(row["distance_km"]) for row in found]
    assert len(found) == 5
    assert distances == sorted(distances)
    assert distances[-1] <= 5
    sea = buyer.write(f"{PATH}/reverse-geocode", {"latitude": "8.0", "longitude": "68.5"})
    assert (sea.status_code, sea.json()["results"]) == (200, [])


def test_signed_details_become_a_verified_place_once(user, client_for, buyer, place, assert_emitted, emitted):
    details = buyer.write(f"{PATH}/fetch-details", {"provider_id": "station-24-gondal"}).json()
    assert (details["name"], details["state"], details["location_id"]) == ("Gondal", "24", None)
    staff = client_for(user("INTERNAL"))
    first = staff.write(PATH, {"details_token": details["details_token"], "aliases": ["Gondal APMC"]})
    assert first.status_code == 201, first.content
    row = first.json()
    assert (row["is_verified"], row["verified_by"], row["pincode"]) == (True, "gazetteer", "360311")
    assert_emitted(events.LocationCreated, source="provider", is_verified=True)
    count = len(emitted("location.created"))
    again = staff.write(PATH, {"details_token": details["details_token"]})
    assert (again.status_code, again.json()["id"]) == (200, row["id"])
    assert len(emitted("location.created")) == count
    now = buyer.write(f"{PATH}/fetch-details", {"provider_id": "station-24-gondal"}).json()
    assert now["location_id"] == row["id"]
    beside = staff.write(PATH, {"details_token": details["details_token"], "pincode": "360001"})
    assert beside.status_code == 400
    assert beside.json()["errors"][0]["pointer"] == "/pincode"
    missing = buyer.write(f"{PATH}/fetch-details", {"provider_id": "station-24-atlantis"})
    assert (missing.status_code, missing.json()["code"]) == (404, "location.place_not_found")


def test_an_altered_or_old_token_is_refused_and_a_replayed_key_answered(user, client_for, place, monkeypatch):
    staff = client_for(user("INTERNAL"))
    token = Details(provider="gazetteer", provider_id="x", type="CITY", name="Gondal", state="24").signed()
    altered = staff.write(PATH, {"details_token": token[:-1] + ("A" if token[-1] != "A" else "B")})
    assert altered.status_code == 400
    assert altered.json()["errors"][0]["code"] == "bad_signature"
    done = staff.write(PATH, {"details_token": token}, key="a-key-of-this-test")
    assert done.status_code == 201
    later = time.time() + 16 * 60
    monkeypatch.setattr(signing.time, "time", lambda: later)
    old = staff.write(PATH, {"details_token": token})
    assert (old.status_code, old.json()["errors"][0]["code"]) == (400, "expired")
    replayed = staff.write(PATH, {"details_token": token}, key="a-key-of-this-test")
    assert (replayed.status_code, replayed.content) == (201, done.content)


def test_bundled_ports_and_cotton_places_are_loaded_once(place):
    count = reference.load_places(actor=SYSTEM)
    assert count > 900
    mundra = Location.objects.get(type="PORT", name="Mundra")
    assert (mundra.customs_code, mundra.state_id, mundra.is_verified) == ("INMUN1", "24", True)
    rayagada = Location.objects.get(type="STATION", name="Rayagada")
    assert (rayagada.state_id, rayagada.parent.type) == ("21", "DISTRICT")
    before = EventOutbox.objects.count()
    assert reference.load_places(actor=SYSTEM) == 0
    assert EventOutbox.objects.count() == before


def test_a_remote_provider_is_queried_and_its_details_are_registered(remote, buyer, user, client_for, place):
    body = {"query": "gondal", "provider": "nominatim", "state": "24"}
    answer = buyer.write(f"{PATH}/search", body)
    assert answer.status_code == 200, answer.content
    assert answer.json()["results"][0] == {
        "provider": "nominatim",
        "provider_id": "N245",
        "label": "Gondal, Rajkot, Gujarat 360311",
        "type": "CITY",
        "state": "24",
        "pincode": "360311",
        "latitude": "21.961235",
        "longitude": "70.800000",
        "location_id": None,
    }
    path, query = remote.requests[-1]
    assert (path, query["q"], query["key"]) == ("/search", ["gondal"], ["a-secret-key"])
    token = buyer.write(f"{PATH}/fetch-details", {"provider": "nominatim", "provider_id": "N245"}).json()
    made = client_for(user("INTERNAL")).write(PATH, {"details_token": token["details_token"]})
    assert (made.status_code, made.json()["verified_by"]) == (201, "nominatim")
    point = {"latitude": "21.961235", "longitude": "70.8", "provider": "nominatim"}
    remote.body = GONDAL
    found = buyer.write(f"{PATH}/reverse-geocode", point).json()["results"]
    assert [(row["provider_id"], row["distance_km"]) for row in found] == [("N245", "0.0")]
    remote.body = {"error": "Unable to geocode"}
    assert buyer.write(f"{PATH}/reverse-geocode", point).json()["results"] == []


def test_while_a_provider_is_down_its_lookups_answer_503_and_the_gazetteer_works(
    remote, buyer, place, capsys
):
    body = {"query": "gondal", "provider": "nominatim"}
    before = rows()
    remote.status, remote.body = 500, {"message": "down"}
    started = time.monotonic()
    answer = buyer.write(f"{PATH}/search", body)
    assert time.monotonic() - started < 5
    assert (answer.status_code, answer.json()["code"]) == (503, "dependency.unavailable")
    assert int(answer["Retry-After"]) >= 1
    for _ in range(3):
        buyer.write(f"{PATH}/search", body)
    assert Nominatim.breaker("search").state == "open"
    calls = len(remote.requests)
    answer = buyer.write(f"{PATH}/search", body)
    assert (answer.status_code, len(remote.requests)) == (503, calls)
    text = answer.content.decode() + capsys.readouterr().out
    assert "a-secret-key" not in text
    assert "127.0.0.1:" not in answer.content.decode()
    assert buyer.write(f"{PATH}/search", {**body, "provider": "gazetteer"}).json()["results"]
    assert buyer.read(PATH).status_code == 200
    # Each operation has a breaker of its own.
    remote.status, remote.body = 200, [GONDAL]
    fetched = buyer.write(f"{PATH}/fetch-details", {"provider": "nominatim", "provider_id": "N245"})
    assert fetched.status_code == 200
    assert rows() == before


def test_a_provider_that_never_answers_delays_callers_only_briefly(
    remote, settings, buyer, place, monkeypatch
):
    silent = socket.create_server(("127.0.0.1", 0))
    settings.NOMINATIM_URL = f"http://127.0.0.1:{silent.getsockname()[1]}"
    monkeypatch.setattr(Nominatim, "timeout", 0.3)
    monkeypatch.setattr(Nominatim, "read_timeout", 0.3)
    body = {"query": "gondal", "provider": "nominatim"}

    def post(**changes):
        started = time.monotonic()
        answer = buyer.write(f"{PATH}/search", {**body, **changes})
        return answer, time.monotonic() - started

    post(provider="gazetteer")  # reads its table once per process
    with silent:
        for _ in range(5):
            answer, seconds = post()
            assert (answer.status_code, answer.json()["code"]) == (503, "dependency.unavailable")
            assert seconds < 1.5
        assert Nominatim.breaker("search").state == "open"
        answer, seconds = post()
        assert (answer.status_code, int(answer["Retry-After"]) >= 1) == (503, True)
        assert seconds < 1
        answer, seconds = post(provider="gazetteer")
        assert (answer.status_code, answer.json()["provider"]) == (200, "gazetteer")
        assert answer.json()["results"]
        assert seconds < 1


def test_a_refused_key_is_not_reported_as_an_empty_result(remote, buyer):
    remote.status, remote.body = 401, {"error": "Invalid key"}
    answer = buyer.write(f"{PATH}/search", {"query": "gondal", "provider": "nominatim"})
    assert (answer.status_code, answer.json()["code"]) == (503, "dependency.unavailable")
    remote.status, remote.body = 200, [{"surprise": 1}]
    answer = buyer.write(f"{PATH}/search", {"query": "gondal", "provider": "nominatim"})
    assert answer.status_code == 503
