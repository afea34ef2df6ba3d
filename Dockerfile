# The image of nim-sidecar: one static binary, the CA certificates, and a directory for its state; no shell, no package manager, no root.
#
#   docker build -t nim-sidecar .
#   docker run --read-only --cap-drop ALL -p 127.0.0.1:9190:9190 -e NVIDIA_API_KEY -e SIDECAR_ALLOW_OPEN=true nim-sidecar
#
# It listens on all interfaces of its container, so it starts only with client keys (SIDECAR_CLIENT_KEYS), or with SIDECAR_ALLOW_OPEN=true
# where, as above, nobody but this machine can reach the port. compose.yaml says the same in a file.

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# .git comes along: the version that the binary tells is made from it
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -buildvcs=true -trimpath -ldflags '-s -w' -o /image/nim-sidecar ./cmd/nim-sidecar \
 && install -D -m 444 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && install -D -m 444 LICENSE /image/LICENSE \
 && mkdir /state

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 --chmod=700 /state/ /var/lib/nim-sidecar/

ENV SIDECAR_LISTEN=:9190 \
    SIDECAR_METRICS_LISTEN=:9191 \
    SIDECAR_STATE_DIR=/var/lib/nim-sidecar
EXPOSE 9190 9191
VOLUME /var/lib/nim-sidecar
USER 65532:65532

HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/nim-sidecar", "healthcheck"]
ENTRYPOINT ["/nim-sidecar"]
CMD ["serve"]

ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="nim-sidecar" \
      org.opencontainers.image.description="Shares one scarce LLM quota between many agents: paces, queues, and hides the refusals." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.documentation="README.md" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
