"""What tables of risk hold about people.

Only partners that trade are screened, so an application that led to nothing leaves no hit behind. Hits and lists stay
as long as the partner's records do (Prevention of Money Laundering Act 2002, section 12).
"""

from apps.risk.models import ScreeningEntry, ScreeningHit
from erp.retention import DELETE, declare

declare(
    ScreeningHit,
    category="keyed hash of a name of the firm or an owner",
    purpose="sanctions screening",
    erased=DELETE,
)
declare(
    ScreeningEntry,
    category="names on public lists of sanctioned parties",
    purpose="sanctions screening",
    erased=DELETE,
)
