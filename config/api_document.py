"""Texts of the API's document that no single endpoint has: the introduction, the areas, and common fields."""

INTRODUCTION = """\
The API of the back office of a cotton and multi-commodity trading company. All of it is under `/api/v1`, in JSON.

## Getting started
The commands below can be pasted into a shell. They work against a server started with `make run`; its output names
the demo accounts and the secret for the authenticator app.

```sh
API=http://127.0.0.1:8000/api/v1
EMAIL=masterdata@demo.example
PASSWORD='demo only: grants every role'
CODE=123456  # the current code of your authenticator app
field() { sed -n "s/.*\\"$1\\":\\"\\([^\\"]*\\)\\".*/\\1/p"; }
new_key() { python3 -c 'import uuid; print(uuid.uuid4())'; }
```

### 1. Sign in
With two-factor authentication the first response holds a `challenge_token`; the code completes the sign-in. Without
it the first response already holds the tokens.

```sh
CHALLENGE=$(curl -s "$API/auth/login" -H 'Content-Type: application/json' \\
  -d "{\\"email\\": \\"$EMAIL\\", \\"password\\": \\"$PASSWORD\\"}" | field challenge_token)
TOKEN=$(curl -s "$API/auth/login/second-factor" -H 'Content-Type: application/json' \\
  -d "{\\"challenge_token\\": \\"$CHALLENGE\\", \\"code\\": \\"$CODE\\"}" | field access_token)
```

An access token is valid for 15 minutes; `POST /auth/refresh` exchanges the refresh token for a new pair.

### 2. Read a list
```sh
curl -s "$API/commodities?limit=2&ordering=name" -H "Authorization: Bearer $TOKEN"
```

Lists are read page by page: call the URL in `next` until it is null. For synchronisation use `updated_after`.

### 3. Create with a key
Every write needs an `Idempotency-Key`: one new key per operation, the same in all its retries.

```sh
KEY=$(new_key)
curl -si "$API/commodities" -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $KEY" \\
  -H 'Content-Type: application/json' -d '{"code": "GUAR", "name": "Guar seed", "category": "OILSEED"}'
```

### 4. Retry
After a lost connection, 429, 5xx or `idempotency.in_progress`, send the same request with the same key. The stored
response comes back with `Idempotency-Replayed: true`; nothing is created twice.

```sh
curl -si "$API/commodities" -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $KEY" \\
  -H 'Content-Type: application/json' -d '{"code": "GUAR", "name": "Guar seed", "category": "OILSEED"}'
```

### 5. Handle errors
Errors are `application/problem+json`. Check `code`, which is stable; `errors` names each field by a JSON pointer, and
`type` opens a page with cause and fix. [All problems](/api/problems).

```sh
curl -s "$API/commodities" -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $(new_key)" \\
  -H 'Content-Type: application/json' -d '{"code": "GUAR"}'
```

### 6. Change a row
Send the `ETag` that you read as `If-Match`. If somebody changed the row meanwhile, the response is 412: read again.

### 7. Follow events
`next` is the cursor of the following call; an empty page means that you are up to date.

```sh
curl -s "$API/events?after=latest&limit=10" -H "Authorization: Bearer $TOKEN"
```

## Conventions
- Money, rates and quantities are decimal strings: `"2479684.66"`. Times are RFC 3339 in UTC, dates `YYYY-MM-DD`.
- Unknown fields and parameters are refused, never ignored.
- `allowed_actions` of a row lists what you may do with it now.
- Limits: `RateLimit` shows what remains; after 429 wait for `Retry-After`.
"""

