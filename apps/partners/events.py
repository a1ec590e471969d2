"""Events of partners: ids, codes, dates and amounts, never names, numbers of registers or free text."""

from datetime import date, datetime
from uuid import UUID

from apps.partners import capabilities
from erp.events import ALL, DecimalText, Event, event, rows_of

rows_of("partner", model="partner.Partner", reads=capabilities.VIEW)

PARTNER = ("partner", "partner_id")
OWN = {"partner_id": ALL}


class OfPartner(Event):
    """Fields of every event of a partner."""

    partner_id: UUID


class OfRound(OfPartner):
    """Fields of every event of an onboarding or renewal round."""

    round_id: UUID


@event("partner.onboarding.started", version=1, aggregate=PARTNER, readers=OWN)
class OnboardingStarted(OfRound):
    number: int
    kind: str
    roles: list[str]
    country: str
    source: str


@event("partner.onboarding.updated", version=1, aggregate=PARTNER, readers=OWN)
class OnboardingUpdated(OfRound):
    changed: list[str]


@event("partner.onboarding.part_removed", version=1, aggregate=PARTNER, readers=OWN)
class PartRemoved(OfRound):
    target: str
    target_id: UUID


@event("partner.onboarding.submitted", version=1, aggregate=PARTNER, readers=OWN)
class OnboardingSubmitted(OfRound):
    kind: str
    roles: list[str]
    country: str
    checks: int
    notice_version: str
    consent_purposes: list[str]


@event("partner.duplicate_detected", version=1, aggregate=PARTNER, readers={})
class DuplicateDetected(OfRound):
    other_partner_id: UUID


@event("partner.related_party.detected", version=1, aggregate=PARTNER, readers={})
class RelatedPartyDetected(OfPartner):
    link_id: UUID
    kind: str
    strength: str


@event("partner.related_party.decided", version=1, aggregate=PARTNER, readers={})
class RelatedPartyDecided(OfPartner):
    link_id: UUID
    status: str
    cleared_until_date: date | None


@event("partner.check.waived", version=1, aggregate=PARTNER, readers={})
class CheckWaived(OfPartner):
    check_id: UUID
    approval_id: UUID


class OverrideEvent(OfPartner):
    """What two people override: a related party, a check or a permission."""

    subject_type: str
    subject_id: UUID
    approval_id: UUID


@event("partner.override.requested", version=1, aggregate=PARTNER, readers={})
class OverrideRequested(OverrideEvent):
    pass


@event("partner.override.ended", version=1, aggregate=PARTNER, readers={})
class OverrideEnded(OverrideEvent):
    pass


@event("partner.onboarding.assessed", version=1, aggregate=PARTNER, readers={})
class OnboardingAssessed(OfRound):
    trust_score: int
    category: str
    route: str
    open_checks: int


@event("partner.trust_score_changed", version=1, aggregate=PARTNER, readers={})
class TrustScoreChanged(OfPartner):
    old: int | None
    new: int
    old_category: str | None
    new_category: str


@event("partner.rated", version=1, aggregate=PARTNER, readers=OWN)
class PartnerRated(OfPartner):
    band: str | None
    previous_band: str | None
    trades: int


@event("partner.onboarding.info_requested", version=1, aggregate=PARTNER, readers=OWN)
class InfoRequested(OfRound):
    items: int
    due_at: datetime


@event("partner.onboarding.resubmitted", version=1, aggregate=PARTNER, readers=OWN)
class OnboardingResubmitted(OfRound):
    rechecks: int


@event("partner.onboarding.withdrawn", version=1, aggregate=PARTNER, readers=OWN)
class OnboardingWithdrawn(OfRound):
    kind: str


@event("partner.onboarding.assigned", version=1, aggregate=PARTNER, readers={})
class OnboardingAssigned(OfRound):
    assigned_to: UUID | None


@event("partner.onboarding.expired", version=1, aggregate=PARTNER, readers=OWN)
class OnboardingExpired(OfRound):
    kind: str


@event("partner.approved", version=1, aggregate=PARTNER, readers=OWN)
class PartnerApproved(OfRound):
    code: str
    roles: list[str]
    entity_class: str
    country: str
    kyc_expiry_date: date
    approved_by: UUID | None


@event("partner.rejected", version=1, aggregate=PARTNER, readers=OWN)
class PartnerRejected(OfRound):
    reason_code: str
    reapply_date: date | None
    rejected_by: UUID | None


