# konductor's image: the static program under its names, the list of what is linked into it, and nothing else.
#
#   docker build -t konductor .                                for the processor of the builder
#   docker build --platform linux/amd64,linux/arm64 .          each part is built natively: no cross compiler
#   docker build --target sbom --output . .                    only konductor.spdx.json
#
# docs/guides/image.md says what is in it; tools/image builds it without an engine and tools/check proves it.

# Debian 12 of one day: a tag that does not move. SNAPSHOT, as 20261101T000000Z, takes the packages of that moment too;
# without it they are today's, with their security updates.
ARG BASE=debian:bookworm-20250520-slim

FROM ${BASE} AS build
ARG SNAPSHOT=
WORKDIR /src
COPY tools/pin-debian tools/deps tools/
RUN tools/pin-debian "$SNAPSHOT" && tools/deps static
COPY tools/static-deps tools/static-deps
RUN tools/static-deps/build
COPY . .
RUN tools/build-static && tools/image-root build/static/dist /image

FROM scratch AS sbom
COPY --from=build /image/usr/share/sbom/ /

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="konductor" \
      org.opencontainers.image.description="Runs a few lines of Lua in front of a program: once per version, or one leader" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /
# Runtimes put a PATH of their own where an image has none, but not all of them the same.
ENV PATH=/usr/local/bin:/bin
USER 65532:65532
ENTRYPOINT ["/konductor"]
