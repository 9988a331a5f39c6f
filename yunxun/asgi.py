"""The API as uvicorn starts it: settings from the environment, then `api.app`."""

from __future__ import annotations

from api.app import create_app
from yunxun.settings import api_settings, load_settings

app = create_app(api_settings(load_settings()))
