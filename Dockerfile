# The operator's image. Three things go in, all fixed: the base, requirements/run.txt by hash, and this package.
#   docker build -t humangov-operator:0.1.0 .
# Nothing in it depends on the processor, so `docker buildx build --platform linux/amd64,linux/arm64` makes both.

# A release gives it by digest, which the workflow reads from the registry: BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_COMPILE=1
WORKDIR /build
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m venv tools \
    && tools/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt \
    && python -m venv --without-pip /opt/humangov \
    && tools/bin/python -m pip --python /opt/humangov/bin/python install \
        --require-hashes --only-binary :all: -r requirements/run.txt \
    && /opt/humangov/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/humangov/lib
# Of the SDK's 400 services, those that are called, and those that give credentials.
RUN cd /opt/humangov/lib/python3.13/site-packages/botocore/data \
    && find . -mindepth 1 -maxdepth 1 -type d $(printf '! -name %s ' \
        backup cloudwatch dynamodb dynamodbstreams iam kms lambda logs resourcegroupstaggingapi s3 signin sso sso-oidc sts) \
        -exec rm -rf {} +
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN tools/bin/python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/python -m pip --python /opt/humangov/bin/python install --no-index --no-deps wheels/*.whl \
    && /opt/humangov/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        /opt/humangov/lib/python3.13/site-packages/humangov

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="humangov-operator" \
    org.opencontainers.image.description="Erases the files of deleted records: one HumanGovState manifest a tenant" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="${SOURCE}"
# The base's installers are of no use to a file system that is never written.
RUN python -c "import ensurepip, pathlib, pip; print(*(pathlib.Path(m.__file__).parent for m in (ensurepip, pip)))" \
    | xargs rm -rf
COPY --from=build /opt/humangov /opt/humangov
# The user has no entry in /etc/passwd: who asks for its name or its home finds them here, and no place to write to.
ENV PATH=/opt/humangov/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/nonexistent USER=humangov LOGNAME=humangov
USER 65532:65532
WORKDIR /
EXPOSE 8080
ENTRYPOINT ["humangov"]
CMD ["run"]
