"""What others may learn of users and their sessions. Never a name, an address or a device."""

from datetime import datetime
from uuid import UUID

from apps.accounts import capabilities
from erp.events import ALL, Event, event, rows_of

rows_of("user", model="account.User", reads=capabilities.VIEW)
rows_of("session", model="account.Session", reads=capabilities.VIEW)

SELF = {"user_id": ALL}  # of people, only they themselves learn


@event("user.added", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserAdded(Event):
    user_id: UUID
    user_type: str
    organization_id: UUID | None
    partner_id: UUID | None
    roles: list[str]


@event("user.logged_in", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserLoggedIn(Event):
    user_id: UUID
    session_id: UUID
    door: str
    method: str
    second_factor: str
    new_device: bool


@event("user.logged_out", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserLoggedOut(Event):
    user_id: UUID
    session_id: UUID


@event("user.login_failed", version=1, aggregate=("sign_in", "sign_in_id"), readers={})
class UserLoginFailed(Event):
    sign_in_id: UUID
    user_id: UUID | None
    reason: str
    failures: int


@event("user.locked", version=1, aggregate=("sign_in", "sign_in_id"), readers={})
class UserLocked(Event):
    sign_in_id: UUID
    user_id: UUID | None
    locked_until: datetime


@event("session.refreshed", version=1, aggregate=("session", "session_id"), readers=SELF)
class SessionRefreshed(Event):
    session_id: UUID
    user_id: UUID


@event("session.refresh_reuse_detected", version=1, aggregate=("session", "session_id"), readers=SELF)
class RefreshReuseDetected(Event):
    session_id: UUID
    user_id: UUID
