"""Partners in the admin."""

from apps.partners.models import Partner

ADD = "/admin/partner/partner/add/"


def test_staff_register_a_partner(user, staff_client_for, assert_emitted):
    from apps.partners import events

    answer = staff_client_for(user("INTERNAL")).fill(
        ADD, legal_name="Firm of Two", legal_form="partnership", country="IN"
    )
    partner = Partner.objects.get(legal_name="Firm of Two")
    assert answer["Location"] == f"/admin/partner/partner/{partner.pk}/change/"
    assert_emitted(events.PartnerRegistered, partner_id=str(partner.pk))


def test_an_invalid_country_is_refused_beside_its_field(user, staff_client_for):
    answer = staff_client_for(user("INTERNAL")).fill(
        ADD, legal_name="Firm", legal_form="partnership", country="india"
    )
    assert answer.status_code == 400
    assert answer.context["errors"]["country"]
    assert not Partner.objects.filter(legal_name="Firm").exists()


def test_partners_cant_be_changed_or_removed_here(user, staff_client_for, partner):
    row = partner()
    staff = staff_client_for(user())
    assert 'name="_save"' not in staff.get(f"/admin/partner/partner/{row.pk}/change/").content.decode()
    assert staff.post(f"/admin/partner/partner/{row.pk}/change/", {"legal_name": "x"}).status_code == 403
    assert staff.post(f"/admin/partner/partner/{row.pk}/delete/", {"post": "yes"}).status_code == 403
