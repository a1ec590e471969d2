"""What runs without a caller: uploads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.commodities import services
from apps.commodities.serializers.imports import CommodityRow, VarietyRow
from erp.access import SYSTEM, Actor
from erp.errors import DomainError
from erp.jobs.kinds import Done, Row
from erp.jobs.models import Job
from erp.jobs.tables import TableKind


@contextmanager
def _faults_by_column() -> Iterator[None]:
    """Point to the column: a table names rows by code where services are given their ids."""
    try:
        yield
    except DomainError as problem:
        for fault in problem.errors:
            fault.pointer = fault.pointer.removesuffix("_id")
        raise


class Import(TableKind, abstract=True):
    """A row of a table adds a row, or brings the one with its code in line."""

    sort: services.ImportTarget
    wrong_header, too_many_rows = services.FileHeader, services.TooManyRows

    def do(self, values: dict[str, Any], *, row: Row, job: Job, actor: Actor) -> Done:
        with _faults_by_column():
            return services.upsert_row(self.sort, values, columns=self.told, actor=actor)

    def finish(self, job: Job) -> None:
        if job.mode != Job.Mode.CHECK:
            services.report_import(actor=SYSTEM, job=job)


class ImportCommodities(Import):
    """Commodities, one a row."""

    sort = services.IMPORT_TARGETS["COMMODITIES"]
    name, row = sort.job, CommodityRow


class ImportVarieties(Import):
    """Varieties, one a row."""

    sort = services.IMPORT_TARGETS["VARIETIES"]
    name, row = sort.job, VarietyRow
