"""Which engines to run on, from the environment. The only place that reads `YUNXUN_*`.

| variable | meaning | default |
|---|---|---|
| YUNXUN_DATA_DIR | everything embedded lives under it | ~/.local/share/yunxun |
| YUNXUN_DATABASE_URL | rows | SQLite in the data folder |
| YUNXUN_BROKER_URL | tasks | Valkey started by `yunxun serve` |
| YUNXUN_STORE_URL | originals and rasters | a folder in the data folder |
| YUNXUN_ARDUCOPTER | a real SITL binary | arducopter on PATH |
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from api.settings import ApiSettings


@dataclass(frozen=True)
class Settings:
    """Engines by address; every field is set, embedded defaults included.

    Attributes:
        data_dir: Home of everything embedded.
        database_url: SQLAlchemy URL.
        broker_url: Celery broker URL.
        embedded_broker: Whether `yunxun serve` starts the broker itself.
        store_url: Where originals and rasters lie: a folder, file:// or s3://.
        arducopter: Path of a real SITL binary, or None.
    """

    data_dir: Path
    database_url: str
    broker_url: str
    embedded_broker: bool
    store_url: str
    arducopter: Path | None

    @property
    def valkey_socket(self) -> Path:
        """Socket of the embedded broker: short, for Unix sockets allow 107 bytes; one for each data folder."""
        digest = hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"yunxun-{os.getuid()}-{digest}.sock"

    @property
    def run_dir(self) -> Path:
        """Process records of `yunxun serve`."""
        return self.data_dir / "run"

    @property
    def patrols_dir(self) -> Path:
        """Patrols that were filed through the API."""
        return self.data_dir / "patrols"

    @property
    def spool_dir(self) -> Path:
        """Filings not yet accepted."""
        return self.data_dir / "spool"


def load_settings(environ: dict[str, str] | None = None, data_dir: Path | None = None) -> Settings:
    """Reads the environment; `data_dir`, where given, wins over YUNXUN_DATA_DIR."""
    env = dict(os.environ) if environ is None else environ
    home = data_dir or Path(env.get("YUNXUN_DATA_DIR") or Path.home() / ".local" / "share" / "yunxun")
    home = home.expanduser().resolve()
    binary = env.get("YUNXUN_ARDUCOPTER")
    broker = env.get("YUNXUN_BROKER_URL", "")
    embedded = Settings(home, "", "", True, "", None)
    return Settings(
        data_dir=home,
        database_url=env.get("YUNXUN_DATABASE_URL") or f"sqlite:///{home / 'yunxun.sqlite'}",
        broker_url=broker or f"redis+socket://{embedded.valkey_socket}",
        embedded_broker=not broker,
        store_url=env.get("YUNXUN_STORE_URL") or str(home / "store"),
        arducopter=Path(binary) if binary else None,
    )


def api_settings(settings: Settings) -> ApiSettings:
    """What the API is told: these engines, and the policies of `settings.toml` in the data folder.

    Raises:
        ApiError: `settings.toml` cannot be read, or holds what is no setting.
    """
    return ApiSettings.load(
        settings.data_dir,
        database_url=settings.database_url,
        broker_url=settings.broker_url,
        store_url=settings.store_url,
    )