@event("partner.check.recorded", version=1, aggregate=PARTNER, readers={})
class CheckRecorded(OfPartner):
    check_id: UUID
    kind: str
    check_status: str


@event("partner.registration.checked", version=1, aggregate=PARTNER, readers={})
class RegistrationChecked(OfPartner):
    registration_id: UUID
    old_status: str
    new_status: str


@event("partner.document.uploaded", version=1, aggregate=PARTNER, readers=OWN)
class DocumentUploaded(OfRound):
    document_id: UUID
    document_type: str
    target_type: str
    revision: int
    expiry_date: date | None


@event("partner.document.verified", version=1, aggregate=PARTNER, readers=OWN)
class DocumentVerified(OfPartner):
    document_id: UUID
    document_type: str
    target_type: str
    expiry_date: date | None
    by_system: bool


@event("partner.document.rejected", version=1, aggregate=PARTNER, readers=OWN)
class DocumentRejected(OfPartner):
    document_id: UUID
    document_type: str
    reason_code: str


@event("partner.document.expired", version=1, aggregate=PARTNER, readers=OWN)
class DocumentExpired(OfPartner):
    document_id: UUID
    document_type: str
    target_type: str
    target_id: UUID


@event("partner.location.added", version=1, aggregate=PARTNER, readers=OWN)
class PartnerLocationAdded(OfPartner):
    location_id: UUID
    kind: str
    state_code: str | None
    is_registered: bool


@event("partner.location.located", version=1, aggregate=PARTNER, readers=OWN)
class PartnerLocationLocated(OfPartner):
    location_id: UUID
    geo_status: str


@event("partner.vehicle.added", version=1, aggregate=PARTNER, readers=OWN)
class VehicleAdded(OfPartner):
    vehicle_id: UUID
    category: str


@event("partner.bank_account.added", version=1, aggregate=PARTNER, readers=OWN)
class PartnerBankAccountAdded(OfPartner):
    bank_account_id: UUID
    purpose: str
    currency: str


@event("partner.bank_account.verified", version=1, aggregate=PARTNER, readers=OWN)
class PartnerBankAccountVerified(OfPartner):
    bank_account_id: UUID
    method: str
    payable_from: datetime
    is_primary: bool


@event("partner.bank_account.lapsed", version=1, aggregate=PARTNER, readers=OWN)
class PartnerBankAccountLapsed(OfPartner):
    bank_account_id: UUID


@event("partner.employee.invited", version=1, aggregate=PARTNER, readers=OWN)
class EmployeeInvited(OfPartner):
    employee_id: UUID
    roles: list[str]
    held: bool


@event("partner.employee.activated", version=1, aggregate=PARTNER, readers=OWN)
class EmployeeActivated(OfPartner):
    employee_id: UUID


@event("partner.employee.lapsed", version=1, aggregate=PARTNER, readers=OWN)
class EmployeeLapsed(OfPartner):
    employee_id: UUID


@event("partner.employee.deactivated", version=1, aggregate=PARTNER, readers=OWN)
class EmployeeDeactivated(OfPartner):
    employee_id: UUID


@event("partner.capabilities_changed", version=1, aggregate=PARTNER, readers=OWN)
class PermissionsChanged(OfPartner):
    added: list[str]
    removed: list[str]
    override: bool


@event("partner.amendment.requested", version=1, aggregate=PARTNER, readers=OWN)
class AmendmentRequested(OfPartner):
    amendment_id: UUID
    tier: str
    targets: list[str]
    fields: list[str]
    effective_date: date


@event("partner.amendment.approved", version=1, aggregate=PARTNER, readers=OWN)
class AmendmentApproved(OfPartner):
    amendment_id: UUID
    tier: str
    effective_date: date
    approved_by: UUID | None


@event("partner.amendment.rejected", version=1, aggregate=PARTNER, readers=OWN)
class AmendmentRejected(OfPartner):
    amendment_id: UUID
    reason_code: str


@event("partner.amendment.withdrawn", version=1, aggregate=PARTNER, readers=OWN)
class AmendmentWithdrawn(OfPartner):
    amendment_id: UUID


@event("partner.amendment.applied", version=1, aggregate=PARTNER, readers=OWN)
class AmendmentApplied(OfPartner):
    amendment_id: UUID
    targets: list[str]
    fields: list[str]


@event("partner.amendment.staled", version=1, aggregate=PARTNER, readers=OWN)
class AmendmentStaled(OfPartner):
    amendment_id: UUID


