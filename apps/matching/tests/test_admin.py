"""The match desk in the staff portal."""

import pytest

from apps.matching.engine.body import DEFAULT
from apps.matching.models import Allocation, AllocationPart, RuleSet
from apps.matching.services import batches
from apps.matching.tests.factories import again
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
URL = "/admin/matching/"


def test_the_desk_shows_reasons_runs_and_shares(cotton, user, staff_client_for):
    match = cotton.match()
    with unguarded_writes():
        allocation = Allocation(
            availability=match.availability, run=match.run, unit="BALE", open_quantity=100, step=1, max_share=5000,
            divisible=True,
        )  # fmt: skip
        allocation.save()
        AllocationPart(
            allocation=allocation, match=match, cluster=match.buyer_partner_id, rank=1, want=100, need=1, given=43,
            reason="SHARE",
        ).save()  # fmt: skip
    client = staff_client_for(user("INTERNAL_MANAGER"))
    page = client.get(f"{URL}match/{match.pk}/change/").content.decode()
    for text in ("Micronaire", "from 3.7, to 4.5, best 4.1", "unverified", "<progress", "0.72", "40 %"):
        assert text in page, text
    assert "Proportional share" in client.get(f"{URL}allocation/{allocation.pk}/change/").content.decode()
    run = client.get(f"{URL}matchrun/{match.run_id}/change/").content.decode()
    assert str(match.requirement) in run
    for name in ("match", "matchrun", "allocation", "ruleset", "rematchmark"):
        assert client.get(f"{URL}{name}/").status_code == 200, name


def test_a_proposal_shows_its_simulation_beside_the_current_rules(cotton, user, staff_client_for):
    cotton.match()
    with unguarded_writes():
        row = RuleSet(
            version=1, body={**DEFAULT.stored(), "min_score": "0.6500"}, base_version=0, reason="Stricter."
        )
        row.save()
    page = staff_client_for(user("INTERNAL_MANAGER")).get(f"{URL}ruleset/{row.pk}/change/").content.decode()
    assert "Simulation of 1 requirements" in page
    assert "Only by the current rules" in page
    assert again(row).status == "PROPOSED"


def test_a_page_names_a_row_of_another_module_only_for_whoever_sees_it(cotton, user, staff_client_for):
    owner, other = user("INTERNAL_MANAGER"), user("INTERNAL_MANAGER")
    run = batches.start_batch(actor=owner, commodity=cotton.goods)
    address, job = f"{URL}matchrun/{run.pk}/change/", f"/admin/job/job/{run.job_id}/change/"
    assert f'href="{job}"' in staff_client_for(owner).get(address).content.decode()
    page = staff_client_for(other).get(address).content.decode()
    assert job not in page
    assert str(run.job_id) in page
