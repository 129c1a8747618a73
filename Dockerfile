# All programs of the store in one image; which one runs is the container's command.

# The `slim` image has the C compiler that the bundled SQLite and ring are built with. Nothing else is
# needed: no protoc (protox), no OpenSSL (rustls).
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /source
COPY . .
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
# What is in a cache mount is not in the image: the programs are copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --release \
        --package gateway --package inventory --package order --package shop \
    && mkdir /programs \
    && cp target/release/gateway target/release/inventory target/release/order \
        target/release/shop /programs/

FROM debian:12.11-slim
# The authorities for TLS to brokers and databases; the slim image has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /programs/ /usr/local/bin/
USER 65532:65532