@event("partner.amendment.lapsed", version=1, aggregate=PARTNER, readers=OWN)
class AmendmentLapsed(OfPartner):
    amendment_id: UUID


@event("partner.bank_account.closed", version=1, aggregate=PARTNER, readers=OWN)
class PartnerBankAccountClosed(OfPartner):
    bank_account_id: UUID


@event("partner.bank_account.primary_changed", version=1, aggregate=PARTNER, readers=OWN)
class PrimaryAccountChanged(OfPartner):
    bank_account_id: UUID
    previous_id: UUID | None


@event("partner.kyc.renewal_started", version=1, aggregate=PARTNER, readers=OWN)
class RenewalStarted(OfRound):
    kind: str
    due_date: date


@event("partner.kyc.renewal_completed", version=1, aggregate=PARTNER, readers=OWN)
class RenewalCompleted(OfRound):
    kyc_expiry_date: date
    completed_by: UUID | None


@event("partner.kyc.reminded", version=1, aggregate=PARTNER, readers=OWN)
class KycReminded(OfPartner):
    subject_type: str
    subject_id: UUID
    expiry_date: date
    days_left: int


@event("partner.kyc.expired", version=1, aggregate=PARTNER, readers=OWN)
class KycExpired(OfPartner):
    grace_until_date: date


@event("partner.kyc.lapsed", version=1, aggregate=PARTNER, readers=OWN)
class KycLapsed(OfPartner):
    kyc_expiry_date: date


@event("partner.suspended", version=1, aggregate=PARTNER, readers=OWN)
class PartnerSuspended(OfPartner):
    reason_code: str
    review_date: date | None
    holds_released: int


@event("partner.reactivated", version=1, aggregate=PARTNER, readers=OWN)
class PartnerReactivated(OfPartner):
    reason_code: str


@event("partner.erased", version=1, aggregate=PARTNER, readers={})
class PartnerErased(OfPartner):
    is_recognised: bool  # by the hash of its PAN, after forged papers or sanctions


@event("partner.closed", version=1, aggregate=PARTNER, readers=OWN)
class PartnerClosed(OfPartner):
    cause: str


@event("partner.credit_limit_changed", version=1, aggregate=PARTNER, readers=OWN)
class CreditLimitChanged(OfPartner):
    credit_limit_id: UUID
    old_amount: DecimalText
    new_amount: DecimalText
    currency: str
    valid_from: date
    valid_to: date | None
    payment_terms_days: int
    on_hold: bool
    approved_by: UUID | None


@event("partner.credit_limit_proposed", version=1, aggregate=PARTNER, readers={})
class CreditLimitProposed(OfPartner):
    credit_limit_id: UUID
    approval_id: UUID
    new_amount: DecimalText
    currency: str


@event("partner.credit_limit_refused", version=1, aggregate=PARTNER, readers={})
class CreditLimitRefused(OfPartner):
    credit_limit_id: UUID
    approval_id: UUID


class ExposureEvent(OfPartner):
    """What an operation of the ledger changed."""

    entry_ids: list[int]
    source_type: str
    source_id: UUID
    bucket: str
    amount: DecimalText
    currency: str


@event("partner.exposure.held", version=1, aggregate=PARTNER, readers=OWN)
class ExposureHeld(ExposureEvent):
    warn: bool


@event("partner.exposure.moved", version=1, aggregate=PARTNER, readers=OWN)
class ExposureMoved(ExposureEvent):
    pass


@event("partner.exposure.released", version=1, aggregate=PARTNER, readers=OWN)
class ExposureReleased(ExposureEvent):
    pass


@event("partner.exposure.converted", version=1, aggregate=PARTNER, readers=OWN)
class ExposureConverted(ExposureEvent):
    pass


@event("partner.exposure.settled", version=1, aggregate=PARTNER, readers=OWN)
class ExposureSettled(ExposureEvent):
    pass


@event("partner.exposure.marked", version=1, aggregate=PARTNER, readers=OWN)
class ExposureMarked(ExposureEvent):
    pass


@event("partner.exposure.margin_changed", version=1, aggregate=PARTNER, readers=OWN)
class MarginChanged(ExposureEvent):
    pass


@event("partner.exposure.threshold_crossed", version=1, aggregate=PARTNER, readers=OWN)
class ThresholdCrossed(OfPartner):
    level: str
    previous_level: str
    utilisation_percent: DecimalText | None
