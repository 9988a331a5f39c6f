# The API and its worker. Small by what is left out: no compiler, no tests, no shared data; the wheels bring GDAL and
# ONNX Runtime. Torch, which only training needs, comes with the wheels' dependencies and is most of the size.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# PDF and stamped pictures write Chinese; pg_dump is for backups.
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-noto-cjk postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home yunxun \
    && install -d -o yunxun -g yunxun /data

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY missions ./missions
COPY flight ./flight
COPY simulators ./simulators
COPY imagery ./imagery
COPY inference ./inference
COPY api ./api
COPY yunxun ./yunxun
# Wheels for the CPU: the machines of a bureau have no GPU; take the line away where they do.
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt .

USER yunxun
VOLUME ["/data"]
EXPOSE 8000
CMD ["python", "-m", "api.server", "yunxun.asgi:app", "--host", "0.0.0.0", "--port", "8000"]
