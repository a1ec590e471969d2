"""Moves and merges: the tree stays valid under concurrent changes."""

import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from apps.locations import events
from apps.locations.models import LEVELS, Distance, Location, ProviderRef
from apps.locations.services import distances, rules, tree
from apps.locations.services import places as places_services
from erp.access import SYSTEM
from erp.errors import DomainError, PreconditionFailed
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
PATH = "/api/v1/locations"


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Return results or errors of calls that start together, each on its own connection."""
    start = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        start.wait(timeout=30)
        try:
            return call()
        except DomainError as problem:
            return problem
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def assert_a_tree(places: Iterable[Location]) -> None:
    """Check that there is no cycle, orphan or extra level, and that country and state match the parent."""
    rows = {row.pk: row for row in places}
    for row in rows.values():
        if row.status == "MERGED":
            assert rows[row.merged_into_id].status != "MERGED"
            continue
        chain = [row]
        while chain[-1].parent_id is not None:
            chain.append(rows[chain[-1].parent_id])
            assert len(chain) <= LEVELS
            assert chain[-1].status != "MERGED"
        for below, above in pairwise(chain):
            assert above.type in Location.PARENT_TYPES[below.type]
            assert (below.country, below.state_id) == (above.country, above.state_id)
        assert chain[-1].type == "STATE"


def test_a_move_includes_all_places_below(place, assert_emitted, emitted):
    yard = place()
    gin = place(type="GIN", parent=yard)
    press = place(type="OTHER", parent=gin)
    maharashtra = Location.objects.get(type="STATE", state="27")
    moved = tree.reparent(yard, actor=SYSTEM, parent=maharashtra)
    assert (moved.parent_id, moved.state_id) == (maharashtra.pk, "27")
    for row in (gin, press):
        row.refresh_from_db()
        assert (row.state_id, row.version) == ("27", 2)
    assert_emitted(events.LocationReparented, old_state="24", new_state="27")
    tree.reparent(moved, actor=SYSTEM, parent=maharashtra)
    assert len(emitted("location.reparented")) == 1


def test_a_move_that_breaks_the_tree_is_refused(place):
    yard = place(pincode="360311")
    gin = place(type="GIN", parent=yard, pincode="360311")
    press = place(type="OTHER", parent=gin)
    hall = place(type="OTHER", parent=place(type="OTHER", parent=place(type="OTHER")))
    maharashtra = Location.objects.get(type="STATE", state="27")
    for target, parent, refused in (
        (gin, press, rules.Cycle),
        (gin, gin, rules.Cycle),
        (yard, press, rules.Cycle),
        (yard, hall, rules.ParentType),
        (gin, hall, rules.TooDeep),
        (yard, maharashtra, rules.PinStateMismatch),
        (gin, None, rules.ParentType),
        (maharashtra, yard, rules.Protected),
    ):
        with pytest.raises(refused):
            tree.reparent(target, actor=SYSTEM, parent=parent)
    gin = places_services.update(gin, actor=SYSTEM, name=gin.name, status="ARCHIVED")
    with pytest.raises(rules.NotActive):
        tree.reparent(gin, actor=SYSTEM, parent=hall)
    with pytest.raises(rules.NotActive):
        tree.reparent(place(type="OTHER"), actor=SYSTEM, parent=gin)
    assert_a_tree(Location.objects.all())


def test_every_pin_code_below_a_moved_place_must_belong_to_the_new_state(place):
    yard = place()
    place(type="GIN", parent=yard, pincode="360311")
    with pytest.raises(rules.PinStateMismatch):
        tree.reparent(yard, actor=SYSTEM, parent=Location.objects.get(type="STATE", state="27"))
    assert Location.objects.get(pk=yard.pk).state_id == "24"


def test_a_merge_moves_everything_to_the_winner(place, emitted, assert_emitted):
    loser = place("Gondal APMC", provider="map", provider_id="a", aliases=["Gondal Yard"])
    winner = place("Gondal", aliases=["gondal yard"])
    gin = place(type="GIN", parent=loser)
    far = place()
    distances.set_distance(
        loser, actor=SYSTEM, to=far, mode="ROAD", km=Decimal(9), valid_from="2026-01-01", source="chart"
    )
    distances.set_distance(
        loser, actor=SYSTEM, to=winner, mode="ROAD", km=Decimal(1), valid_from="2026-01-01", source="chart"
    )
    answered = tree.merge(loser, actor=SYSTEM, into=winner, reason="Entered twice.")
    assert (answered.pk, answered.aliases) == (winner.pk, ["gondal yard", "Gondal APMC"])
    gin.refresh_from_db()
    assert gin.parent_id == winner.pk
    assert ProviderRef.objects.get().location_id == winner.pk
    assert list(Distance.objects.values_list("origin", "destination")) == [(winner.pk, far.pk)]
    assert_emitted(events.LocationMerged, into_id=str(winner.pk), reparented=[str(gin.pk)])
    assert len(emitted("location.reparented", aggregate_id=gin.pk)) == 1
    assert Location.objects.resolve(loser.pk) == winner


def test_a_merge_adds_aliases_only_up_to_the_limit(place, user, client_for):
    loser = place("Gondal APMC", aliases=[f"Yard {n}" for n in range(19)])
    winner = place("Gondal", aliases=[f"Market {n}" for n in range(15)])
    tree.merge(loser, actor=SYSTEM, into=winner, reason="Entered twice.")
    winner.refresh_from_db()
    assert len(winner.aliases) == 20
    client = client_for(user("INTERNAL_MASTERDATA"))
    row = client.read(f"{PATH}/{winner.pk}").json()
    body = {name: row[name] for name in ("name", "aliases", "status", "district", "timezone")}
    same = client.write(f"{PATH}/{winner.pk}", body, method="PUT", if_match=row["version"])
    assert same.status_code == 200, same.content


def test_a_place_abroad_moves_to_india_only_with_what_lies_below_it(place):
    abroad = place("Yard", type="WAREHOUSE", country="AE", state=None)
    place("Shed", type="WAREHOUSE", parent=abroad, latitude=Decimal(25), longitude=Decimal(55))
    with pytest.raises(rules.OutsideCountry):
        tree.reparent(abroad, actor=SYSTEM, parent=place("Gondal"))


def test_the_database_refuses_a_latitude_without_a_longitude(place):
    here = Location.objects.filter(pk=place(latitude=None, longitude=None).pk)
    for half in ({"latitude": Decimal(20)}, {"longitude": Decimal(70)}):
        with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
            here.update(**half)


def test_a_merged_place_points_directly_to_its_successor(place, user, client_for):
    first, second, third = place("A yard", provider="map", provider_id="a"), place("B yard"), place("C yard")
    gin = place(type="GIN", parent=first)
    keeper = client_for(user("INTERNAL_MASTERDATA"))
    key = uuid4().hex
    into = {"into_id": str(second.pk), "reason": "Entered twice."}
    done = keeper.write(f"{PATH}/{first.pk}/merge", into, key=key)
    assert (done.status_code, done.json()["id"]) == (200, str(second.pk))
    tree.merge(second, actor=SYSTEM, into=third, reason="Entered thrice.")
    replayed = keeper.write(f"{PATH}/{first.pk}/merge", into, key=key)
    assert (replayed.status_code, replayed.content) == (200, done.content)
    answer = keeper.read(f"{PATH}/{first.pk}")
    assert (answer.status_code, answer.json()["code"]) == (410, "location.merged")
    assert answer.json()["successor"] == str(third.pk)
    assert answer.json()["links"] == {"successor": f"{PATH}/{third.pk}"}
    gin.refresh_from_db()
    assert gin.parent_id == ProviderRef.objects.get().location_id == third.pk
    state = str(third.parent_id)
    for path, body, method in (
        (f"{PATH}/{first.pk}", {"name": "A yard", "status": "ACTIVE"}, "PUT"),
        (f"{PATH}/{first.pk}/parent", {"parent_id": state}, "PUT"),
        (f"{PATH}/{first.pk}/merge", into, "POST"),
    ):
        answer = keeper.write(path, body, method=method, if_match=1)
        assert (answer.status_code, answer.json()["code"]) == (410, "location.merged"), path
    again = keeper.write(
        PATH, {"type": "MANDI", "name": "A yard", "state": "24", "provider": "map", "provider_id": "a"}
    )
    assert (again.status_code, again.json()["id"]) == (200, str(third.pk))


def test_an_invalid_merge_is_refused(place):
    yard, gin = place(), place(type="GIN")
    inner = place(type="GIN", parent=gin)
    abroad = place(type="MANDI", country="BD")
    old = place()
    places_services.update(old, actor=SYSTEM, name=old.name, status="ARCHIVED")
    for loser, winner, refused in (
        (yard, yard, tree.SameRow),
        (yard, gin, tree.OtherType),
        (yard, abroad, tree.OtherCountry),
        (gin, inner, rules.Cycle),
        (yard, old, rules.NotActive),
        (old, yard, rules.NotActive),
    ):
        with pytest.raises(refused):
            tree.merge(loser, actor=SYSTEM, into=winner, reason="Why not.")
    place("Twin", type="GIN", parent=yard)
    twin = place()
    place("twin", type="GIN", parent=twin)
    with pytest.raises(rules.Duplicate):
        tree.merge(yard, actor=SYSTEM, into=twin, reason="Entered twice.")


@pytest.mark.django_db(transaction=True)
def test_fifty_calls_with_one_provider_id_make_one_place(place, user, client_for, emitted):
    staff = user("INTERNAL")
    token = client_for(staff).bearer
    named = {"type": "CITY", "name": "Gondal", "state": "24", "provider": "map", "provider_id": "x1"}

    def send() -> tuple[int, str]:
        client = client_for()
        client.bearer = token
        answer = client.write(PATH, named)
        return answer.status_code, answer.json().get("id", answer.json())

    before = len(emitted("location.created"))
    answers = at_once(*[send] * 50)
    assert sorted(status for status, _ in answers) == [200] * 49 + [201]
    assert len({pk for _, pk in answers}) == 1
    assert Location.objects.filter(name="Gondal").count() == 1
    assert len(emitted("location.created")) == before + 1


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_moves_into_each_other_is_refused(place):
    for _ in range(5):
        first, second = place(type="GIN"), place(type="GIN")
        results = at_once(
            lambda a=first, b=second: tree.reparent(a, actor=SYSTEM, parent=b),
            lambda a=first, b=second: tree.reparent(b, actor=SYSTEM, parent=a),
        )
        assert sorted(type(result).__name__ for result in results) == ["Cycle", "Location"]


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_merges_into_each_other_is_refused(place):
    for _ in range(5):
        first, second = place(), place()
        results = at_once(
            lambda a=first, b=second: tree.merge(a, actor=SYSTEM, into=b, reason="Twice."),
            lambda a=first, b=second: tree.merge(b, actor=SYSTEM, into=a, reason="Twice."),
        )
        statuses = sorted(
            getattr(result, "status", "") if isinstance(result, DomainError) else 200 for result in results
        )
        assert statuses == [200, 409]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_random_moves_merges_and_new_places_leave_a_tree(place):
    states = list(Location.objects.filter(type="STATE", state__in=["24", "27"]))
    rows = [
        place(type=kind, state=None, parent=states[n % 2]) for n in range(40) for kind in ("GIN", "OTHER")
    ]
    keys = [row.pk for row in rows]

    def work(seed: int) -> Callable[[], None]:
        def run() -> None:
            dice = random.Random(seed)  # noqa: S311 - a game, not a secret
            for _ in range(250):
                one, other = (Location.objects.get(pk=dice.choice(keys)) for _ in range(2))
                act = dice.random()
                try:
                    if act < 0.6:
                        target = dice.choice([other, other, *states])
                        tree.reparent(one, actor=SYSTEM, if_version=one.version, parent=target)
                    elif act < 0.75:
                        tree.merge(one, actor=SYSTEM, into=other, reason="Random.")
                    else:
                        keys.append(place(type=dice.choice(("GIN", "OTHER")), parent=other).pk)
                except (DomainError, PreconditionFailed):
                    continue

        return run

    results = at_once(*[work(seed) for seed in range(4)])
    assert results == [None] * 4
    assert Location.objects.filter(status="MERGED").exists()
    assert_a_tree(Location.objects.all())
