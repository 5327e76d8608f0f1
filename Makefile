# Everything that is done with this repository. `make help` lists it.

CARGO ?= cargo
KEEP ?= 0
KIND ?= 0
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ksit
CARGO_DENY := $(CACHE)/cargo-deny-0.20.2
CARGO_CYCLONEDX := $(CACHE)/cargo-cyclonedx-0.5.9
MDBOOK := $(CACHE)/mdbook-0.5.4

# Of the image: x86_64 or aarch64. For another machine than this one: rustup target add, a cross compiler, and
# CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc, as in the Dockerfile.
MACHINE ?= $(shell uname -m)
IMAGE_TARGET := $(MACHINE)-unknown-linux-gnu
# Nothing that the program needs is beside it in the image, and no path of this machine is in it.
IMAGE_FLAGS := -C target-feature=+crt-static \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo --remap-path-prefix=$(CURDIR)=/ksit

REVISION = $(shell git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null)
# Commit and its date, as shown by `ksit version`: two builds of one commit give the same bytes.
EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null))
STAMP = KSIT_REVISION="$(REVISION)" KSIT_EPOCH="$(EPOCH)"

# Of a release. The program is for this machine; other machines build theirs.
DIST ?= target/dist
PROGRAMS ?= target/programs
TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
REPOSITORY = $(shell sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
VERSION = $(shell sed -n '/^\[workspace.package\]/,/^$$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
RELEASE = $(STAMP) $(CARGO) run --locked --quiet -p xtask -- release --dist $(DIST) --revision "$(REVISION)"

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-18s %s\n", $$1, $$2 }'

.PHONY: build
build: ## Build ksit
	$(CARGO) build --locked

.PHONY: demo
demo: ## Show what ksit does, on real API servers; KEEP=1 leaves it running
	@echo "building ksit and the demo (about 4 min, the first time)"
	@$(CARGO) build --locked --quiet --message-format=json-render-diagnostics -p ksit -p xtask --bins | awk \
		'/"reason":"compiler-artifact"/ { printf "\r%d crates", ++n; fflush() } \
		/"reason":"build-finished"/ { print ""; failed = !/"success":true/ } END { exit failed }'
	@KEEP=$(KEEP) target/debug/xtask demo

.PHONY: image
image: ## Build the container image target/ksit.oci.tar, without a container engine
	$(STAMP) RUSTFLAGS="$(IMAGE_FLAGS)" \
		$(CARGO) build --locked --release --bin ksit --target $(IMAGE_TARGET)
	$(CARGO) run --locked --quiet -p xtask -- image --program target/$(IMAGE_TARGET)/release/ksit \
		--out target/ksit.oci.tar --revision "$(REVISION)"

.PHONY: tools
tools: ## Build etcd, the Kubernetes control plane and kwok into the cache, once
	$(CARGO) run --locked --quiet -p xtask -- tools

.PHONY: chart-tools
chart-tools: ## Build helm, kubeconform, promtool and prometheus into the cache, once
	$(CARGO) run --locked --quiet -p xtask -- tools --chart

.PHONY: test
test: test-unit test-integration ## Run unit and integration tests

.PHONY: test-unit
test-unit: ## Run the tests that need nothing but this repository
	$(CARGO) test --locked --workspace --lib --bins
	$(CARGO) test --locked --test architecture --test generated --test sim --example sizing

.PHONY: test-integration
test-integration: tools chart-tools ## Run the tests against real API servers
	$(CARGO) build --locked
	$(CARGO) test --locked -p testkit -p xtask --test it --test control_plane
	$(CARGO) test --locked --test it

.PHONY: test-e2e
test-e2e: image ## Test image and chart on two real clusters made with kind; KIND_NODE_IMAGE is honoured
	$(CARGO) run --locked --quiet -p xtask -- e2e --image target/ksit.oci.tar

AXE := $(CACHE)/axe-core-4.14.1/package/axe.min.js

.PHONY: test-ui
test-ui: tools $(AXE) ## Test ksit ui in Chromium; needs chromium and chromedriver (Debian: chromium chromium-driver) and npm
	@command -v chromedriver > /dev/null || { echo "chromedriver is missing: apt-get install chromium chromium-driver"; exit 1; }
	$(CARGO) build --locked --bin ksit
	AXE=$(AXE) $(CARGO) test --locked -p browser --test ui -- --nocapture

.PHONY: screenshots
screenshots: test-ui ## Make the pictures of docs/images again, from the fleet of test-ui
	cp target/ui/fleet-light.png target/ui/problems-light.png target/ui/cluster-light.png docs/images/

# A checker of accessibility, which finds missing names, low contrast and the like.
$(AXE):
	mkdir -p $(CACHE)/axe-core-4.14.1
	cd $(CACHE)/axe-core-4.14.1 && npm pack --silent axe-core@4.14.1 && tar -xzf axe-core-4.14.1.tgz package/axe.min.js

.PHONY: test-all
test-all: test test-e2e test-ui ## Run every test there is

.PHONY: manifests
manifests: ## Regenerate what is generated: crds/, deploy/, the chart's CRDs, the tables and commands of docs/reference, the chart's
	$(CARGO) run --locked --quiet -- crds --out crds
	KSIT_UPDATE=1 $(CARGO) test --locked --quiet --test generated
	$(CARGO) run --locked --quiet -p xtask -- tools helm
	KSIT_UPDATE=1 $(CARGO) test --locked --quiet --test it chart::manifests

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: lint
lint: ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: deny
deny: $(CARGO_DENY)/bin/cargo-deny ## Check licences, bans and sources of the dependencies
	$(CARGO) fetch --locked
	$(CARGO_DENY)/bin/cargo-deny --offline check bans licenses sources

$(CARGO_DENY)/bin/cargo-deny:
	@echo "building cargo-deny, once: about 3 min on two cores" >&2
	$(CARGO) install --quiet --locked cargo-deny@0.20.2 --root $(CARGO_DENY)

$(CARGO_CYCLONEDX)/bin/cargo-cyclonedx:
	@echo "building cargo-cyclonedx, once: about 2 min on two cores" >&2
	$(CARGO) install --quiet --locked cargo-cyclonedx@0.5.9 --root $(CARGO_CYCLONEDX)

$(MDBOOK)/bin/mdbook:
	@echo "building mdbook, once: about 3 min on two cores" >&2
	$(CARGO) install --quiet --locked mdbook@0.5.4 --root $(MDBOOK)

.PHONY: docs
docs: $(MDBOOK)/bin/mdbook ## Build the pages as a book: target/book
	@# Links that lead out of docs/ go to the repository.
	rm -rf target/docs && cp -r docs target/docs
	sed -i 's|](\.\./|]($(REPOSITORY)/blob/main/|g' target/docs/*.md
	sed -i 's|](\.\./\.\./|]($(REPOSITORY)/blob/main/|g' target/docs/*/*.md
	sed -i 's|](decisions/README.md|](decisions/index.md|' target/docs/architecture.md
	$(MDBOOK)/bin/mdbook build target/docs --dest-dir $(CURDIR)/target/book
	.ci/dead-links target/book

.PHONY: release-program
release-program: ## Build target/programs/TARGET/ksit, static on Linux
	$(STAMP) RUSTFLAGS="$(IMAGE_FLAGS)" $(CARGO) build --locked --release --bin ksit --target $(TARGET)
	mkdir -p $(PROGRAMS)/$(TARGET)
	cp target/$(TARGET)/release/ksit $(PROGRAMS)/$(TARGET)/ksit
	$(PROGRAMS)/$(TARGET)/ksit version --client

.PHONY: release-archives
release-archives: ## Pack all target/programs/TARGET/ksit with manual pages and completions, into target/dist
	$(RELEASE) archives --programs $(PROGRAMS)

.PHONY: release-sbom
release-sbom: $(CARGO_CYCLONEDX)/bin/cargo-cyclonedx ## Write the list of dependencies in the program, as CycloneDX
	@mkdir -p $(DIST)
	SOURCE_DATE_EPOCH="$(EPOCH)" PATH="$(CARGO_CYCLONEDX)/bin:$$PATH" $(CARGO) cyclonedx --format json \
		--spec-version 1.5 --target all --no-build-deps --quiet --override-filename ksit-sbom
	@# One file for each crate of the workspace, with the path of this machine.
	sed 's|file://$(CURDIR)|file:///ksit|' ksit-sbom.json > $(DIST)/ksit-$(VERSION).cdx.json
	rm ksit-sbom.json loadtest/ksit-sbom.json loadtest/*/ksit-sbom.json

.PHONY: release-files
release-files: release-archives release-sbom ## Make archives, image, chart, kubectl plugin and sums, in target/dist
	$(RELEASE) assemble

.PHONY: release-login
release-login: ## Log in to that registry as USER, with the password in $TOKEN
	$(RELEASE) login --user "$(USER)"

.PHONY: release-publish
release-publish: ## Push image and chart to the registry of `repository` in Cargo.toml, pull and compare
	$(RELEASE) publish

.PHONY: release-dry-run
release-dry-run: release-program release-archives release-sbom ## Make a release and publish it to a registry on this machine; KIND=1 installs it from there on kind clusters
	$(RELEASE) dry-run $(if $(filter 1,$(KIND)),--kind)

.PHONY: clean
clean: ## Remove what was built here; the cache of tools stays
	$(CARGO) clean
