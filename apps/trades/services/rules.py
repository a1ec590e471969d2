"""What services of trades share: problems, the head of events, the terms in force, and who acts for which side."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, cast

from apps.availability.services.listing import measured
from apps.partners.models import Partner, PartnerEmployee
from apps.partners.services.gate import Permissions, permission_for, reasons_against
from apps.trades.engine import errors as engine_errors
from apps.trades.engine import terms as frozen
from apps.trades.engine.terms import Role, Side
from apps.trades.models import Terms, Trade
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Forbidden, RuleBroken
from erp.events import Quantity
from erp.files import Upload
from erp.uploads import services as uploads
from erp.uploads.models import StoredFile

SnapshotDamaged = engine_errors.SnapshotDamaged
UnitMismatch = engine_errors.UnitMismatch
EVIDENCE: Final = "trade.evidence"  # purpose of all uploads of this module
FileUsed = uploads.FileUsed


class InvalidState(Conflict):
    """The trade's status doesn't allow this action."""


class AlreadyCreated(Conflict):
    """There is a trade of this match, negotiation or reservation already."""

    constraints = ("trade_match_once", "trade_negotiation_once", "trade_reservation_once")


class SourceNotOpen(Conflict):
    """The match isn't approved by both sides, or the negotiation isn't accepted."""


class ReservationNotLive(Conflict):
    """The reservation has ended."""


class ReservationLive(Conflict):
    """The reservation still holds the goods: create the trade, or wait until it ends."""


class StaleSource(Conflict):
    """The offer has changed since the match."""


class PartnerNotReady(Conflict):
    """A partner isn't open for new business at present."""


class SourceMismatch(RuleBroken):
    """Reservation, match and buyer don't belong together."""


class PriceTypeUnsupported(RuleBroken):
    """Only a fixed price can be contracted."""


class RegistrationNotOfParty(RuleBroken):
    """The registration isn't the partner's, or can't be used on the trade date."""


class PartyInvalid(RuleBroken):
    """The parties are incomplete or contradict each other."""


class TermFixed(RuleBroken):
    """The match or negotiation fixes this term."""


class TermsIncomplete(RuleBroken):
    """A term is missing that neither the input nor the source gives."""


class QuantityInvalid(RuleBroken):
    """The quantity is more than is reserved, or a part of a package."""


class DateInFuture(RuleBroken):
    """The date is after today."""


class RiskBlocked(RuleBroken):
    """The risk rules stop this trade."""


class NotASide(Forbidden):
    """Only the seller and the buyer can do this, or staff for one of them."""


class NotYourPart(Forbidden):
    """Your firm's part in the trade doesn't include this."""


class EvidenceRequired(RuleBroken):
    """Staff need to say for which side they act, and evidence of its agreement."""


class ContractChanged(Conflict):
    """These aren't the terms in force."""


class AlreadyAcknowledged(Conflict):
    """The side has acknowledged these terms."""

    constraints = ("acknowledgement_once",)


class ApproverRepeated(Conflict):
    """You have approved this trade; another person must approve it, too."""


class OnHold(Conflict):
    """The trade is on hold because a partner is suspended."""


class ParameterUnknown(RuleBroken):
    """The commodity has no such quality parameter, or no such test method."""


class ValueOutOfRange(RuleBroken):
    """The value is outside the parameter's range."""


class SourceNotFinal(RuleBroken):
    """The contract doesn't make this source final."""


class GoverningIncomplete(RuleBroken):
    """A parameter of the contract's schedule is missing."""


class GoverningExists(Conflict):
    """Another result governs the lot; name it to replace it."""

    constraints = ("governing_one_per_lot",)


class TimesOutOfOrder(RuleBroken):
    """The times contradict each other."""


class SlipUsed(Conflict):
    """The weighbridge slip was used before."""

    constraints = ("weighment_slip_once",)


class AlreadyCorrected(Conflict):
    """The weighing was corrected before."""


class NetNotPositive(RuleBroken):
    """The tare is not below the gross weight."""

    code = "trade.net_not_positive"


class CountMismatch(RuleBroken):
    """The number of packages doesn't fit the lot or the dispatch."""


class OverTolerance(RuleBroken):
    """The quantity is above the contract's tolerance."""


class LotUnknown(RuleBroken):
    """The trade has no such lot, or it occurs twice."""


