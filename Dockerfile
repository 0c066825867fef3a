# Targets: `runtime` (the default) runs the jobs; `dev` also tests, lints and makes lambda.zip;
# `kinto` is the server that docker-compose.yml puts beside the jobs.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
# A number, so that Kubernetes' runAsNonRoot can see that it isn't root.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin buildhub

# Only /opt/buildhub is copied into the runtime image, without pip.
FROM base AS builder
WORKDIR /src
COPY requirements requirements
RUN python -m venv --without-pip /opt/buildhub \
    && python -m venv /opt/tools \
    && /opt/tools/bin/pip install --constraint requirements/lock.txt pip setuptools wheel
COPY setup.py pyproject.toml MANIFEST.in README.rst LICENSE CHANGELOG.rst ./
COPY .lambda/prune.py .lambda/prune.py
COPY jobs jobs
COPY buildhub buildhub
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/tools/bin/pip --python /opt/buildhub/bin/python install --only-binary=:all: \
        --no-compile --constraint requirements/lock.txt "$(echo dist/*.whl)[search]" \
    && python .lambda/prune.py /opt/buildhub/lib \
    && /opt/buildhub/bin/python -m compileall -q /opt/buildhub/lib

FROM base AS kinto
COPY requirements /requirements
RUN pip install --constraint /requirements/lock.txt \
        'kinto[postgresql]' psycopg2-binary setuptools
COPY .docker/kinto.ini /etc/kinto.ini
USER 10001
EXPOSE 8888
CMD ["kinto", "start", "--ini", "/etc/kinto.ini", "--port", "8888"]

FROM base AS dev
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl git jq make \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir /app \
    && chown buildhub /app
USER 10001
WORKDIR /app
ENV BUILDHUB_IMAGE=dev
COPY --chown=buildhub requirements requirements
COPY --chown=buildhub Makefile setup.py pyproject.toml README.rst ./
COPY --chown=buildhub buildhub/__init__.py buildhub/__init__.py
# The dependencies are a layer of their own, so that a change of the code does not reinstall them.
RUN make install
COPY --chown=buildhub . .
ENV PATH=/app/.venv/bin:$PATH
HEALTHCHECK NONE
ENTRYPOINT ["/app/.docker/entrypoint.sh"]

FROM base AS runtime
COPY .docker/entrypoint.sh /usr/local/bin/entrypoint.sh
COPY --from=builder /opt/buildhub /opt/buildhub
ENV PATH=/opt/buildhub/bin:$PATH \
    BUILDHUB_IMAGE=runtime
# CACHE_FOLDER is `.`: what a run learns is kept where a volume is mounted at /data.
WORKDIR /data
RUN chown buildhub /data
VOLUME ["/data"]
USER 10001
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
