"""A sort of long work for tests: each row enters a firm. Imported by the worker of the crash test, too."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

from apps.partners import services
from apps.partners.models import Partner
from erp.errors import Fault, Invalid
from erp.jobs.kinds import Done, Kind, Row
from erp.jobs.models import Job


class EnterFirms(Kind):
    """One partner a row; a row called ``bad`` is refused, one called ``die`` kills its worker once."""

    name = "test.enter_firms"

    def rows(self, job: Job, content: bytes) -> Iterator[Row]:
        for number, name in enumerate(json.loads(content), start=1):
            yield Row(number, {"legal_name": name})

    def apply(self, row: Row, *, job: Job, actor: Any) -> Done:
        name = row.values["legal_name"]
        if name == "bad":
            raise Invalid("No firm has this name.", errors=[Fault("/legal_name", "invalid", "Not this.")])
        flag = os.environ.get("ERP_TEST_DIE_ONCE", "")
        if name == "die" and flag and os.path.exists(flag):
            os.unlink(flag)
            os.kill(os.getpid(), signal.SIGKILL)
        firm: Partner = services.register(actor=actor, legal_name=name, legal_form="partnership")
        return Done("created", firm.pk)
