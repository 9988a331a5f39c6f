"""The API as uvicorn starts it: settings from the environment, then `api.app`."""

from __future__ import annotations

from api.app import create_app
from api.telemetry import log_as_json
from yunxun.settings import api_settings, load_settings

log_as_json()
app = create_app(api_settings(load_settings()))