AREAS = {
    "auth": "Sign in, two-factor authentication, your profile and sessions.",
    "approvals": "Requests that need a second person: read, approve, reject.",
    "organizations": "The company's organizations with registrations, bank accounts, financial years and numbers.",
    "locations": "The registry of places: search, details, hierarchy and distances.",
    "states": "States of India with their GST codes and PIN prefixes.",
    "commodities": "Goods that are traded, conversion of units, taxes, suggestions and bulk import.",
    "varieties": "Varieties of a commodity, such as Shankar-6 of cotton.",
    "grades": "Grades of a commodity with their difference to the basis grade.",
    "quality-parameters": "Measured properties of a commodity, such as micronaire.",
    "parameter-templates": "Quality parameters that commodities of a category usually have.",
    "quality-schedules": "Premiums and discounts for quality that differs from the contract.",
    "units": "Units of measure and their definitions over time.",
    "pack-weights": "Usual weights of a package of a commodity.",
    "pricing-units": "Units in which prices are quoted, such as rupees per candy.",
    "hsn-codes": "HSN codes of goods for GST.",
    "hsn-mappings": "HSN codes that staff confirmed for names of goods.",
    "tax-rates": "GST rates by HSN code and period.",
    "commissions": "Commissions owed by buyers and sellers.",
    "bargain-types": "Kinds of bargains and how their price is fixed.",
    "trade-types": "Kinds of trades.",
    "delivery-terms": "Where goods are delivered, and what the price includes.",
    "passing-terms": "Where quality is passed, and which result is final.",
    "payment-terms": "When and by which instrument a deal is paid.",
    "weighment-terms": "Which weight is final, and what is deducted from it.",
    "partners": "Buyers, sellers, brokers and service providers.",
    "availabilities": "Offers of sellers, and reservations of quantity by buyers.",
    "requirements": "What buyers want, what they have bought of it, relaxations, and the demand of all.",
    "negotiations": "Firm offers that the two sides of a match make in turn until one is accepted.",
    "matching": "Which offers suit which requirements, why and why not, and how contested stock is divided.",
    "risk": "Assessments of listings, partners and trades, overrides, and what surveillance found.",
    "trades": "Contracts of matches and negotiations, their execution, amendments, disputes and settlement.",
    "events": "The feed of events: everything that happened to rows you may see, in order.",
    "notifications": "Messages to you.",
    "uploads": "Files that a later write uses by their ID.",
    "jobs": "Long work that was accepted with 202: progress, result and errors.",
}
TAGS = [{"name": name, "description": words} for name, words in AREAS.items()]

