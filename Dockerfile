# syntax=docker/dockerfile:1
# The service as an ordinary user. The tools' sandbox works in it with Docker's default seccomp profile, without
# capabilities and with no-new-privileges: it needs Landlock in the host's kernel (5.13 or later), nothing else.

FROM python:3.11-slim-bookworm AS build
# "gpu" installs JAX for NVIDIA GPUs (docker-compose.gpu.yml)
ARG ACCELERATOR=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python -m venv /app
COPY constraints.txt ./
# constraints.txt is complete, hence --no-deps; PyTorch's CPU build lies on PyTorch's own index.
RUN /app/bin/pip install --no-deps "$(grep '^torch==' constraints.txt)" --index-url https://download.pytorch.org/whl/cpu \
    && grep -v '^torch==' constraints.txt > without-torch.txt \
    && /app/bin/pip install --no-deps -r without-torch.txt
RUN if [ "$ACCELERATOR" = gpu ]; then /app/bin/pip install "jax[cuda12]==$(sed -n 's/^jax==//p' constraints.txt)"; fi
COPY pyproject.toml README.md LICENSE ./
COPY assistant assistant
COPY tools tools
COPY server server
# pip compiles what it installs, so nothing is compiled at the start.
RUN /app/bin/pip install --no-deps .

FROM python:3.11-slim-bookworm
# The engine's CPU kernels are compiled for the very processor they run on, at the first start.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin assistant \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data ASSISTANT_HOME=/data ASSISTANT_HOST=0.0.0.0 ASSISTANT_PORT=8080
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-m", "assistant.cli.health"]
CMD ["assistant", "serve"]
