"""What the bureau's identity provider is and how its groups become our roles and districts."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PersonRole = Literal["pilot", "reviewer", "officer", "admin"]
District = Annotated[str, Field(pattern=r"^(\d{6}|\*)$")]


class OidcSettings(BaseModel):
    """An OpenID Connect provider; section `[oidc]` of `settings.toml`.

    Attributes:
        issuer: Issuer, exactly as the provider's discovery document and its ID tokens name it.
        client_id: Our id there.
        client_secret: Our secret there; "" for a public client (PKCE is used in any case).
        redirect_url: Our callback as registered there: `https://<our address>/api/v1/auth/oidc/callback`.
        scopes: What is asked for.
        name_claim: Claim that names the person in our histories.
        group_claim: Claim with the person's groups, a string or a list; dots lead inwards (`realm_access.roles`).
        roles: Group → role. Of several the one that may most is taken; nobody gets in without one.
        districts: Group → districts (six digits, or "*" for all). Empty: everybody sees every district. Once it names
            any, a person of no named group sees none, and is refused.
        skew_s: How far the provider's clock may be from ours, seconds.
        title: What the button says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: str = Field(default="", repr=False)
    redirect_url: str
    scopes: str = "openid profile"
    name_claim: str = "preferred_username"
    group_claim: str = "groups"
    roles: dict[str, PersonRole]
    districts: dict[str, tuple[District, ...]] = Field(default_factory=dict)
    skew_s: Annotated[int, Field(ge=0, le=300)] = 60
    title: str = "统一身份认证登录"

    @field_validator("issuer", "redirect_url")
    @classmethod
    def _safe(cls, value: str) -> str:
        return safe_url(value)

    @model_validator(mode="after")
    def _asks_for_an_id_token(self) -> OidcSettings:
        if "openid" not in self.scopes.split():
            raise ValueError("scopes should hold openid")
        return self


def safe_url(value: str) -> str:
    """The address when it is https, or http to this very machine.

    Raises:
        ValueError: It is neither: codes and secrets do not travel in the clear.
    """
    parts = urlsplit(value)
    if parts.scheme == "https" and parts.hostname:
        return value
    if parts.scheme == "http" and parts.hostname and _here(parts.hostname):
        return value
    raise ValueError(f"{value[:120]!r}: an https address was expected (http only to this machine)")


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
