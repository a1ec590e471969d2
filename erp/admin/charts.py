"""Charts of the home page: a figure for each of the last 30 days, drawn as bars, with the table behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db.models import Aggregate
from django.db.models.functions import TruncDate
from django.utils import timezone

from erp import clock
from erp.admin import cached
from erp.figures import group

DAYS: Final = 30
CACHE_SECONDS: Final = 300
HEIGHT: Final = 60  # of the highest bar
STEP: Final = 10  # from bar to bar


class Bar(NamedTuple):
    """A day of a chart: its place and height in the picture, and its figure in words."""

    day: date
    x: int
    y: float
    height: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Figures by day; ``unit`` stands behind each figure."""

    title: str
    unit: str
    figures: Mapping[date, int]

    @property
    def bars(self) -> list[Bar]:
        """A bar for each of the last days, oldest first; a day without a figure has none to see."""
        today = clock.today()
        highest = max(self.figures.values(), default=0) or 1
        bars = []
        for place in range(DAYS):
            day = today - timedelta(days=DAYS - 1 - place)
            figure = self.figures.get(day, 0)
            height = round(HEIGHT * figure / highest, 1)
            text = f"{group(figure)} {self.unit}"
            bars.append(Bar(day, place * STEP, HEIGHT - height, height, text))
        return bars

    @property
    def summary(self) -> str:
        """The picture in words."""
        last = self.bars[-1]
        return (
            f"{self.title}: today {last.text}, at most {group(max(self.figures.values(), default=0))} a day"
        )


# Filled by the modules: each function reads some charts.
charts: list[Callable[[], list[Chart]]] = []


def current() -> list[Chart]:
    """All charts, at most ``CACHE_SECONDS`` old."""
    found: list[Chart] | None = cached.get("admin:charts")
    if found is None:
        found = [chart for read in charts for chart in read()]
        cached.put("admin:charts", found, CACHE_SECONDS)
    return found


def by_day(rows: Any, column: str, **figures: Aggregate) -> list[dict[str, Any]]:
    """The figures of the last days, one line (``day`` and the figures) for each day that has rows."""
    first = clock.today() - timedelta(days=DAYS - 1)
    since = timezone.make_aware(datetime.combine(first, datetime.min.time()))
    lines = rows.filter(**{f"{column}__gte": since}).order_by().annotate(day=TruncDate(column))
    return list(lines.values("day").annotate(**figures))
