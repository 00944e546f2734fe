# The images of the service: docker build --target api . (or worker, mlflow, app, bot). compose.yaml builds and starts all
# of them; docs/service.md, "Containers", says how. containers/prove.py carries these steps out without a container engine.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# --- what is installed, apart from torch checked against the hashes in requirements.lock ---
FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1 UV_LINK_MODE=copy
WORKDIR /build
COPY requirements.lock pyproject.toml ./
COPY containers/requirements.py containers/
RUN python containers/requirements.py requirements \
    && pip install --require-hashes -r requirements/tools.txt \
    && python -m venv --without-pip /opt/fakeprint

FROM build AS wheel
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

# torch's CPU files are not on the index that the lock was made from. Both can be set: another index, other files.
FROM build AS service-packages
ARG TORCH_OPTIONS="--default-index https://download.pytorch.org/whl/cpu"
ARG TORCH="-r requirements/torch.txt"
RUN uv pip install --python /opt/fakeprint/bin/python --no-deps ${TORCH_OPTIONS} ${TORCH} \
    && rm -rf /opt/fakeprint/lib/python3*/site-packages/torch/include /opt/fakeprint/lib/python3*/site-packages/torch/test
RUN uv pip install --python /opt/fakeprint/bin/python --compile-bytecode \
    --constraints requirements/locked.txt -r requirements/service.txt
COPY --from=wheel /wheel /wheel
RUN uv pip install --python /opt/fakeprint/bin/python --compile-bytecode --no-deps /wheel/*.whl

FROM build AS app-packages
RUN uv pip install --python /opt/fakeprint/bin/python --compile-bytecode \
    --constraints requirements/locked.txt -r requirements/app.txt
COPY --from=wheel /wheel /wheel
RUN uv pip install --python /opt/fakeprint/bin/python --compile-bytecode --no-deps /wheel/*.whl

FROM build AS bot-packages
RUN uv pip install --python /opt/fakeprint/bin/python --compile-bytecode \
    --constraints requirements/locked.txt -r requirements/bot.txt
COPY --from=wheel /wheel /wheel
RUN uv pip install --python /opt/fakeprint/bin/python --compile-bytecode --no-deps /wheel/*.whl

# --- what runs: not as root, and nothing is written but below /data (a volume) and /tmp ---
FROM ${PYTHON_IMAGE} AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin fakeprint \
    && install -d -o fakeprint -g fakeprint /data /data/tmp
ENV PATH=/opt/fakeprint/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp TMPDIR=/tmp XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib \
    DVC_SITE_CACHE_DIR=/tmp/dvc DVC_NO_ANALYTICS=1 GIT_PYTHON_REFRESH=quiet
WORKDIR /data
USER 10001:10001
ENTRYPOINT ["fakeprint"]

FROM runtime AS service
COPY --from=service-packages /opt/fakeprint /opt/fakeprint
ENV FAKEPRINT_FOLDER=/data FAKEPRINT_MODELS_FOLDER=/data/models TMPDIR=/data/tmp

FROM service AS api
ENV FAKEPRINT_HOST=0.0.0.0 FAKEPRINT_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=8)"]
CMD ["serve"]

# A worker has no port. Its sign of life is the lease of its job, which another worker takes over without it.
FROM service AS worker
HEALTHCHECK NONE
CMD ["worker"]

FROM service AS mlflow
# its jobs score language models' traces, in eight processes more
ENV MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health', timeout=8)"]
ENTRYPOINT ["mlflow"]
CMD ["server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", \
     "--backend-store-uri", "sqlite:////data/mlflow.db", "--artifacts-destination", "/data/artifacts"]

FROM runtime AS app
COPY --from=app-packages /opt/fakeprint /opt/fakeprint
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=8)"]
CMD ["app", "--host", "0.0.0.0", "--port", "8501", "--api", "http://api:8000"]

# The bot has no port either: it asks Telegram for messages, and ends where it cannot go on.
FROM runtime AS bot
COPY --from=bot-packages /opt/fakeprint /opt/fakeprint
HEALTHCHECK NONE
CMD ["bot"]
