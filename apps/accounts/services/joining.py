"""Sign-up, invitation and verification of the e-mail address."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from apps.accounts import capabilities, events
from apps.accounts.models import OneTimeToken, OtpChallenge, SignInCounter, User
from apps.accounts.services import addresses, one_time, otp
from apps.accounts.services.common import (
    EmailTaken,
    Locked,
    Origin,
    OtpInvalid,
    PasswordReused,
    PasswordWeak,
    TokenInvalid,
    TooManyMails,
)
from apps.accounts.services.counting import FAILED
from apps.accounts.services.erasing import erase_data
from apps.accounts.services.passwords import check_strength, hashed, set_password, store_password
from apps.accounts.services.references import ORGANIZATION, PARTNER, check_exists
from apps.accounts.services.roles import (
    APPLICANT,
    INTERNAL,
    ROLE_ERRORS,
    RoleNotAllowed,
    check_rank,
    check_roles,
    is_super,
    set_roles,
)
from apps.accounts.services.signing_in import mark_used
from erp import clock
from erp.access import SYSTEM, Actor
from erp.errors import Conflict
from erp.identifiers import EMAIL
from erp.ids import uuid7
from erp.services import Refusal, attempt, emit, service

_Purpose = OneTimeToken.Purpose


class IdentifierUnavailable(Conflict):
    """The e-mail address is already in use."""


class InvalidState(Conflict):
    """The status of the user does not allow this action."""


@service(
    public="a person who signs up has no account yet",
    emits=[events.UserRegistered, events.EmailVerificationRequested, events.SignUpRepeated, *FAILED],
    raises=[PasswordWeak, OtpInvalid, Locked, TooManyMails],
    writes_on_refusal=[SignInCounter, OtpChallenge],
)
def register(
    *,
    actor: Actor,
    full_name: str,
    terms_version: str,
    is_adult: bool,
    locale: str = User.Locale.EN_IN,
    email: str | None = None,
    password: str | None = None,
    challenge_id: UUID | None = None,
    code: str | None = None,
    origin: Origin | None = None,
) -> dict[str, str] | Refusal:
    """Sign up as an applicant.

    Send e-mail and password, or the code that was sent to a mobile number. The answer is the same whether or
    not the account exists. By e-mail, the password becomes valid when the link in the e-mail is used.
    """
    profile = {"full_name": full_name, "locale": locale, "terms_version": terms_version}
    if challenge_id is not None:
        challenge, wrong = otp.check(
            challenge_id, OtpChallenge.Purpose.PROVE_NUMBER, code or "", OtpInvalid()
        )
        if wrong is not None:
            return wrong
        mark_used(challenge)
        _register_number(challenge.number, profile)
        return one_time.ACCEPTED
    email, password = EMAIL.normalise(email or ""), password or ""
    check_strength(password, pointer="/password", email=email, full_name=full_name)
    _register_address(email, hashed(password), profile, origin)
    return one_time.ACCEPTED


def _register_address(email: str, new_password: str, profile: dict[str, str], origin: Origin | None) -> None:
    addresses.hold(email)
    user = User.objects.locked().filter(email=email).first()
    if user is None:
        user = _applicant(email=email, status=User.Status.PENDING, **profile)
        emit(events.UserRegistered(user_id=user.pk, user_type=user.user_type, method="email"))
    else:
        _simulate_registration(profile)
    if user.status != User.Status.PENDING:
        # A row like that of an unknown address; no e-mail carries this token.
        if one_time.create(_Purpose.SIGN_UP, address=email, user=None, origin=origin) is not None:
            emit(events.SignUpRepeated(user_id=user.pk))
        return
    row = one_time.create(
        _Purpose.SIGN_UP, address=email, user=user, origin=origin, new_password=new_password
    )
    if row is not None:
        emit(events.EmailVerificationRequested(token_id=row.pk, user_id=user.pk, purpose=_Purpose.SIGN_UP))


def _simulate_registration(profile: dict[str, str]) -> None:
    """Do the work for an unknown address and roll it back, so that the timing does not reveal a known one."""
    with suppress(_RolledBack), attempt():
        simulated = _applicant(email=f"{uuid7().hex}@nobody.invalid", status=User.Status.PENDING, **profile)
        emit(events.UserRegistered(user_id=simulated.pk, user_type=simulated.user_type, method="email"))
        raise _RolledBack


class _RolledBack(Exception):
    """Rolls back a simulated registration."""


def _register_number(mobile: str, profile: dict[str, str]) -> None:
    addresses.hold(mobile)
    user = User.objects.locked().filter(mobile=mobile).first()
    if user is not None:
        emit(events.SignUpRepeated(user_id=user.pk))
        return
    user = _applicant(mobile=mobile, mobile_verified_at=clock.now(), status=User.Status.ACTIVE, **profile)
    emit(events.UserRegistered(user_id=user.pk, user_type=user.user_type, method="mobile"))


def _applicant(**fields: Any) -> User:
    user = User(user_type=User.Type.APPLICANT, terms_accepted_at=clock.now(), **fields)
    user.set_password(None)
    user.save()
    set_roles(user, frozenset({APPLICANT}), by=SYSTEM)
    return user


@service(
    public="the e-mail is sent only to the address itself",
    emits=[events.EmailVerificationRequested],
    raises=[TooManyMails],
)
def request_email_verification(*, actor: Actor, email: str, origin: Origin | None = None) -> dict[str, str]:
    """Resend the verification e-mail. The answer is always the same."""
    email = EMAIL.normalise(email)
    user = User.objects.filter(email=email, status=User.Status.PENDING).first()
    row = one_time.create(_Purpose.VERIFY_EMAIL, address=email, user=user, origin=origin, voids=True)
    if row is not None:
        emit(
            events.EmailVerificationRequested(
                token_id=row.pk, user_id=user.pk if user else None, purpose=_Purpose.VERIFY_EMAIL
            )
        )
    return one_time.ACCEPTED


@service(
    public="the one-time token is the proof",
    emits=[events.EmailVerified, events.UserErased],
    raises=[TokenInvalid, EmailTaken],
)
def verify_email(*, actor: Actor, token: str) -> User:
    """Verify an e-mail address. The password of a new sign-up becomes valid."""
    row, user = one_time.get_live(token, _Purpose.SIGN_UP, _Purpose.VERIFY_EMAIL, _Purpose.CHANGE_EMAIL)
    if user is None:
        raise TokenInvalid
    if row.purpose == _Purpose.CHANGE_EMAIL:
        _change_email(row, user)
    else:
        if user.status != User.Status.PENDING:
            raise TokenInvalid
        if row.purpose == _Purpose.SIGN_UP:
            store_password(user, row.new_password)
        user.status, user.email_verified_at = User.Status.ACTIVE, clock.now()
        user.save()
        one_time.mark_used(row, _Purpose.SIGN_UP, _Purpose.VERIFY_EMAIL)
    emit(events.EmailVerified(user_id=user.pk, purpose=row.purpose))
    return user


def _change_email(row: OneTimeToken, user: User) -> None:
    pending = user.pending_email
    if not user.is_active or pending is None or not one_time.is_for(row, pending):
        raise TokenInvalid
    addresses.hold(pending)
    if not _release_address(pending, reason_code="address_proven", by=user):
        raise EmailTaken
    user.former_email = user.email
    user.email, user.pending_email, user.email_verified_at = pending, None, clock.now()
    user.save()
    one_time.mark_used(row, _Purpose.CHANGE_EMAIL, _Purpose.RESET_PASSWORD)


@service(
    label="Invite user",
    requires=capabilities.MANAGE_USERS,
    emits=[events.UserInvited, events.UserErased],
    raises=[*ROLE_ERRORS, IdentifierUnavailable, TooManyMails],
)
def invite(
    *,
    actor: Actor,
    email: str,
    full_name: str,
    user_type: str,
    roles: Sequence[str] = (),
    organization_id: UUID | None = None,
    partner_id: UUID | None = None,
    locale: str = User.Locale.EN_IN,
) -> User:
    """Invite a user, who sets a password with the link in the e-mail.

    Staff are invited with the role INTERNAL only; every other role needs an approval. External users get ``roles``,
    which the caller has checked against those of the partner. Raises
    IdentifierUnavailable, Invalid (no such organization or partner), RoleNotAllowed, RolesIncompatible,
    TooManyMails.
    """
    email = EMAIL.normalise(email)
    if user_type == User.Type.SUPER_ADMIN and not is_super(actor):
        raise RoleNotAllowed("Only a super administrator can invite another one.")
    allowed = {User.Type.INTERNAL: frozenset({INTERNAL}), User.Type.SUPER_ADMIN: frozenset[str]()}.get(
        User.Type(user_type), frozenset(roles)
    )
    if frozenset(roles) - allowed or user_type == User.Type.APPLICANT:
        raise RoleNotAllowed("Staff are invited as INTERNAL. Propose every other role after the invitation.")
    fits = {User.Type.INTERNAL: (True, False), User.Type.EXTERNAL: (False, True)}.get(
        User.Type(user_type), (False, False)
    )
    if fits != (organization_id is not None, partner_id is not None):
        raise RoleNotAllowed(
            "Staff need an organization, external users a partner, super administrators neither."
        )
    check_roles(user_type, allowed)
    check_exists(ORGANIZATION, organization_id, pointer="/organization_id")
    check_exists(PARTNER, partner_id, pointer="/partner_id")
    addresses.hold(email)
    if not _release_address(email, reason_code="invited", by=actor):
        raise IdentifierUnavailable("Another user has this e-mail address.")
    user = User(
        email=email,
        full_name=full_name.strip(),
        user_type=user_type,
        status=User.Status.INVITED,
        is_superuser=user_type == User.Type.SUPER_ADMIN,
        organization_id=organization_id,
        partner_id=partner_id,
        locale=locale,
    )
    user.set_password(None)
    user.save()
    set_roles(user, allowed, by=actor)
    _send_invitation(user, allowed, actor)
    return user


@service(
    requires=capabilities.MANAGE_USERS,
    emits=[events.UserInvited],
    raises=[RoleNotAllowed, InvalidState, TooManyMails],
)
def invite_again(user: User, *, actor: Actor) -> User:
    """Send another invitation, which voids the earlier one.

    Raises InvalidState, TooManyMails.
    """
    if user.status not in (User.Status.INVITED, User.Status.DEACTIVATED) or user.email is None:
        raise InvalidState
    check_rank(actor, user)
    user.status = User.Status.INVITED
    user.save()
    _send_invitation(user, frozenset(user.role_names), actor)
    return user


def _send_invitation(user: User, roles: frozenset[str], actor: Actor) -> None:
    row = one_time.create(
        _Purpose.INVITATION, address=user.email or "", user=user, asked_by=actor.pk, voids=True
    )
    if row is None:
        raise TooManyMails("Several e-mails were sent to this address already. Try again in an hour.")
    emit(
        events.UserInvited(
            user_id=user.pk,
            token_id=row.pk,
            user_type=user.user_type,
            roles=sorted(roles),
            by=actor.pk,
        )
    )


def _release_address(email: str, *, reason_code: str, by: Any) -> bool:
    """Erase an unverified sign-up with the address; False if any other user has the address."""
    holder = User.objects.locked().filter(email=email).first()
    if holder is None:
        return True
    if holder.status != User.Status.PENDING:
        return False
    erase_data(holder)
    emit(events.UserErased(user_id=holder.pk, reason_code=reason_code, by=by.pk))
    return True


@service(
    public="the one-time token is the proof",
    emits=[events.InvitationAccepted],
    raises=[TokenInvalid, PasswordWeak, PasswordReused],
)
def accept_invitation(
    *,
    actor: Actor,
    token: str,
    password: str,
    terms_version: str,
    is_adult: bool,
    full_name: str | None = None,
) -> None:
    """Accept an invitation and set a password. This verifies the e-mail address."""
    row, user = one_time.get_live(token, _Purpose.INVITATION)
    if user is None or user.status != User.Status.INVITED or not one_time.is_for(row, user.email or ""):
        raise TokenInvalid
    now = clock.now()
    if full_name:
        user.full_name = full_name
    set_password(user, password, pointer="/password")
    user.status, user.email_verified_at = User.Status.ACTIVE, now
    user.terms_version, user.terms_accepted_at = terms_version, now
    user.save()
    one_time.mark_used(row, _Purpose.INVITATION)
    emit(events.InvitationAccepted(user_id=user.pk))