class DispatchRequired(RuleBroken):
    """A weighing at the destination belongs to a dispatch of this trade."""


class VehiclePapersExpired(Conflict):
    """A paper of the vehicle isn't valid on that day."""


class TransporterUnfit(RuleBroken):
    """The transporter or the vehicle can't carry these goods."""


class QualityRejected(Conflict):
    """The lot was rejected for its quality."""


class LotOverdispatched(RuleBroken):
    """More of the lot would be dispatched than it has."""


class DocumentMissing(RuleBroken):
    """Above the e-way bill limit a dispatch needs an invoice or delivery challan number."""


class DocumentUsed(Conflict):
    """A live e-way bill names this document, or has this number, already."""

    constraints = ("dispatch_eway_document_once", "dispatch_eway_number_once")


class NotDelivered(Conflict):
    """Only delivered goods can come back."""


class NotRejected(Conflict):
    """Only a lot that the governing result rejects can go back."""


class AlreadyDelivered(Conflict):
    """The dispatch was delivered or voided already."""


class DeliveredBeforeDispatch(RuleBroken):
    """The goods can't arrive before they were dispatched."""


class LotOverdelivered(RuleBroken):
    """More of the lot would be delivered than was dispatched."""


class GoodsInTransit(Conflict):
    """Goods are on their way; record their delivery first."""


class WashoutMissing(RuleBroken):
    """A default needs the market price for the washout."""


class AmendmentOpen(Conflict):
    """Another amendment is open."""

    constraints = ("amendment_one_open",)


class NotAmendable(RuleBroken):
    """This can't be amended, or not any more."""


class NoChange(RuleBroken):
    """The amendment changes nothing."""


class OwnAmendment(Forbidden):
    """The other side must decide on an amendment."""


class AmendmentStale(Conflict):
    """The terms have changed since the amendment was proposed."""


class ClaimTooLate(RuleBroken):
    """The time for this claim has passed."""


class AwardMissing(RuleBroken):
    """An upheld claim needs an amount and a side that receives it."""


class AwardAboveClaim(RuleBroken):
    """More would be awarded than was claimed."""


TERM_ERRORS: Final = (
    engine_errors.BadInput, UnitMismatch, engine_errors.PriceNotPositive, engine_errors.TermFixed,
    engine_errors.TermsUnsupported, engine_errors.LotsMismatch, engine_errors.SharesNotWhole,
    engine_errors.SlabsInvalid, engine_errors.WindowInvalid, engine_errors.TaxRuleMissing,
)  # fmt: skip


def head(trade: Trade) -> dict[str, Any]:
    """Fields of the trade that every event carries."""
    return {
        "trade_id": trade.pk,
        "number": trade.number,
        "organization_id": trade.organization_id,
        "seller_id": trade.seller_id,
        "buyer_id": trade.buyer_id,
        "status": trade.status,
        "currency": trade.currency,
        "fx_rate": trade.fx_rate,
    }


def require_status(trade: Trade, *states: str) -> None:
    """Raise InvalidState unless the trade has one of these statuses."""
    if trade.status not in states:
        raise InvalidState.of_status(trade)


def terms_of(trade: Trade) -> frozen.Terms:
    """The terms in force. Raises SnapshotDamaged where they don't match the hash."""
    row = Terms.objects.get(trade=trade, terms_version=trade.terms_version)
    if row.hash != trade.contract_hash:
        raise SnapshotDamaged("The terms do not match the contract hash.")
    return frozen.thaw(row.body, row.hash)


def require_writable(trade: Trade, *states: str) -> frozen.Terms:
    """The terms of a trade that may change in one of these statuses. Raises InvalidState, SnapshotDamaged."""
    require_status(trade, *states)
    return terms_of(trade)


Evidence = StoredFile | Upload  # an upload, or a file that comes with a form


def use_file(actor: Actor, file: Evidence | None) -> StoredFile | None:
    """Store a file as evidence of a trade. Raises FileUsed."""
    shared: dict[str, Any] = {"actor": actor, "purpose": EVIDENCE, "used_by": "trade.Trade"}
    if isinstance(file, Upload):
        return cast(StoredFile, uploads.create(file=file, **shared))
    return None if file is None else cast(StoredFile, uploads.use(file, **shared))


