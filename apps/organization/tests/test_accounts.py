"""Bank accounts: two people for each, and a number that is stored only encrypted."""

import threading

import pytest
from django.db import IntegrityError, connection, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.organization import events
from apps.organization.models import BankAccount
from apps.organization.services import accounts as accounts_services
from apps.organization.services import rules
from apps.organization.tests import factories
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, SelfApproval
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
NUMBER = "50100777123454321"


@pytest.fixture
def proposer(user):
    return user("INTERNAL_FINANCE")


@pytest.fixture
def approve(user, deliver):
    """Approve the account as a second person."""

    def run(account):
        request = ApprovalRequest.objects.get(pk=account.approval_id)
        decider = user("INTERNAL_DIRECTOR")
        approvals.approve(request, actor=decider, subject_version=request.subject_version)
        deliver()
        account.refresh_from_db()
        return account

    return run


@pytest.fixture
def refuse(user, deliver):
    def run(account):
        request = ApprovalRequest.objects.get(pk=account.approval_id)
        approvals.reject(
            request,
            actor=user("INTERNAL_DIRECTOR"),
            subject_version=request.subject_version,
            reason_code="wrong_data",
            note="The branch is another one.",
        )
        deliver()
        account.refresh_from_db()
        return account

    return run


def change(account, actor, **fields):
    account.refresh_from_db()
    return accounts_services.update_bank_account(
        account,
        actor=actor,
        **{
            "branch_name": account.branch_name,
            "purpose": account.purpose,
            "is_default": account.is_default,
            "status": account.status,
            **fields,
        },
    )


def test_an_account_is_active_only_after_a_second_person_approved(
    organization, proposer, user, approve, emitted
):
    company = organization()
    account = factories.account(company, by=proposer, is_default=True)
    assert (account.status, account.is_default, account.approved_by) == ("pending_approval", False, None)
    request = ApprovalRequest.objects.get(pk=account.approval_id)
    assert (request.kind, request.subject_version) == ("organization.bank_account", account.version)
    for actor in (proposer, user()):
        if actor is not proposer:
            continue
        with pytest.raises(SelfApproval):
            approvals.approve(request, actor=actor, subject_version=request.subject_version)
    account = approve(account)
    assert (account.status, account.is_default) == ("active", True)
    assert account.approved_by_id not in (None, proposer.pk)
    assert emitted("organization.bank_account.activated")[0].payload["approval_id"] == str(request.pk)
    request.refresh_from_db()
    assert request.status == "granted"


def test_a_superuser_cannot_approve_their_own_account(organization, user):
    head = user()
    account = factories.account(organization(), by=head)
    request = ApprovalRequest.objects.get(pk=account.approval_id)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=head, subject_version=request.subject_version)


def test_the_database_refuses_the_same_person_as_proposer_and_approver(organization, proposer):
    account = factories.account(organization(), by=proposer)
    for approver in (proposer.pk, None):
        with (
            pytest.raises(IntegrityError, match="bank_account_two_people"),
            transaction.atomic(),
            unguarded_writes(),
        ):
            BankAccount.objects.filter(pk=account.pk).update(status="active", approved_by=approver)


def test_a_refused_account_stays_refused_and_can_be_proposed_again(organization, proposer, refuse, emitted):
    company = organization()
    account = refuse(factories.account(company, by=proposer, number=NUMBER))
    assert account.status == "refused"
    assert emitted("organization.bank_account.refused")
    with pytest.raises(rules.InvalidState):
        change(account, proposer, status="active")
    assert factories.account(company, by=proposer, number=NUMBER).status == "pending_approval"


def test_the_system_cannot_propose_an_account(organization):
    with pytest.raises(CapabilityMissing):
        factories.account(organization(), by=SYSTEM)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"number_again": "50100777123454322"}, accounts_services.NumbersDiffer),
        ({"ifsc": None}, accounts_services.BankCodeMismatch),
        ({"swift": "ZZZBINBBXXX"}, accounts_services.BankCodeMismatch),
        ({"currency": "USD"}, accounts_services.BankCodeMismatch),
    ],
)
def test_contradicting_fields_are_refused(organization, proposer, fields, problem):
    with pytest.raises(problem) as caught:
        factories.account(organization(), by=proposer, number=NUMBER, **fields)
    assert NUMBER not in repr(caught.value) + repr([fault.as_dict() for fault in caught.value.errors])


def test_a_duplicate_account_is_refused_however_its_number_is_written(organization, proposer):
    company = organization()
    factories.account(company, by=proposer, number=NUMBER)
    with pytest.raises(accounts_services.BankAccountTaken), transaction.atomic():
        factories.account(company, by=proposer, number=f"{NUMBER[:4]} {NUMBER[4:]}")
    assert factories.account(company, by=proposer, number=NUMBER, ifsc="ZZZB0000002").pk
    assert factories.account(organization(), by=proposer, number=NUMBER).pk


