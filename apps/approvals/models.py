"""Approval requests, each bound to one version of its subject, decisions on them, rows published by approval."""

from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import migrations, models
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q
from django.db.models.functions import Upper

from apps.accounts.models import CapabilityGrant, User
from erp import clock
from erp.access import Actor, granted_keys, holds_everywhere
from erp.approvals import kinds
from erp.errors import snake
from erp.ids import uuid7
from erp.models import Guarded, Model, QuerySet
from erp.periods import DatedQuerySet


class ApprovalRequestQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """The user's own requests and those that they may decide on; all for readers of the trail."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.filter(Q(maker_id=user.pk) | subject_within_reach(user))

    def pending(self) -> Self:
        """Pending requests."""
        return self.filter(status=ApprovalRequest.Status.PENDING)

    def overdue(self, now: Any) -> Self:
        """Pending requests that have expired."""
        return self.pending().filter(expires_at__lte=now)

    def to_decide(self, user: Actor) -> Self:
        """Pending requests that ``user`` may decide on and has not decided on yet."""
        return self.filter(decidable_by(user))

    def made(self, user: Actor) -> Self:
        """Requests that ``user`` made."""
        return self.filter(maker_id=user.pk)

    def with_reach_of(self, user: Actor) -> Self:
        """Annotate each request with ``ApprovalRequest.is_within_reach`` for ``user``."""
        return self.annotate(
            within_reach=ExpressionWrapper(subject_within_reach(user), output_field=BooleanField())
        )

    def with_decisions(self) -> Self:
        """Prefetch requester, decisions and approvers, questions and answers."""
        decisions = ApprovalDecision.objects.select_related("decider").order_by("created_at")
        questions = ApprovalQuestion.objects.select_related("asked_by", "answered_by").order_by("created_at")
        return self.select_related("maker").prefetch_related(
            models.Prefetch("decisions", decisions), models.Prefetch("questions", questions)
        )


def subject_within_reach(user: Actor) -> Q:
    """The condition for requests whose subject ``user`` may see and decide on."""
    reach = Q(pk__in=())
    for kind in kinds.values():
        rows = kind.subjects_of(user).filter(pk=OuterRef("subject_id"))
        reach |= Q(Exists(rows), kind=kind.name)
    return reach


def decidable_by(user: Actor) -> Q:
    """The condition of ``to_decide``. Kinds decided at the module's endpoint are in that module's queue."""
    decided = ApprovalDecision.objects.filter(decider_id=user.pk).values("request_id")
    condition = (
        Q(status=ApprovalRequest.Status.PENDING)
        & subject_within_reach(user)
        & ~Q(kind__in=[kind.name for kind in kinds.values() if kind.decided_at == "module"])
        & (Q(expires_at=None) | Q(expires_at__gt=clock.now()))
        & ~Q(excluded__contains=[user.pk])
        & ~Q(pk__in=decided)
    )
    if not holds_everywhere(user, "approval.decide"):
        condition &= Q(pk__in=granted_keys(user, "approval.decide", ApprovalRequest))
    if not user.is_superuser:
        condition &= Q(decider_role=None) | Q(decider_role__in=roles_of(user))
    return condition


def roles_of(user: Any) -> frozenset[str]:
    """Names of the user's roles, read once per HTTP request."""
    if not hasattr(user, "_approval_roles"):
        user._approval_roles = frozenset(user.groups.values_list("name", flat=True))
    roles: frozenset[str] = user._approval_roles
    return roles


