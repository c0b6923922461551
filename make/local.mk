# --- the local stack --------------------------------------------------------------------------------------------------

# MiniStack pins a GraphQL library that ours replaces, checkov a boto3: each tool that pins has an environment of its own.
TOOL_VENVS := ministack microburst lint checkov
$(TOOL_VENVS:%=$(LOCAL)/%/.synced): $(LOCAL)/%/.synced: locks/%.txt | python $(UV)
	@echo "fetching $* into $(LOCAL)/$*"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(LOCAL)/$*
	@VIRTUAL_ENV=$(CURDIR)/$(LOCAL)/$* $(UV) pip sync --quiet --require-hashes $<
	@touch $@

.PHONY: local-tools
local-tools: setup $(LOCAL)/ministack/.synced

# A proxy that loses answers on their way from a real engine, for tests of what then happens.
.PHONY: microburst
microburst: $(LOCAL)/microburst/.synced

.PHONY: run
run: local-tools build-here ## Start all of Regulars here: GATEWAY_PORT=4566 (API), PORT=8600 (GraphiQL)
	@exec $(BIN)/regulars run $(if $(PORT),--port $(PORT)) $(if $(GATEWAY_PORT),--gateway-port $(GATEWAY_PORT))

.PHONY: reset
reset: setup ## Forget everything the local stack has kept
	@$(BIN)/regulars reset

# Lints what we wrote and what AWS will be given; a queue shorter than its function, for one, shows only in the latter.
# No account is asked: sam wants a region, and takes any.
.PHONY: validate
validate: setup $(LOCAL)/lint/.synced $(LOCAL)/checkov/.synced ## Lint template.yaml and what it translates to
	@SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 $(LOCAL)/lint/bin/sam validate --lint --template template.yaml
	@$(LOCAL)/lint/bin/cfn-lint template.yaml
	@$(BIN)/python -m handlers.local.template > $(LOCAL)/translated.json
	@$(LOCAL)/lint/bin/cfn-lint $(LOCAL)/translated.json
	@$(LOCAL)/checkov/bin/checkov --file $(LOCAL)/translated.json --config-file .checkov.yaml
