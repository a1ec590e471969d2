"""Shapes of jobs."""

from erp import access
from erp.api import fields
from erp.api.routers import address_of
from erp.api.serializers import Output
from erp.jobs import capabilities
from erp.jobs.models import Job


class JobOutput(Output):
    """A job looks the same on its own page and in the response of the endpoint that accepted it."""

    eta_at = fields.DateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Job
        fields = (
            "kind",
            "mode",
            "file_name",
            "file_sha256",
            "total",
            "processed",
            "accepted",
            "refused",
            "tally",
            "problem_code",
            "problem_detail",
            "started_at",
            "finished_at",
        )

    def get_allowed_actions(self, row: Job) -> list[str]:
        """Whether the caller may stop it now."""
        actor = self.context["actor"]
        may_cancel = access.may(actor, capabilities.CANCEL, row) and row.is_stopped_by(actor)
        return sorted(row.open_verbs()) if may_cancel else []

    def get_links(self, row: Job) -> dict[str, str]:
        """Itself, and what became of its rows."""
        here = address_of(row)
        return {"self": here, "result": f"{here}/result", "errors": f"{here}/errors"}
