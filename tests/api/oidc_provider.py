"""A small real OpenID Connect provider in a process of its own: `python -m tests.api.oidc_provider PORT`.

It signs RS256 with `cryptography` alone (our side checks with joserfc), checks PKCE, the client's secret and that a
code is used once. `POST /test` sets what the next log-in says, and how it lies: the tests' forger.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from typing import Any
from urllib.parse import urlencode

import uvicorn
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from fastapi import FastAPI, Form, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse

CLIENT, SECRET = "yunxun", "a-secret-of-the-test"
SUBJECT = {"sub": "248289761001", "preferred_username": "wang.lei", "groups": ["cg-reviewers", "cg-lanshan"]}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Provider:
    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.codes: dict[str, dict[str, str]] = {}
        self.said: dict[str, Any] = {}
        self.rotate()

    def rotate(self) -> None:
        self.key, self.kid = rsa.generate_private_key(public_exponent=65537, key_size=2048), secrets.token_hex(4)
        self.other = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> dict[str, Any]:
        public = self.key.public_key().public_numbers()
        shared = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid}
        return {"keys": [{**shared, "n": number(public.n), "e": number(public.e)}]}

    def id_token(self, nonce: str, access: str) -> str:
        now = int(time.time())
        at_hash = b64(hashlib.sha256(access.encode()).digest()[:16])
        claims = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce, "at_hash": at_hash,
            **SUBJECT, **self.said.get("claims", {}),
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        for name in ("iat", "exp", "nbf"):
            if name in claims and isinstance(claims[name], str):
                claims[name] = now + int(claims[name])
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **self.said.get("header", {})}
        signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(self.signature(header['alg'], signed.encode()))}"

    def signature(self, algorithm: str, message: bytes) -> bytes:
        if algorithm == "none":
            return b""
        if algorithm == "HS256":
            # The classic: the public key, known to all, as the shared secret.
            mac = hmac.HMAC(json.dumps(self.jwks()["keys"][0]).encode(), hashes.SHA256())
            mac.update(message)
            return mac.finalize()
        key = self.other if self.said.get("forged") else self.key
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def make(issuer: str) -> FastAPI:
    app, provider = FastAPI(), Provider(issuer)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> dict[str, Any]:
        return {
            "issuer": provider.said.get("issuer", issuer),
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
        }

    @app.get("/jwks")
    def jwks() -> dict[str, Any]:
        return provider.jwks()

    @app.get("/authorize")
    def authorize(request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        provider.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": issuer, **provider.said.get("back", {})}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", status_code=302)

    @app.post("/token")
    def token(
        code: str = Form(), code_verifier: str = Form(), redirect_uri: str = Form(), authorization: str = Header("")
    ) -> Any:
        asked = provider.codes.pop(code, None)
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        challenge = b64(hashlib.sha256(code_verifier.encode()).digest())
        if authorization != expected or asked is None or challenge != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        if redirect_uri != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        access = secrets.token_urlsafe(16)
        made = provider.said.get("id_token") or provider.id_token(asked["nonce"], access)
        provider.said["last"] = made
        return {"access_token": access, "token_type": "Bearer", "id_token": made}

    @app.post("/test")
    def say(body: dict[str, Any]) -> dict[str, Any]:
        last = provider.said.get("last")
        if body.pop("rotate", False):
            provider.rotate()
        provider.said = body
        return {"last": last}

    return app


if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(make(f"http://127.0.0.1:{port}"), port=port, log_level="warning")
