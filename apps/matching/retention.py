"""What matching holds about people, and how long runs and ended matches stay."""

from apps.matching.models import Allocation, Match, MatchNotice, MatchRun
from apps.matching.models.matches import PURGED_AFTER
from apps.matching.services import purging
from erp.retention import DELETE, Rule, declare, register

_BASIS = "no further purpose after a year of trade and its review"
declare(Match, category="notes", purpose="matches", erased={"buyer_note": "", "seller_note": ""})
declare(MatchNotice, category="which matches a person learnt of", purpose="digests", erased=DELETE)
for _name, _title, _model, _service in (
    ("allocations", "allocations that bind no live match", Allocation, purging.purge_allocation),
    ("matches", "ended matches that nothing refers to", Match, purging.purge_match),
    ("runs", "runs whose matches are gone", MatchRun, purging.purge_run),
):
    register(Rule(f"matching.{_name}", _title, PURGED_AFTER, _BASIS, _model.objects.to_purge, _service))
