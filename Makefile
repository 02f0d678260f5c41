# The words people and CI use. `make demo` and `make test` do everything from a fresh clone.
#
#   make demo      set up, build, and watch a subscriber's whole life on real frames
#   make test      set up and pass all tests
#   make check     formatting, lints, documentation
#   make e2e STORY=lease          one end-to-end story (tests/*.rs)
#   make model     the loom models of the shared structures
#   make budget    instructions a packet, by stage, within bench/budget.json; make budget-bless writes it
#   make fuzz      hostile input guided by coverage, FUZZ_SECONDS (600) for each target; make fuzz-short takes three minutes
#   make bench     the pipeline beside testpmd and l3fwd on the same frames (wants an idle machine)
#   make bench-short   the headline rows, in under five minutes

CARGO ?= cargo
SCENARIO ?= full-lifecycle
DEMO ?=
STORY ?= lease
# Everything that needs DPDK is behind one feature of the worker. Not `sluice-worker/dpdk`: the worker depends on itself for its
# tests, and cargo takes that for the dependency's feature and builds no binary.
DPDK = --features dpdk
FUZZ_TARGETS ?= pipeline tables dhcp config
# An input that takes a minute is a find; less may be a busy machine.
FUZZ_FLAGS ?= -timeout=60 -verbosity=0 -print_funcs=0 -print_final_stats=1
COUNTED = $(or $(CARGO_TARGET_DIR),target)/budget/sluice-instructions
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env "PATH=$$PATH")

.PHONY: demo test check setup build build-debug e2e model budget budget-bless budget-build fuzz fuzz-short bench bench-short bench-build

demo: setup build
	$(SUDO) target/release/sluice demo --scenario $(SCENARIO) $(DEMO)

test: setup build-debug
	$(CARGO) test --workspace --exclude sluice-tests $(DPDK)
	$(CARGO) test -p sluice-tests --no-run
	$(SUDO) $(CARGO) test -p sluice-tests -- --test-threads=1

check: setup
	shellcheck hugepage-setup.sh tests/setup-packages.sh tests/hugepage-setup.sh .ci/run
	tests/hugepage-setup.sh
	$(CARGO) fmt --all --check
	cd fuzz && $(CARGO) fmt --check
	$(CARGO) clippy --workspace --exclude dpdk-sys --all-targets -- -D warnings
	$(CARGO) clippy --workspace --all-targets $(DPDK) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps $(DPDK)

setup:
	@tests/setup-packages.sh
	@$(SUDO) ./hugepage-setup.sh reserve || echo "huge pages: not all are to be had here; ordinary pages do, only slower"

build:
	$(CARGO) build --release -p sluice -p sluice-control -p sluice-worker -p olt-sim $(DPDK)

build-debug:
	$(CARGO) build -p sluice -p sluice-control -p sluice-worker -p olt-sim $(DPDK)

e2e: setup build-debug
	$(SUDO) $(CARGO) test -p sluice-tests --test $(STORY) -- --test-threads=1 --nocapture

model:
	RUSTFLAGS="--cfg loom" $(CARGO) test -p shm-bridge --release --target-dir target/loom --lib models

budget: budget-build
	$(CARGO) run -q -p sluice-bench --bin sluice-budget -- check --program $(COUNTED)

budget-bless: budget-build
	$(CARGO) run -q -p sluice-bench --bin sluice-budget -- bless --program $(COUNTED)

# Without DPDK, and without what tests depend on: only the pipeline and what it is made of.
budget-build:
	@tests/setup-packages.sh
	$(CARGO) build --profile budget -p sluice-worker --features testkit --bin sluice-instructions

fuzz: FUZZ_SECONDS = 600
fuzz-short: FUZZ_SECONDS = 20
fuzz fuzz-short:
	@tests/setup-packages.sh
	cd fuzz && $(CARGO) build --release --bins
	@cd fuzz && for target in $(FUZZ_TARGETS); do \
		echo "=== fuzz $$target, $(FUZZ_SECONDS) s"; \
		mkdir -p "corpus/$$target" "artifacts/$$target"; \
		$(CARGO) run -q --release --bin "$$target" -- -max_total_time=$(FUZZ_SECONDS) $(FUZZ_FLAGS) \
			-artifact_prefix="$$PWD/artifacts/$$target/" "corpus/$$target" "seeds/$$target" || exit 1; \
	done

bench: bench-build
	$(SUDO) ./hugepage-setup.sh reserve --pages 3400
	$(SUDO) target/release/sluice-bench run

bench-short: bench-build
	$(SUDO) ./hugepage-setup.sh reserve --pages 700
	$(SUDO) target/release/sluice-bench run --only up.4096,down.4096 --features --starts 3 --windows 2 --window-ms 500

bench-build: setup build
	$(CARGO) build --release -p sluice-bench
	bench/l3fwd/build.sh target/l3fwd
