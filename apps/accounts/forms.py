"""Forms of two-factor authentication and reauthentication. A malformed input is not counted as an attempt."""

import re
from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from apps.accounts import secrets

SIX_DIGITS: Final = re.compile(r"^[0-9]{6}\Z")


class CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    code = forms.CharField(
        max_length=40,
        label="Code",
        help_text="Six digits of your authenticator app, or one of your recovery codes.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "autofocus": True}),
    )

    def clean_code(self) -> str:
        """Refuse what is neither a code nor a recovery code."""
        text: str = self.cleaned_data["code"]
        if not SIX_DIGITS.match(text) and not secrets.is_recovery_code(text):
            raise forms.ValidationError("Enter six digits or a recovery code.", code="invalid")
        return text

    def proof(self) -> dict[str, Any]:
        """The keyword of the service: ``code`` or ``recovery_code``."""
        text = self.cleaned_data["code"]
        return {"code" if SIX_DIGITS.match(text) else "recovery_code": text}


class ProofForm(forms.Form):
    """Password and code of the authenticator app."""

    password = forms.CharField(
        max_length=128,
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
    )
    code = forms.RegexField(
        SIX_DIGITS,
        required=False,
        label="Code of your authenticator app",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def proof(self) -> dict[str, Any]:
        """The submitted values."""
        return {name: value for name, value in self.cleaned_data.items() if value}


class EitherForm(ProofForm):
    """At least one of password and code."""

    def clean(self) -> dict[str, Any]:
        """Refuse an empty form."""
        if not self.errors and not self.proof():
            raise forms.ValidationError("Enter your password or a code.", code="required")
        return self.cleaned_data


class BothForm(ProofForm):
    """Both password and code, to replace an authenticator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.required = True
