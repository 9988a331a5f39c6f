"""OpenID Connect, the relying party's side: authorization code with PKCE, and what an ID token must prove.

OpenID Connect Core 1.0 sections 3.1.2-3.1.3, RFC 7636 (PKCE), RFC 9207 (`iss` in the answer). Signatures are joserfc's;
every claim is checked here, where it can be read. `alg: none` and shared-secret algorithms are never accepted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.auth.oidc_settings import OidcSettings, safe_url
from api.errors import UnauthorizedError, UnavailableError

ALGORITHMS = ("RS256", "PS256", "ES256", "RS384", "RS512", "ES384", "EdDSA")
# Providers rotate keys over days; an unknown key id asks anew, but not more often than this.
KEYS_FRESH_S, KEYS_AGAIN_S = 3600.0, 30.0
# An ID token is made for the log-in that is under way; one older than this is not of it.
MAX_AGE_S = 600
TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 1_000_000


@dataclass(frozen=True)
class Provider:
    """What the discovery document says."""

    authorization_url: str
    token_url: str
    keys_url: str
    basic_auth: bool


@dataclass(frozen=True)
class Start:
    """A log-in that begins: where the browser goes, and what must be remembered until it comes back."""

    url: str
    state: str
    nonce: str
    verifier: str


def _random() -> str:
    return secrets.token_urlsafe(32)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class RelyingParty:
    """Speaks with one provider; keeps its discovery document and its keys for a while. Safe among threads."""

    def __init__(
        self, settings: OidcSettings, *, client: httpx.Client | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._client = client or httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        self._now = now
        self._lock = threading.Lock()
        self._provider: tuple[Provider, float] | None = None
        self._keys: tuple[KeySet, float] | None = None

    def close(self) -> None:
        """Closes connections."""
        self._client.close()

    def start(self) -> Start:
        """Where to send the browser.

        Raises:
            UnavailableError: The provider does not answer as one.
        """
        state, nonce, verifier = _random(), _random(), _random()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_url,
            "scope": self._settings.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": _b64(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        address = self.provider().authorization_url
        return Start(f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", state, nonce, verifier)

    def claims_for(self, code: str, verifier: str, nonce: str) -> dict[str, Any]:
        """Exchanges the code, and gives the claims of an ID token that holds.

        Raises:
            UnauthorizedError: The code is refused, or the token proves nothing.
            UnavailableError: The provider does not answer.
        """
        provider = self.provider()
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.redirect_url,
            "client_id": self._settings.client_id,
            "code_verifier": verifier,
        }
        auth = None
        if self._settings.client_secret and provider.basic_auth:
            auth = httpx.BasicAuth(self._settings.client_id, self._settings.client_secret)
        elif self._settings.client_secret:
            body["client_secret"] = self._settings.client_secret
        answer = self._ask("POST", provider.token_url, data=body, auth=auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise UnauthorizedError("the identity provider gave no ID token: log in again")
        return self.check(token, nonce, access_token=answer.get("access_token"))

    def check(self, token: str, nonce: str, *, access_token: object = None) -> dict[str, Any]:
        """The claims of an ID token whose signature, issuer, audience, times and nonce hold.

        Raises:
            UnauthorizedError: One does not.
        """
        claims, algorithm = self._signed(token)
        wrong = self._wrong(claims, nonce)
        if wrong is None and isinstance(access_token, str) and isinstance(claims.get("at_hash"), str):
            wrong = None if _fits(claims["at_hash"], access_token, algorithm) else "at_hash does not fit"
        if wrong is not None:
            raise UnauthorizedError(f"the identity provider's token does not hold ({wrong}): log in again")
        return claims

    def _signed(self, token: str) -> tuple[dict[str, Any], str]:
        reason = ""
        # Once more with keys asked anew: the provider may have changed them.
        for again in (False, True):
            keys = self._key_set(again=again)
            try:
                decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                reason = type(error).__name__
                continue
            return decoded.claims, str(decoded.header["alg"])
        raise UnauthorizedError(f"the identity provider's token is not signed by its keys ({reason}): log in again")

    def _wrong(self, claims: dict[str, Any], nonce: str) -> str | None:
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        if claims.get("iss") != self._settings.issuer:
            return "another issuer"
        if not isinstance(audiences, list) or self._settings.client_id not in audiences:
            return "for another audience"
        if len(audiences) > 1 and claims.get("azp") is None:
            return "several audiences and no azp"
        if claims.get("azp") not in (None, self._settings.client_id):
            return "given to another party"
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            return "no subject"
        if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(
            claims["nonce"].encode("utf-8", "replace"), nonce.encode()
        ):
            return "of another log-in"
        return self._wrong_times(claims)

    def _wrong_times(self, claims: dict[str, Any]) -> str | None:
        now, skew = self._now(), self._settings.skew_s
        moments: dict[str, float] = {}
        for name in ("exp", "iat", "nbf"):
            value = claims.get(name, 0 if name == "nbf" else None)
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"{name} is no time"
            moments[name] = float(value)
        if moments["exp"] + skew <= now:
            return "it has ended"
        if max(moments["iat"], moments["nbf"]) - skew > now:
            return "from the future: compare the clocks"
        return "too old" if moments["iat"] + MAX_AGE_S + skew < now else None

    def provider(self) -> Provider:
        """The discovery document, an hour at most old.

        Raises:
            UnavailableError: It cannot be had, or is another issuer's.
        """
        with self._lock:
            known = self._provider
        if known is not None and known[1] + KEYS_FRESH_S > time.monotonic():
            return known[0]
        found = self._ask("GET", self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self._settings.issuer:
            raise UnavailableError(f"the discovery document of {self._settings.issuer} names another issuer")
        # OpenID Connect Discovery 1.0: without the entry, client_secret_basic is meant.
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        try:
            provider = Provider(
                safe_url(str(found["authorization_endpoint"])),
                safe_url(str(found["token_endpoint"])),
                safe_url(str(found["jwks_uri"])),
                "client_secret_basic" in methods,
            )
        except (KeyError, ValueError) as error:
            raise UnavailableError(f"the discovery document of {self._settings.issuer} lacks {error}") from error
        with self._lock:
            self._provider = (provider, time.monotonic())
        return provider

    def _key_set(self, *, again: bool) -> KeySet:
        with self._lock:
            known = self._keys
        age_s = time.monotonic() - known[1] if known else 0.0
        if known is not None and age_s < (KEYS_AGAIN_S if again else KEYS_FRESH_S):
            return known[0]
        found = self._ask("GET", self.provider().keys_url)
        try:
            # A shared secret among public keys would make HS256 of it: only public kinds are taken.
            kept = [key for key in found["keys"] if key.get("kty") in ("RSA", "EC", "OKP") and key.get("use") != "enc"]
            keys = KeySet.import_key_set({"keys": kept})
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnavailableError(f"the keys of {self._settings.issuer} cannot be read") from error
        with self._lock:
            self._keys = (keys, time.monotonic())
        return keys

    def _ask(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, url, headers={"Accept": "application/json"}, **options)
            if len(answer.content) > _MAX_ANSWER_BYTES:
                raise ValueError("too long")
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(
                f"the identity provider {self._settings.issuer} does not answer as one ({type(error).__name__})"
            ) from error
        if method == "POST" and answer.status_code in (400, 401, 403):
            raise UnauthorizedError("the identity provider refuses this log-in: log in again")
        if answer.status_code != 200 or not isinstance(found, dict):
            raise UnavailableError(f"the identity provider {self._settings.issuer} answered {answer.status_code}")
        return found


def _fits(at_hash: str, access_token: str, algorithm: str) -> bool:
    name = {"384": "sha384", "512": "sha512"}.get(algorithm[-3:], "sha512" if algorithm == "EdDSA" else "sha256")
    digest = hashlib.new(name, access_token.encode()).digest()
    return hmac.compare_digest(_b64(digest[: len(digest) // 2]), at_hash)
