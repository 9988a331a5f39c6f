"""What the API is told at its start. The conductor reads the environment (`YUNXUN_*`) and constructs this."""

from __future__ import annotations

import os
import secrets
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth.oidc_settings import OidcSettings
from api.errors import ApiError
from api.evidence.retention_rules import RetentionRules
from api.tiles.privacy import PrivacyRules


class ApiSettings(BaseModel):
    """Engines, places and policies of one installation.

    Attributes:
        database_url: SQLAlchemy URL; "" means SQLite under `data_dir`.
        broker_url: Celery broker; "" leaves jobs in their rows until a worker looks for them.
        store_url: Folder or fsspec URL of the evidence store; "" means `data_dir/store`.
        data_dir: Everything embedded lives under it: database, secrets, caches, uploads.
        number_prefix: Of case numbers, before `-yyyyMMdd-NNNNN`.
        timezone: Of case numbers, deadlines and exports; the files and the API speak UTC.
        source: CloudEvents `source` of our events.
        access_token_s: Life of a token that a log-in gives.
        refresh_token_s: Life of the single-use token that renews it.
        lease_s: How long a reviewer keeps a candidate to themselves without deciding.
        facets_cache_s: How old the officer's numbers may be.
        feed_days: How far back the feed can be replayed; older cursors get 410.
        second_look: Families whose acceptance needs another person (初审 → 复核).
        verify_on_site: Families that a collector verifies on the ground before filing (现场核实).
        require_cell: Whether a case without a grid cell is withheld from filing; None: once a grid is loaded.
        output_crs: Coordinates of exports and of the vendor's call: an EPSG code,
            "gk3" (the position's own 3-degree zone), or "local" with `local_params`.
        local_params: Four-parameter transform (dx_m, dy_m, scale, rotation_rad) from the 3-degree zone.
        vendor_url: The vendor platform's interface; "" for none (the platform reads the feed).
        vendor_token: Its token.
        max_body_bytes: Largest body of a request that is no upload.
        max_upload_bytes: Largest uploaded photograph.
        rate_per_s: Requests a second that one token may make on average; 0 for no limit.
        rate_burst: Requests it may make at once.
        login_per_minute: Log-ins that one address may try; 0 for no limit.
        privacy: What may be shown of people and vehicles.
        retention: What is kept, thinned and deleted.
        oidc: The bureau's identity provider; None for local accounts only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = ""
    broker_url: str = ""
    store_url: str = ""
    data_dir: Path
    number_prefix: str = "LY-WRJ"
    timezone: str = "Asia/Shanghai"
    source: str = "/yunxun"
    access_token_s: int = 1800
    refresh_token_s: int = 12 * 3600
    lease_s: int = 300
    facets_cache_s: float = 1.0
    feed_days: int = 90
    second_look: tuple[str, ...] = ()
    verify_on_site: tuple[str, ...] = ()
    require_cell: bool | None = None
    output_crs: str = "EPSG:4326"
    local_params: tuple[float, float, float, float] | None = None
    vendor_url: str = ""
    vendor_token: str = Field(default="", repr=False)
    max_body_bytes: int = 32 * 1024 * 1024
    max_upload_bytes: int = 64 * 1024 * 1024
    rate_per_s: float = 0.0
    rate_burst: int = 200
    login_per_minute: int = 60
    privacy: PrivacyRules = PrivacyRules()
    retention: RetentionRules = RetentionRules()
    oidc: OidcSettings | None = None
    extra: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def load(cls, data_dir: Path, **engines: Any) -> ApiSettings:
        """The engines given, and the policies of `data_dir/settings.toml` where there is one (sections as fields).

        Raises:
            ApiError: The file is no TOML, or holds what is no setting; the message names the line or the key.
        """
        path = data_dir / "settings.toml"
        try:
            told = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
            return cls.model_validate({**told, **engines, "data_dir": data_dir})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ApiError(f"{path} cannot be read as TOML: {error}") from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ApiError(f"{path}: {where}: {first['msg']}") from error

    @property
    def url(self) -> str:
        """The database URL in effect; a bare `postgresql://` gets our driver."""
        if not self.database_url:
            return f"sqlite:///{self.data_dir / 'yunxun.sqlite'}"
        if self.database_url.startswith(("postgresql://", "postgres://")):
            return "postgresql+psycopg://" + self.database_url.split("://", 1)[1]
        return self.database_url

    @property
    def store(self) -> str:
        """The evidence store in effect."""
        return self.store_url or str(self.data_dir / "store")

    def secret(self, name: str) -> bytes:
        """32 random bytes kept under `data_dir/secrets`, mode 0600, made at first use.

        Raises:
            ApiError: The file cannot be written, or is not ours.
        """
        folder = self.data_dir / "secrets"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = folder / name
            if not path.is_file():
                _write_once(path, secrets.token_bytes(32))
            value = path.read_bytes()
        except OSError as error:
            raise ApiError(f"cannot keep secrets in {folder}: {error}; make the folder writable") from error
        if len(value) != 32:
            raise ApiError(f"{path} should hold 32 bytes, has {len(value)}: restore it from the backup")
        return value


def _write_once(path: Path, value: bytes) -> None:
    """Creates `path` with `value` and mode 0600; the first of several processes wins."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
