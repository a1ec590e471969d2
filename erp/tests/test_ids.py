"""Identifiers: fresh ones, and repeatable ones for demo data."""

from uuid import RFC_4122, UUID

from erp import ids


def test_repeatable_ids_depend_on_their_label_and_end_with_the_block() -> None:
    def taken(label: str, position: int = 0) -> list[UUID]:
        with ids.repeatable(label, position):
            return [ids.uuid7() for _ in range(3)]

    first = taken("offer")
    assert first == taken("offer")
    assert first != taken("other")
    assert first == sorted(first)
    assert max(first) < min(taken("offer", 1))
    assert {(each.version, each.variant) for each in first} == {(7, RFC_4122)}
    assert ids.uuid7() != ids.uuid7()
