"""Inputs and outputs of approval requests and decisions."""

from apps.approvals.models import ApprovalDecision, ApprovalQuestion, ApprovalRequest
from erp.access import registry
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output


class DecisionInput(Input):
    """A decision on a request."""

    subject_version = fields.IntegerField(
        min_value=0, label="Version", help_text="Version of the record that you reviewed."
    )

    class Meta:
        model = ApprovalDecision


class ApprovalApproveInput(DecisionInput):
    note = fields.CharField(max_length=1000, required=False, allow_blank=True, multiline=True)


class RejectInput(DecisionInput):
    reason_code = fields.ChoiceField(choices=ApprovalDecision.ReasonCode.choices)
    note = fields.CharField(
        min_length=10,
        max_length=1000,
        multiline=True,
        help_text="Explanation for the requester, in 10 to 1000 characters.",
    )


class EscalateInput(Input):
    role = fields.ChoiceField(
        choices=[(n, m) for n, m in registry.roles.items() if n.startswith("INTERNAL_")],
        help_text="Role that must decide, higher than the current one.",
    )
    reason = fields.CharField(
        min_length=10,
        max_length=1000,
        multiline=True,
        help_text="Why the request is escalated, in 10 to 1000 characters.",
    )


class AskInput(Input):
    question = fields.CharField(
        min_length=10,
        max_length=1000,
        multiline=True,
        help_text="What the requester should explain or add, in 10 to 1000 characters.",
    )
    due_date = fields.DateField(required=False, allow_null=True)

    class Meta:
        model = ApprovalQuestion


class AnswerInput(Input):
    answer = fields.CharField(
        min_length=3,
        max_length=1000,
        multiline=True,
        help_text="Answer for the approver, up to 1000 characters.",
    )


class ChangeOutput(LookupOutput):
    field = fields.CharField()
    old = fields.CharField(allow_null=True)
    new = fields.CharField(allow_null=True)


class DecisionOutput(LookupOutput):
    decider_id = fields.UUIDField()
    decision = fields.ChoiceField(choices=ApprovalDecision.Decision.choices)
    seen_version = fields.IntegerField()
    reason_code = fields.CharField()
    note = fields.CharField()
    created_at = fields.DateTimeField()


class ApprovalOutput(Output):
    diff = ChangeOutput(many=True)
    excluded = fields.ListField(child=fields.UUIDField())
    decisions = DecisionOutput(many=True)

    class Meta:
        model = ApprovalRequest
        fields = (
            "kind",
            "subject_type",
            "subject_id",
            "subject_name",
            "subject_version",
            "base_type",
            "base_id",
            "base_version",
            "capability",
            "decider_role",
            "diff",
            "reason",
            "amount",
            "currency",
            "needed",
            "given",
            "maker_id",
            "excluded",
            "expires_at",
            "decided_at",
            "decisions",
        )
