# The image for amd64 and arm64, cross-compiled: docker buildx build --platform linux/amd64,linux/arm64 .
# `make image` makes the same without a container engine. The program is linked statically against glibc, whose resolver
# of names needs no files beside it since glibc 2.34 (Debian 12 has 2.36).
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
ARG TARGETARCH
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/usr/local/cargo=/cargo --remap-path-prefix=/src=/ksit" \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
WORKDIR /src
RUN case "$TARGETARCH" in \
      amd64) machine=x86_64 ;; \
      arm64) machine=aarch64 ;; \
      *) echo "no image is made for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    echo "$machine-unknown-linux-gnu" > /target; \
    rustup target add "$(cat /target)"; \
    if [ "$(uname -m)" != "$machine" ]; then \
      apt-get update && apt-get install --yes --no-install-recommends \
        "gcc-$(echo $machine | tr _ -)-linux-gnu" "libc6-dev-$TARGETARCH-cross"; \
    fi
# The dependencies, a layer that stays until the lock file changes.
COPY Cargo.toml Cargo.lock ./
COPY loadtest/Cargo.toml loadtest/
COPY loadtest/simulator/Cargo.toml loadtest/simulator/
COPY loadtest/testkit/Cargo.toml loadtest/testkit/
COPY loadtest/xtask/Cargo.toml loadtest/xtask/
RUN for crate in . loadtest loadtest/simulator loadtest/testkit loadtest/xtask; do \
      mkdir -p "$crate/src" && touch "$crate/src/lib.rs"; \
    done && \
    echo 'fn main() {}' | tee src/main.rs build.rs && \
    cargo build --locked --release --bin ksit --target "$(cat /target)" && \
    rm -r src build.rs
COPY build.rs ./
COPY src src
# Cargo would take files that are older than the empty ones for built already.
RUN find src build.rs -type f -exec touch {} + && \
    cargo build --locked --release --bin ksit --target "$(cat /target)" && \
    cp "target/$(cat /target)/release/ksit" /ksit

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="ksit" \
      org.opencontainers.image.description="Tells whether the tools on your Kubernetes clusters (Argo CD, Flux, Prometheus, Istio, cert-manager, …) work." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/ksit-io/ksit" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build --chmod=0555 /ksit /ksit
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/ksit"]
