"""The application as `benchmarks/cases.py` serves it."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiSettings


def app() -> FastAPI:
    return create_app(ApiSettings(data_dir=Path(os.environ["BENCH_DATA"]), database_url=os.environ["BENCH_URL"]))