def test_one_account_of_a_currency_is_the_default(organization, proposer, approve, emitted):
    company = organization()
    first = approve(factories.account(company, by=proposer, is_default=True))
    second = approve(factories.account(company, by=proposer))
    with pytest.raises(accounts_services.DefaultRequired):
        change(first, proposer, is_default=False)
    with pytest.raises(accounts_services.DefaultRequired):
        change(first, proposer, status="inactive", is_default=False)
    assert change(second, proposer, is_default=True).is_default
    first.refresh_from_db()
    assert not first.is_default
    payloads = [row.payload for row in emitted("organization.bank_account.updated")]
    assert [(each["bank_account_id"], each["is_default"]) for each in payloads] == [
        (str(first.pk), False),
        (str(second.pk), True),
    ]
    with pytest.raises(accounts_services.NotActive):
        change(first, proposer, status="inactive", is_default=True)
    assert change(first, proposer, status="inactive").status == "inactive"


def test_an_inactive_account_needs_another_approval(organization, proposer, approve):
    account = approve(factories.account(organization(), by=proposer))
    change(account, proposer, status="inactive")
    back = change(account, proposer, status="active", is_default=True)
    assert (back.status, back.is_default, back.approved_by) == ("pending_approval", False, None)
    back = approve(back)
    assert (back.status, back.is_default) == ("active", True)


def test_an_editor_of_the_account_cannot_approve_it(organization, proposer, user, approve):
    account = approve(factories.account(organization(), by=proposer))
    editor = user("INTERNAL_DIRECTOR")
    change(account, editor, purpose="payments")
    change(account, proposer, status="inactive")
    back = change(account, proposer, status="active")
    request = ApprovalRequest.objects.get(pk=back.approval_id)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=editor, subject_version=request.subject_version)
    back = approve(back)
    assert (back.status, back.editors) == ("active", [])


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_defaults_leave_one(organization, proposer, approve):
    company = organization()
    accounts = [approve(factories.account(company, by=proposer)) for _ in range(2)]
    gate, failed = threading.Barrier(2), []

    def take(account):
        try:
            gate.wait(30)
            change(account, proposer, is_default=True)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(account,)) for account in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert BankAccount.objects.filter(is_default=True).count() == 1


def test_the_number_is_in_no_answer_list_event_log_or_error(
    organization, user, client_for, deliver, request_lines, capfd, caplog
):
    company = organization()
    client = client_for(user("INTERNAL_FINANCE", organization_id=company.pk))
    path = f"/api/v1/organizations/{company.pk}/bank-accounts"
    body = {
        "holder": "Cotton House",
        "bank_name": "Zeta Bank",
        "number": NUMBER,
        "number_again": NUMBER,
        "ifsc": "ZZZB0000001",
        "account_type": "current",
    }
    answers = [
        client.write(path, body),
        client.write(path, body),
        client.write(path, {**body, "number_again": NUMBER[:-1] + "9"}),
        client.write(path, {**body, "number": f"x{NUMBER}"}),
        client.write(path, {**body, "ifsc": NUMBER}),
        client.write(path, {**body, "currency": "USD"}),
        client.read(path),
        client.read(f"{path}?search={NUMBER}"),
    ]
    assert [answer.status_code for answer in answers] == [201, 409, 422, 400, 400, 422, 200, 400]
    assert answers[1].json()["code"] == "organization.bank_account_taken"
    answers.append(client.read(answers[0]["Location"]))
    deliver()
    assert answers[0].json()["last4"] == "4321"
    bodies = b"".join(answer.content for answer in answers).decode()
    rows = repr(list(EventOutbox.objects.values("payload"))) + repr(list(ApprovalRequest.objects.values()))
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM organization_bankaccount t")
        rows += repr(cursor.fetchall())
    out, err = capfd.readouterr()
    assert NUMBER not in bodies + rows + out + err + caplog.text
    assert BankAccount.objects.get().decrypt_number() == NUMBER


def test_an_encrypted_number_cannot_be_decrypted_in_another_row(organization, proposer):
    from erp.encryption import Undecryptable

    one, other = (factories.account(organization(), by=proposer) for _ in range(2))
    with unguarded_writes():
        BankAccount.objects.filter(pk=one.pk).update(number_encrypted=other.number_encrypted)
    one.refresh_from_db()
    with pytest.raises(Undecryptable):
        one.decrypt_number()


def test_showing_the_full_number_emits_an_event(organization, proposer, user, assert_emitted):
    account = factories.account(organization(), by=proposer, number=NUMBER)
    with pytest.raises(CapabilityMissing):
        accounts_services.show_number(account, actor=user("INTERNAL_MANAGER"))
    assert accounts_services.show_number(account, actor=proposer) == NUMBER
    assert_emitted(events.BankAccountNumberShown, bank_account_id=str(account.pk), shown_to=str(proposer.pk))