def lock_trade(part: Any) -> None:
    """Lock the trade before a part of it."""
    list(Trade.objects.locked().filter(pk=part.trade_id))


def touch(trade: Trade, **changes: Any) -> None:
    """Save the trade with a new version: it, or a part of it, has changed."""
    for name, value in changes.items():
        setattr(trade, name, value)
    trade.raise_version()
    trade.save()


def acting_side(
    trade: Trade,
    actor: Actor,
    on_behalf_of: str | None,
    evidence: Evidence | None,
    *,
    evidenced: bool = True,
) -> tuple[Side, bool]:
    """The side that the actor is or acts for, and whether it is on behalf.

    Raises NotASide for other partners, EvidenceRequired for staff without side, or without the evidence of it.
    """
    if actor.partner_id is not None:
        own = trade.side_of(actor)
        if own is None or on_behalf_of not in (None, own):
            raise NotASide
        return own, False
    if on_behalf_of is None:
        raise EvidenceRequired.at("/on_behalf_of", "required", "Say for which side you act.")
    if evidenced and evidence is None:
        raise EvidenceRequired.at("/evidence_upload_id", "required", "Upload what proves its agreement.")
    return Side(on_behalf_of), True


def role_of(trade: Trade, actor: Actor, *allowed: str) -> str:
    """The role of the actor's partner among those allowed; empty for staff and SYSTEM. Raises NotYourPart."""
    if actor.partner_id is None:
        return ""
    roles = trade.parties.filter(partner_id=actor.partner_id, role__in=allowed).values_list("role", flat=True)
    if not roles:
        raise NotYourPart
    return str(sorted(roles, key=list(allowed).index)[0])


def permissions_of(terms: frozen.Terms, seller: Partner, buyer: Partner) -> Permissions:
    """The trade permissions that the two sides need."""
    goods = terms.references.get("goods_country", "IN")
    destination = terms.references.get("destination_country", "IN")
    return permission_for(goods, destination, terms.delivery.basis, seller_country=seller.country)


def require_partners(seller: Partner, buyer: Partner, needed: Permissions, day: date) -> None:
    """Raise PartnerNotReady unless both sides may do new business."""
    checks = ((Role.SELLER, seller, "sell", needed.seller), (Role.BUYER, buyer, "buy", needed.buyer))
    faults = {
        role.value: reasons
        for role, partner, side, permission in checks
        if (reasons := reasons_against(partner, side, (permission,), day))
    }
    if faults:
        raise PartnerNotReady(reasons=faults)


def require_past(pointer: str, moment: datetime) -> None:
    """Raise DateInFuture for a moment after today."""
    if day_of(moment) > clock.today():
        raise DateInFuture.at(pointer, "future", f"Not after today, {clock.today()}.")


def day_of(moment: datetime) -> date:
    """The business day of a moment."""
    return moment.astimezone(clock.KOLKATA).date()


def quantity_of(trade: Trade, quantity: Decimal) -> Quantity:
    """A quantity in the offer's unit, as events carry it."""
    return measured(trade.availability, quantity)


def linked_people(trade: Trade) -> set[Any]:
    """Users who belong to a party of the trade."""
    partners = trade.parties.values("partner")
    return set(
        PartnerEmployee.objects.filter(partner__in=partners, user__isnull=False).values_list(
            "user", flat=True
        )
    )


def lots_of(trade: Trade) -> dict[Any, Any]:
    """The lots of the trade by id."""
    return {lot.pk: lot for lot in trade.lots.order_by("lot_no")}


def require_lots(trade: Trade, lines: Iterable[dict[str, Any]]) -> dict[Any, Any]:
    """The lots of the lines, by id. Raises LotUnknown for one of another trade, or twice."""
    lots, seen = lots_of(trade), set()
    for number, line in enumerate(lines):
        if line["lot_id"] not in lots or line["lot_id"] in seen:
            raise LotUnknown(
                errors=[
                    FieldError(
                        f"/lines/{number}/lot_id", "does_not_exist", "The trade has no such lot, or twice."
                    )
                ]
            )
        seen.add(line["lot_id"])
        lot = lots[line["lot_id"]]
        if (line.get("count") is None) != (lot.count is None):
            words = "Enter the packages." if lot.count is not None else "The lot isn't counted."
            raise CountMismatch.at(f"/lines/{number}/count", "count", words)
    return {line: lots[line] for line in seen}
