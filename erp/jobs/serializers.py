"""Shapes of jobs."""

from erp.api import fields
from erp.api.serializers import Output
from erp.jobs.models import Job


class JobOutput(Output):
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
