"""One's own profile."""

from typing import Any

from apps.accounts import capabilities, events
from apps.accounts.models import OneTimeToken, OtpChallenge, SignInCounter, User
from apps.accounts.services import addresses, one_time, otp
from apps.accounts.services.common import Locked, Origin, ReauthenticationFailed, TooManyMails
from apps.accounts.services.counting import FAILED, counter_of, failed, of_passwords, succeeded
from apps.accounts.services.passwords import is_right
from apps.accounts.services.signing_in import use_code
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, Forbidden, RuleBroken
from erp.identifiers import EMAIL
from erp.services import Refusal, emit, service

_Purpose = OneTimeToken.Purpose


class CurrentPasswordRequired(RuleBroken):
    """A new address or number needs your password."""


class MobileProofRequired(RuleBroken):
    """A new number needs a code that was sent to it."""


class MobileProofInvalid(Forbidden):
    """The code doesn't prove the number."""


class MobileTaken(Conflict):
    """The number belongs to another account."""


class IdentifierRequired(RuleBroken):
    """Nobody is without both address and number."""


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

    A new address waits until the link in its mail was used; a new number needs a code that was sent to it.
    Both need the password where there is one.
    """
    email = EMAIL.normalise(email) if email else None
    if email is None and mobile is None:
        raise IdentifierRequired
    new_email = email if email not in (user.email, user.pending_email) else None
    gone_email = email is None and user.email is not None
    changes_mobile = mobile != user.mobile
    needs_password = bool(new_email or gone_email or changes_mobile) and user.has_usable_password()
    if needs_password and current_password is None:
        raise CurrentPasswordRequired
    if changes_mobile and mobile is not None and mobile_proof is None:
        raise MobileProofRequired
    if gone_email and user.is_staff:
        raise IdentifierRequired
    if needs_password and current_password is not None:
        counter_of(of_passwords(user))
        if not is_right(user, current_password):
            return failed(of_passwords(user), user, ReauthenticationFailed())
        succeeded(of_passwords(user))
    if changes_mobile and mobile is not None and mobile_proof is not None:
        refusal = _prove(user, mobile, mobile_proof)
        if refusal is not None:
            return refusal
    user.full_name, user.locale = full_name, locale
    user.notify_email, user.notify_sms, user.digest = notify_email, notify_sms, digest
    if changes_mobile:
        user.mobile, user.mobile_verified_at = mobile, clock.now() if mobile is not None else None
    if gone_email:
        user.email = user.email_verified_at = user.pending_email = None
        one_time.void(user.pk, _Purpose.RESET_PASSWORD, _Purpose.CHANGE_EMAIL)
    elif new_email is not None:
        _ask_for_email(user, new_email, origin)
    if user.email is None and user.mobile is None:
        raise IdentifierRequired  # the address that was sent still waits to be proved
    changed = sorted(name for name in user.changed_fields() if not name.endswith("_verified_at"))
    if changed:
        user.save()
        emit(events.ProfileUpdated(user_id=user.pk, changed=changed))
    return user


def _prove(user: User, mobile: str, proof: dict[str, Any]) -> Refusal | None:
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
    use_code(challenge)
    return None


def _ask_for_email(user: User, email: str, origin: Origin | None) -> None:
    """Let the address wait for its link. One that belongs to another isn't told: its owner gets a notice.

    A sign-up that was never proved owns nothing: it gives way when the link is used.

    The token's row says who gets the link, nobody where the address is taken; the event says who asked, so
    that the address in use hears of it either way.
    """
    purpose = _Purpose.CHANGE_EMAIL
    owners = User.objects.exclude(status=User.Status.PENDING)
    owner = owners.filter(email=email).exclude(pk=user.pk).first()
    user.pending_email = email
    one_time.void(user.pk, purpose)
    row = one_time.make(
        purpose, address=email, user=user if owner is None else None, asked_by=user.pk, origin=origin
    )
    if row is None:
        return
    emit(events.EmailVerificationRequested(token_id=row.pk, user_id=user.pk, purpose=purpose))
    if owner is not None:
        emit(events.SignUpRepeated(user_id=owner.pk))
