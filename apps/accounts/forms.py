"""What staff type to prove themselves: well formed, or asked for again and not counted."""

import re
from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from apps.accounts import secrets

SIX_DIGITS: Final = re.compile(r"^[0-9]{6}\Z")


class CodeForm(forms.Form):
    """Six digits of the authenticator, or a recovery code."""

    code = forms.CharField(
        max_length=40,
        label="Code",
        help_text="Six digits of your authenticator, or one of your recovery codes",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "autofocus": True}),
    )

    def clean_code(self) -> str:
        """What has the shape of neither is asked for again, and not counted."""
        text: str = self.cleaned_data["code"]
        if not SIX_DIGITS.match(text) and not secrets.is_recovery_code(text):
            raise forms.ValidationError("Type six digits, or a recovery code.", code="invalid")
        return text

    def proof(self) -> dict[str, Any]:
        """What was typed, as the services take it: ``code`` or ``recovery_code``."""
        text = self.cleaned_data["code"]
        return {"code" if SIX_DIGITS.match(text) else "recovery_code": text}


class ProofForm(forms.Form):
    """The password, or a code: whoever sits here shows to be who signed in."""

    password = forms.CharField(
        max_length=128,
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
    )
    code = forms.RegexField(
        SIX_DIGITS,
        required=False,
        label="Code of your authenticator",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def proof(self) -> dict[str, Any]:
        """What was typed."""
        return {name: value for name, value in self.cleaned_data.items() if value}


class EitherForm(ProofForm):
    """At least one of the two."""

    def clean(self) -> dict[str, Any]:
        """Nothing typed is no try, and not counted."""
        if not self.errors and not self.proof():
            raise forms.ValidationError("Type your password or a code.", code="required")
        return self.cleaned_data


class BothForm(ProofForm):
    """Both: what replaces a second factor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.required = True