# Of fields that no model or endpoint describes: by name, or by schema and name where the meaning differs.
FIELDS = {
    "accepted": "Number of rows that were accepted.",
    "access_token": "Send it as `Authorization: Bearer <access token>`; valid for 15 minutes.",
    "action": "What the import would do with the row.",
    "address": "Postal address.",
    "alternatives": "Other suggestions, the best first.",
    "amount": "The price of the converted quantity; null without a price.",
    "ancestors": "Places that contain this one, the nearest first.",
    "bands": "Ranges of the measured value, each with its adjustment.",
    "base_high": "Upper end of the contract's basis, in the unit of the parameter.",
    "base_low": "Lower end of the contract's basis, in the unit of the parameter.",
    "basis": "How the weight was found: as entered, or from packages and their usual weight.",
    "body": "Text of the message.",
    "capabilities": "What the user may do.",
    "carrying_slabs": "Interest for carrying, by number of days.",
    "category": "Category of the goods.",
    "cells": "Adjustments by two parameters.",
    "challenge_token": "Send it with the code to complete the sign-in; valid for five minutes.",
    "changes": "Fields that the import would change.",
    "choices": "Allowed values, ordered by rank.",
    "code": "Stable code.",
    "condition": "Condition under which the GST rate applies; empty if it always does.",
    "confidence": "How certain the suggestion is, from 0 to 1.",
    "confirmed_by": "ID of the user who confirmed it.",
    "converted": "The quantity in the wanted unit, as an exact fraction.",
    "cotton_zone": "Cotton-growing zone of India.",
    "country": "ISO 3166-1 code of the country, such as `IN`.",
    "create": "Number of rows that would be created.",
    "currency": "ISO 4217 code of the currency, such as `INR`.",
    "customs_code": "Code of the port in Indian customs.",
    "data": "Content of the event; its schema depends on `type` and version.",
    "data_type": "Type of the parameter's values.",
    "decision": "Approved or rejected.",
    "decisions": "Decisions so far, the oldest first.",
    "definitions": "Definitions of the unit over time.",
    "denominator": "Lower part of the exact fraction.",
    "description": "Description of the goods.",
    "detail": "Explanation for people.",
    "details_token": "Signed details: send it to add the place within 15 minutes.",
    "diff": "Fields that the request changes, with old and new value.",
    "distance_km": "Distance in a straight line, in kilometres.",
    "district": "District of the address.",
    "document_number": "The number as printed on the document.",
    "document_type": "Type of the document.",
    "effect": "What the line changes: the price, the weight, or nothing but acceptance.",
    "end_reason": "Why the session ended; null while it is active.",
    "errors": "All errors found in the request.",
    "everywhere": "Capabilities on every visible row.",
    "excluded": "IDs of users who may not decide, because they made or edited the request.",
    "facts": "Values that the reason is about.",
    "faults": "Errors of the row.",
    "field": "Name of the field.",
    "file_name": "Name of the uploaded file.",
    "file_sha256": "SHA-256 of the file, in hexadecimal.",
    "form": "How the line computes the adjustment.",
    "great_circle_km": "Distance in a straight line, in kilometres.",
    "hsn": "HSN code that the rate was found by; it may be shorter than the one asked for.",
    "hsn_code": "HSN code of four to eight digits.",
    "id": "ID (UUID version 7); treat it as opaque.",
    "is_suggestion": "Always true: a person decides.",
    "km": "Distance by the mode of transport, in kilometres; null if unknown.",
    "kind": "Kind of the work.",
    "label": "Name with district and state, to choose from.",
    "late_slabs": "Deductions for late delivery, by number of days.",
    "latitude": "Latitude in degrees (WGS 84).",
    "limits": "Limits of the grade by parameter.",
    "line_cap": "The most that the line may adjust.",
    "lines": "Lines of the schedule, in order.",
    "longitude": "Longitude in degrees (WGS 84).",
    "method": "Test method of the result.",
    "methods": "Ways to complete the sign-in.",
    "mode": "How it is done.",
    "name": "Name.",
    "name_key": "Name of the goods in the form that is compared.",
    "new": "Value after the change.",
    "note": "Note of the person who decided.",
    "number": "Number of the document or offer, for people.",
    "numerator": "Upper part of the exact fraction.",
    "old": "Value before the change.",
    "on_date": "Date that the rate is for.",
    "open_quantity": "Quantity still reserved, in the unit of the offer.",
    "order": "Position.",
    "otpauth_uri": "Address to show as a QR code to the authenticator app.",
    "own": "Capabilities on rows of the user's own partner.",
    "package_unit": "Unit of the package, such as `BALE`.",
    "parameter": "Code of the quality parameter.",
    "pincode": "PIN code of six digits.",
    "pointer": "JSON pointer to the value.",
    "prefix": "First digits of the PIN codes.",
    "presets": "Usual values of quality parameters.",
    "problem_code": "Code of the problem that ended the job.",
    "problem_detail": "Explanation of the problem, for people.",
    "processed": "Number of rows processed so far.",
    "provider": "Source of the result.",
    "provider_refs": "IDs of the place at providers.",
    "rate": "Adjustment per step, in the currency and unit of the schedule.",
    "rate_percent": "GST rate in percent of the value.",
    "rates": "GST rates that are effective today.",
    "reason_code": "Code of the reason for the decision.",
    "reasons": "Why it is suggested.",
    "reciprocal": "Whether the line gives premiums as well as discounts.",
    "recovery_codes": "Codes to use once each if the authenticator is lost. Shown once.",
    "refresh_token": "Exchange it for a new pair of tokens; valid once.",
    "refused": "Number of rows with errors.",
    "region": "Region of the country.",
    "reject_above": "Results above this value are rejected.",
    "reject_below": "Results below this value are rejected.",
    "reject_mode": "What happens to a rejected result.",
    "resend_after": "Seconds until another code can be requested.",
    "results": "Rows of this page.",
    "revoked": "Number of sessions that ended.",
    "roles": "Roles of the user.",
    "row": "Number of the row in the file, the header being 1.",
    "rows": "The effect on each row.",
    "second_factor": "Whether two-factor authentication is enabled.",
    "second_parameter": "Code of the second parameter of a matrix.",
    "secret": "Secret for the authenticator app, in Base32. Shown once.",
    "seen_version": "Version of the record that the decision is about.",
    "sequence": "Position of the event among those of its row.",
    "side": "Whether results below or above the basis are adjusted.",
    "slabs": "Ranges of value or quantity with the commission of each.",
    "source": "Where the value comes from.",
    "state": "GST code of the state, such as `24` for Gujarat.",
    "state_code": "GST code of the state, such as `24` for Gujarat.",
    "status": "Current status.",
    "steps": "Steps of the computation, in order.",
    "subject": "Subject of the message.",
    "tally": "Summary by result.",
    "time_zone": "Time zone of the place, such as `Asia/Kolkata`.",
    "timezone": "Time zone of the place, such as `Asia/Kolkata`.",
    "title": "Meaning of the code, for people.",
    "token_type": "Always `Bearer`.",
    "tolerance": "Difference to the basis without adjustment, in the unit of the parameter.",
    "total": "Number of rows; null until it is known.",
    "transit_days": "Usual days in transit.",
    "type": "Type.",
    "unchanged": "Number of rows that already have these values.",
    "unit": "Code of the unit, such as `KG`.",
    "unit_version": "Version of the unit's definition.",
    "unlocode": "UN/LOCODE of the place.",
    "update": "Number of rows that would be updated.",
    "valid_from": "First day on which it is effective.",
    "valid_to": "Last day on which it is effective; null if it is open.",
    "value": "The value as a decimal string.",
    "version": "Rises by one with each change; the ETag holds it.",
    "weight": "Weight of the quantity.",
    "weight_rule": "Which weight the adjustment applies to.",
    "created_at": "Time of creation (UTC).",
    "updated_at": "Time of the latest change (UTC).",
    "eta_at": "Expected end (UTC); null if it is unknown.",
    "expires_at": "Time from which it is no longer valid (UTC).",
    "Problem.status": "HTTP status.",
    "Problem.title": "Meaning of the code, for people.",
    "Problem.request_id": "ID of the request; give it to support.",
    "request_id": "ID of the request that caused it.",
    "LocationDistance.mode": "Mode of transport.",
    "Location.type": "Type of the place.",
    "LocationAncestor.type": "Type of the place.",
    "History.type": "Type of the event, such as `location.updated`.",
    "IntegrationAggregate.type": "Type of the row, such as `availability`.",
}

