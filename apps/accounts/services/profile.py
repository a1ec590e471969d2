"""The user's own profile."""

from typing import Any

from apps.accounts import capabilities, events
from apps.accounts.models import OneTimeToken, OtpChallenge, SignInCounter, User
from apps.accounts.services import addresses, one_time, otp
from apps.accounts.services.common import Locked, Origin, ReauthenticationFailed, TooManyMails
from apps.accounts.services.counting import FAILED, count_failure, counter_of, of_passwords, reset_failures
from apps.accounts.services.passwords import is_right
from apps.accounts.services.signing_in import mark_used
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, Forbidden, RuleBroken
from erp.identifiers import EMAIL
from erp.services import Refusal, emit, service

_Purpose = OneTimeToken.Purpose


class CurrentPasswordRequired(RuleBroken):
    """Enter your password to change the e-mail address or mobile number."""


class MobileProofRequired(RuleBroken):
    """Enter the code that was sent to the new mobile number."""


class MobileProofInvalid(Forbidden):
    """Incorrect code for the new mobile number."""


class MobileTaken(Conflict):
    """The mobile number belongs to another account."""


class IdentifierRequired(RuleBroken):
    """An e-mail address or a mobile number is required; staff need an e-mail address."""


@service(
    requires=capabilities.UPDATE_PROFILE,
    emits=[events.ProfileUpdated, events.EmailVerificationRequested, events.SignUpRepeated, *FAILED],
    raises=[
        CurrentPasswordRequired,
        ReauthenticationFailed,
        MobileProofRequired,
        MobileProofInvalid,
        MobileTaken,
        IdentifierRequired,
        Locked,
        TooManyMails,
    ],
    writes_on_refusal=[SignInCounter, OtpChallenge],
)
def update_profile(
    user: User,
    *,
    actor: Actor,
    full_name: str,
    locale: str,
    notify_email: bool,
    notify_sms: bool,
    digest: str,
    email: str | None = None,
    mobile: str | None = None,
    current_password: str | None = None,
    mobile_proof: dict[str, Any] | None = None,
    origin: Origin | None = None,
) -> User | Refusal:
    """Update your profile.

    A new e-mail address takes effect when the link sent to it is used; a new mobile number needs a code that was
    sent to it. Both need the password, if one is set.
    """
    email = EMAIL.normalise(email) if email else None
    if email is None and mobile is None:
        raise IdentifierRequired
    new_email = email if email not in (user.email, user.pending_email) else None
    removes_email = email is None and user.email is not None
    changes_mobile = mobile != user.mobile
    needs_password = bool(new_email or removes_email or changes_mobile) and user.has_usable_password()
    if needs_password and current_password is None:
        raise CurrentPasswordRequired
    if changes_mobile and mobile is not None and mobile_proof is None:
        raise MobileProofRequired
    if removes_email and user.is_staff:
        raise IdentifierRequired
    if needs_password and current_password is not None:
        counter_of(of_passwords(user))
        if not is_right(user, current_password):
            return count_failure(of_passwords(user), user, ReauthenticationFailed())
        reset_failures(of_passwords(user))
    if changes_mobile and mobile is not None and mobile_proof is not None:
        refusal = _verify_mobile(user, mobile, mobile_proof)
        if refusal is not None:
            return refusal
    user.full_name, user.locale = full_name, locale
    user.notify_email, user.notify_sms, user.digest = notify_email, notify_sms, digest
    if changes_mobile:
        user.mobile, user.mobile_verified_at = mobile, clock.now() if mobile is not None else None
    if removes_email:
        user.email = user.email_verified_at = user.pending_email = None
        one_time.void(user.pk, _Purpose.RESET_PASSWORD, _Purpose.CHANGE_EMAIL)
    elif new_email is not None:
        _request_email_change(user, new_email, origin)
    if user.email is None and user.mobile is None:
        raise IdentifierRequired  # the new address is not verified yet
    changed = sorted(name for name in user.changed_fields() if not name.endswith("_verified_at"))
    if changed:
        user.save()
        emit(events.ProfileUpdated(user_id=user.pk, changed=changed))
    return user


def _verify_mobile(user: User, mobile: str, proof: dict[str, Any]) -> Refusal | None:
    problem = MobileProofInvalid()
    challenge, wrong = otp.check(
        proof["challenge_id"], OtpChallenge.Purpose.PROVE_NUMBER, proof["code"], problem, user=user
    )
    if wrong is not None:
        return wrong
    if challenge.number != mobile:
        raise problem
    addresses.hold(mobile)
    if User.objects.filter(mobile=mobile).exclude(pk=user.pk).exists():
        raise MobileTaken
    mark_used(challenge)
    return None


def _request_email_change(user: User, email: str, origin: Origin | None) -> None:
    """Store the pending address and send it a link. For another user's address its owner gets a notice instead.

    An unverified sign-up does not own its address: it is erased when the link is used. The token has no user where
    the address is taken, so that no link is sent; the event names the requester in any case.
    """
    purpose = _Purpose.CHANGE_EMAIL
    owners = User.objects.exclude(status=User.Status.PENDING)
    owner = owners.filter(email=email).exclude(pk=user.pk).first()
    user.pending_email = email
    one_time.void(user.pk, purpose)
    row = one_time.create(
        purpose, address=email, user=user if owner is None else None, asked_by=user.pk, origin=origin
    )
    if row is None:
        return
    emit(events.EmailVerificationRequested(token_id=row.pk, user_id=user.pk, purpose=purpose))
    if owner is not None:
        emit(events.SignUpRepeated(user_id=owner.pk))
