"""Import jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.commodities.serializers.imports import CommodityRow, VarietyRow
from apps.commodities.services import imports as services
from erp.access import SYSTEM, Actor
from erp.errors import DomainError
from erp.jobs.kinds import RowResult, WorkRow
from erp.jobs.models import Job
from erp.jobs.tables import TableKind


@contextmanager
def _faults_by_column() -> Iterator[None]:
    """Point errors to columns of the file, which refer to rows by code instead of id."""
    try:
        yield
    except DomainError as problem:
        for fault in problem.errors:
            fault.pointer = fault.pointer.removesuffix("_id")
        raise


class Import(TableKind, abstract=True):
    """A row of the file creates a row, or updates the one with its code."""

    target: services.ImportTarget
    accepted_by = services.bulk_upload
    wrong_header, too_many_rows = services.FileHeader, services.TooManyRows

    def do(self, values: dict[str, Any], *, row: WorkRow, job: Job, actor: Actor) -> RowResult:
        with _faults_by_column():
            return services.upsert_row(self.target, values, columns=self.given_columns, actor=actor)

    def finish(self, job: Job) -> None:
        if job.mode != Job.Mode.CHECK:
            services.report_import(actor=SYSTEM, job=job)


class ImportCommodities(Import):
    """Commodities, one a row."""

    target = services.IMPORT_TARGETS["COMMODITIES"]
    name, row = target.job, CommodityRow


class ImportVarieties(Import):
    """Varieties, one a row."""

    target = services.IMPORT_TARGETS["VARIETIES"]
    name, row = target.job, VarietyRow