# Values of fields that no example of a request shows, by name.
EXAMPLES = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIwMTkifQ.c2lnbmF0dXJl",
    "address": "Station Road, Gondal",
    "amount": "62150.00",
    "base_currency": "INR",
    "base_type": "organization",
    "base_unit": "KG",
    "bound": "maximum",
    "buyer_ref": "P-7K2M9Q",
    "by": "staff",
    "call_side": "BUYER",
    "capability": "organization.manage_financial_years",
    "caption": "Bales of the lot in the shed",
    "challan_number": "DC-118",
    "challenge_token": "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIwMTkifQ.c2lnbmF0dXJl",
    "code": "COTTON",
    "condition_note": "Two bales wet at one edge.",
    "contact_name": "Asha Patel",
    "contract_form": "FAQ",
    "cotton_zone": "Central",
    "count_unit": "BALE",
    "country": "IN",
    "crop_year": "2026-27",
    "customs_code": "INMUN1",
    "decider_role": "INTERNAL_DIRECTOR",
    "decision_reason": "The price was agreed by telephone.",
    "default_method": "HVI",
    "degraded": "budget",
    "denominator": "1",
    "destination_state_code": "TN",
    "detail": "Quantity must be a whole number of packages.",
    "details_token": "eyJwcm92aWRlciI6ImdhemV0dGVlciJ9:1tqF2x:c2lnbmF0dXJl",
    "device_label": "Office laptop",
    "document": "INVOICE",
    "document_number": "TRD-2627-000001",
    "entry_reference": "QDi.430",
    "eway_number": "351000000017",
    "exact": "2479684.6579129000",
    "exchange": "ICE",
    "expected_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "exposure_level": "medium",
    "external_ref": "PO-4471",
    "field": "name",
    "file_name": "commodities.csv",
    "file_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "filename": "certificate.pdf",
    "godown": "Godown 3",
    "gst_code": "24",
    "gst_uqc": "KGS",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "holder_ref": "P-7K2M9Q",
    "hsn": "5201",
    "iec": "ZZZCD5005E",
    "index": "Cotlook A",
    "internal_reference": "SO-1187",
    "invoice_footer": "Subject to Mumbai jurisdiction.",
    "ip": "203.0.113.7",
    "iso_code": "GJ",
    "item": "gst_certificate",
    "kind": "commodity",
    "kyc": "valid",
    "lab_accreditation": "NABL TC-1234",
    "label": "Rajkot, Gujarat",
    "last4": "6789",
    "level": "medium",
    "line2": "Kalbadevi Road",
    "lines_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "list_code": "UN",
    "llpin": "AAA-0001",
    "lot_no": "SSG-27",
    "lr_number": "LR-20417",
    "lut_number": "AD270326000001X",
    "media_type": "application/pdf",
    "month": "2027-03",
    "name_key": "raw cotton",
    "new": "Guar seed",
    "notes": "Delivery within two weeks.",
    "numerator": "170",
    "old": "Guar",
    "open_kg": "50,000–100,000",
    "operation": "changed",
    "otpauth_uri": "otpauth://totp/Cotton%20ERP:asha@example.com?secret=JBSWY3DPEHPK3PXP",
    "parameter": "MIC",
    "partner_name": "Shree Cotton Traders",
    "pending_email": "asha@example.com",
    "pointer": "/quantity",
    "pool": "10-49",
    "postal_code": "360311",
    "preferred_currency": "INR",
    "prefix": "36",
    "press_mark": "SSG",
    "preview_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "problem_code": "commodity.file_header",
    "problem_detail": "The columns of the file are not those of the template.",
    "proposed_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "quantity_band": "50-100",
    "recovery_code": "7KQ4-M2XD-9FPA",
    "refresh_token": "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIwMjAifQ.c2lnbmF0dXJl",
    "region": "Saurashtra",
    "request_id": "01993c1e7d2a",
    "resolution": "Both sides agreed to share the loss.",
    "rounding": "HALF_UP",
    "route": "manager",
    "rule": "T6.4",
    "scan_status": "clean",
    "second_parameter": "STR",
    "secret": "JBSWY3DPEHPK3PXP",
    "seller_ref": "Seller 7F3A",
    "session_token": "search-7f3a",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "source": "gazetteer",
    "state_code": "24",
    "strength": "block",
    "subject": "SSG-27",
    "subject_name": "AV-2627-000017",
    "subject_type": "financial_year",
    "swift": "ZZZZINBBXXX",
    "symbol": "kg",
    "tan": "MUMD00001A",
    "text": "Which godown are the goods in?",
    "time_zone": "Asia/Kolkata",
    "title": "The request is not valid.",
    "token_type": "Bearer",
    "unece_code": "KGM",
    "unlocode": "INMUN",
    "unrounded": "2479684.6579129",
    "urgency": "NORMAL",
    "value": "62150.00",
    "version": "7",
    "wdra_code": "WDRA0001",
    "weight": "17000",
    "weight_unit": "KG",
}
