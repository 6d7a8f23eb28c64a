# One image with every binary; docker-compose.yml says which one a service runs.
# Build and run time are the same Debian release, because both use its libc. No BuildKit-only syntax.
ARG BUILD_IMAGE=rust:1.95-trixie
ARG RUNTIME_IMAGE=debian:trixie-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --workspace --exclude switchboard-chaos --bins \
    && mkdir /out \
    && find target/release -maxdepth 1 -type f -perm /u+x -exec cp {} /out/ \;

FROM ${RUNTIME_IMAGE} AS runtime
# The slim image has no certificate authorities; https upstreams of tools need them.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /usr/local/bin/
# A new volume that is mounted here becomes like it: writable for whichever user a service runs as.
RUN mkdir -m 1777 /var/lib/switchboard
USER 65532:65532
CMD ["switchboard-router"]