class ApprovalRequest(Model):
    """A change that another person must approve, bound to the version that the requester saw."""

    trail_personal = ("subject_name", "diff", "reason")  # of people and of firms

    class Status(models.TextChoices):
        PENDING = "pending"
        GRANTED = "granted"
        REFUSED = "refused"
        STALE = "stale"
        WITHDRAWN = "withdrawn"
        EXPIRED = "expired"

    kind = models.CharField(max_length=60, help_text="Kind of change, such as organization.bank_account.")
    subject_type = models.CharField(max_length=60, help_text="Type of the record to be changed.")
    subject_id = models.UUIDField(help_text="ID of the record to be changed.")
    subject_name = models.CharField(
        max_length=200,
        default="",
        blank=True,
        verbose_name="record",
        help_text="Number or name of the record to be changed.",
    )
    subject_version = models.PositiveIntegerField(
        help_text="Version of the record that the request is about."
    )
    base_type = models.CharField(
        max_length=60, default="", blank=True, help_text="Type of the record that the change builds on."
    )
    base_id = models.UUIDField(null=True, help_text="ID of the record that the change builds on.")
    base_version = models.PositiveIntegerField(
        null=True, help_text="Version of the record that the change builds on."
    )
    capability = models.CharField(
        max_length=120, help_text="Capability that an approver needs on the record."
    )
    decider_role = models.CharField(  # noqa: DJ001 - null: any role
        max_length=40,
        null=True,
        verbose_name="approver's role",
        help_text="Role that an approver needs. Empty: any role with the capability.",
    )
    # For people: [{"field", "old", "new"}], masked before it is stored.
    diff = models.JSONField(
        default=list, verbose_name="changes", help_text="Proposed changes, field by field."
    )
    reason = models.CharField(max_length=1000, help_text="Why the change is requested.")
    amount = models.DecimalField(
        max_digits=18, decimal_places=2, null=True, help_text="Amount of the change, two decimals."
    )
    currency = models.CharField(
        max_length=3, default="", blank=True, help_text="ISO 4217 code of the amount's currency, such as INR."
    )
    needed = models.PositiveSmallIntegerField(
        default=1, verbose_name="approvals needed", help_text="Number of approvals that the change needs."
    )
    given = models.PositiveSmallIntegerField(
        default=0, verbose_name="approvals so far", help_text="Number of approvals so far."
    )
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    maker = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name="requested by"
    )
    # Requester, editors and whom the module adds. A trigger refuses to remove an entry, and their decisions.
    excluded = ArrayField(
        models.UUIDField(), default=list, help_text="IDs of the users who cannot decide on the request."
    )
    expires_at = models.DateTimeField(null=True, help_text="When the request expires if it is still pending.")
    decided_at = models.DateTimeField(null=True)
    escalated_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    escalation_reason = models.CharField(max_length=1000, default="", blank=True)

    objects: ClassVar[Any] = ApprovalRequestQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="approval_one_pending",
                fields=["kind", "subject_type", "subject_id"],
                condition=Q(status="pending"),
            ),
            models.CheckConstraint(
                name="approval_voices_in_range",
                condition=Q(needed__range=(1, 3), given__gte=0, given__lte=F("needed")),
            ),
            models.CheckConstraint(
                name="approval_granted_by_all_voices",
                condition=Q(status="granted", given=F("needed"))
                | (~Q(status="granted") & Q(given__lt=F("needed"))),
            ),
            models.CheckConstraint(
                name="approval_decided_has_a_time",
                condition=Q(status="pending", decided_at=None)
                | (~Q(status="pending") & Q(decided_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="approval_amount_has_a_currency",
                condition=Q(amount=None, currency="") | Q(amount__isnull=False, currency__regex="^[A-Z]{3}$"),
            ),
            models.CheckConstraint(
                name="approval_base_is_whole",
                condition=Q(base_type="", base_id=None, base_version=None)
                | (~Q(base_type="") & Q(base_id__isnull=False, base_version__isnull=False)),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["status", "kind", "created_at"], name="idx_approval_queue"),
            models.Index(fields=["subject_id"], name="idx_approval_subject"),
            models.Index(fields=["base_id"], name="idx_approval_base"),
            models.Index(fields=["maker", "created_at"], name="idx_approval_maker"),
            models.Index(fields=["expires_at"], name="idx_approval_due", condition=Q(status="pending")),
            models.Index(F("decided_at").desc(), "id", name="idx_approval_list"),  # pending ones come first
            GinIndex(OpClass(Upper("subject_name"), name="gin_trgm_ops"), name="idx_approval_search"),
        ]

    def __str__(self) -> str:
        return f"{self.title}: {self.subject_name}" if self.subject_name else self.title

    @property
    def title(self) -> str:
        """The title of the kind; its name if the kind is no longer declared."""
        known = kinds.get(self.kind)
        return known.title if known else self.kind

    def open_verbs(self) -> frozenset[str]:
        if self.status != self.Status.PENDING:
            return frozenset()
        known = kinds.get(self.kind)
        if known is None or (known.decided_at == "module" and known.own_reject):
            return frozenset({"escalate", "withdraw"})
        if known.decided_at == "module":
            return frozenset({"reject", "escalate", "withdraw"})
        question = "ask" if self.open_question is None else "answer"
        return frozenset({"approve", "reject", question, "escalate", "withdraw"})

    @property
    def open_question(self) -> "ApprovalQuestion | None":
        """The question that waits for the requester's answer, if any."""
        return next((each for each in self.questions.all() if each.answered_at is None), None)

    def people(self) -> list[UUID]:
        """IDs of the requester and the approvers, for whom the change is made."""
        deciders = self.decisions.order_by("created_at").values_list("decider_id", flat=True)
        return [*([self.maker_id] if self.maker_id else []), *deciders]

    def is_within_reach(self, user: Actor) -> bool:
        """Whether ``user`` sees the subject and holds the kind's capability on it."""
        if "within_reach" in self.__dict__:  # see ApprovalRequestQuerySet.with_reach_of
            return bool(self.__dict__["within_reach"])
        return ApprovalRequest.objects.filter(subject_within_reach(user), pk=self.pk).exists()

    def possible_deciders(self) -> list[Any]:
        """Active staff who may decide on the request now."""
        people = User.objects.filter(status=User.Status.ACTIVE).exclude(pk__in=self.excluded)
        granted = CapabilityGrant.objects.filter(
            status=CapabilityGrant.Status.ACTIVE, capability="approval.decide"
        )
        staff = people.filter(user_type__in=(User.Type.INTERNAL, User.Type.SUPER_ADMIN)).filter(
            Q(is_superuser=True)
            | Q(groups__permissions__codename="decide")
            | Q(pk__in=granted.values("user_id"))
        )
        return [
            person
            for person in staff.distinct().order_by("pk")
            if ApprovalRequest.objects.to_decide(person).filter(pk=self.pk).exists()
        ]

    def decision_of(self, user: Actor) -> "ApprovalDecision | None":
        """The decision of ``user``, if any."""
        return next((each for each in self.decisions.all() if each.decider_id == user.pk), None)


class ApprovalDecision(Guarded):
    """The decision of one person on a request. It is never changed."""

    class Decision(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"

    class ReasonCode(models.TextChoices):
        WRONG_DATA = "wrong_data", "Wrong data"
        NOT_JUSTIFIED = "not_justified", "Not justified"
        MORE_INFORMATION = "more_information", "More information needed"
        DUPLICATE = "duplicate"
        OTHER = "other"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request = models.ForeignKey(ApprovalRequest, models.PROTECT, related_name="decisions")
    decider = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name="decided by"
    )
    maker = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name="requested by"
    )
    decision = models.CharField(max_length=7, choices=Decision)
    seen_version = models.PositiveIntegerField(help_text="Version of the record that was reviewed.")
    reason_code = models.CharField(
        max_length=32,
        choices=ReasonCode,
        default="",
        blank=True,
        verbose_name="reason",
        help_text="Reason for the rejection.",
    )
    note = models.CharField(
        max_length=1000, default="", blank=True, help_text="Note to the requester, up to 1000 characters."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(name="approval_decision_once", fields=["request", "decider"]),
            models.CheckConstraint(name="approval_decider_is_not_maker", condition=~Q(decider=F("maker"))),
            models.CheckConstraint(
                name="approval_refusal_has_a_reason", condition=Q(decision="approve") | ~Q(reason_code="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_decision_display()} by {self.decider_id}"


class ApprovalQuestion(Guarded):
    """A question of an approver to the requester, with the answer. Neither is changed later."""

    trail_personal = ("question", "answer")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request = models.ForeignKey(ApprovalRequest, models.PROTECT, related_name="questions")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    question = models.CharField(max_length=1000, help_text="What the approver asks.")
    due_date = models.DateField(
        null=True, blank=True, verbose_name="answer by", help_text="Day by which the answer is needed."
    )
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    answer = models.CharField(max_length=1000, default="", blank=True, help_text="The requester's answer.")
    answered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="approval_one_open_question", fields=["request"], condition=Q(answered_at=None)
            ),
            models.CheckConstraint(
                name="approval_answer_is_whole",
                condition=Q(answered_at=None, answered_by=None, answer="")
                | (Q(answered_at__isnull=False, answered_by__isnull=False) & ~Q(answer="")),
            ),
        ]

    def __str__(self) -> str:
        return self.question


class PublishedByApprovalQuerySet(DatedQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every row; partners those that were published, withdrawn ones too: contracts name them."""
        is_staff = user.is_system or user.is_staff
        return self if is_staff else self.filter(status__in=PublishedByApproval.PUBLIC)

    def active(self) -> Self:
        """Rows that may be chosen for something new."""
        return self.filter(status=PublishedByApproval.Status.PUBLISHED)


class PublishedByApproval(Model):
    """A row that one person drafts and another publishes (``apps.approvals.services.drafts``); published, it only ends.

    A model names ``KEY``, the columns that rows share of which at most one is effective on a day; ``NUMBER``, the
    column that numbers the rows of a key, if there is one; and ``CONTENT``, what the approver is shown. Its
    constraints are ``dates_in_order`` and ``no_overlap``, its table has the trigger of ``protect_published``.
    """

    class Status(models.TextChoices):
        DRAFT = "DRAFT"
        SUBMITTED = "SUBMITTED"
        PUBLISHED = "PUBLISHED"
        WITHDRAWN = "WITHDRAWN"

    PUBLIC: ClassVar = (Status.PUBLISHED, Status.WITHDRAWN)
    KEY: ClassVar[tuple[str, ...]]
    NUMBER: ClassVar[str] = ""
    CONTENT: ClassVar[tuple[str, ...]]

    valid_from = models.DateField("effective from", help_text="First day on which it applies.")
    valid_to = models.DateField(
        "effective to",
        null=True,
        blank=True,
        help_text="Last day on which it applies. Empty: until further notice.",
    )
    source = models.CharField(
        max_length=500, help_text="Law, standard or document that it comes from, 2 to 500 characters."
    )
    status = models.CharField(max_length=9, choices=Status, default=Status.DRAFT)
    # Everybody who wrote it, the author first: none of them decides on it.
    editors = ArrayField(models.UUIDField(), default=list, editable=False)

    objects: ClassVar[Any] = PublishedByApprovalQuerySet.as_manager()

    class Meta(Model.Meta):
        abstract = True

    @classmethod
    def noun(cls) -> str:
        """Its name in services and events: ``tax_rate``."""
        return snake(cls.__name__)

    def open_verbs(self) -> frozenset[str]:
        verbs = {
            self.Status.DRAFT: {"update", f"submit_{self.noun()}"},
            self.Status.SUBMITTED: {"update"},
            self.Status.PUBLISHED: {f"withdraw_{self.noun()}"},
        }
        return frozenset(verbs.get(self.Status(self.status), ()))

    def same_key(self) -> Any:
        """The other rows of the same key."""
        key = {name: getattr(self, name) for name in self.KEY}
        return type(self)._default_manager.filter(**key).exclude(pk=self.pk)

    def content(self) -> dict[str, Any]:
        """What the approver decides on, by name."""
        return {name: getattr(self, name) for name in (*self.CONTENT, "valid_from", "valid_to", "source")}


def protect_published(table: str) -> migrations.RunSQL:
    """The migration operation that makes the database refuse changes of published rows of a table.

    The trigger's function comes with the first migration of commodities, on which the operation's depends.
    """
    return migrations.RunSQL(
        f"CREATE TRIGGER commodity_published_stays BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION commodity_published_stays()",
        f"DROP TRIGGER commodity_published_stays ON {table}",
    )
