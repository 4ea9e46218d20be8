# The commands that people and CI use. `just` alone lists them.

_default:
    @just --list --unsorted

# Format the code
fmt:
    cargo fmt

# Formatting, lints, documentation
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# All tests that need no cluster
test *ARGS:
    cargo test --locked {{ARGS}}

# Run scenarios on the testbed of this machine
run *ARGS="scenarios/quick.yaml":
    cargo run --release --locked -- run {{ARGS}}

# Write expected outputs anew; read the difference before you commit it
snapshots:
    UPDATE_SNAPSHOTS=1 INSTA_UPDATE=always cargo test --locked

# Everything, as CI does it
ci:
    .ci/run
