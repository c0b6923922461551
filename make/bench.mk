# --- bench ------------------------------------------------------------------------------------------------------------

# Cold starts are compared with a handler that has only boto3, which the artifact does not hold: the locked version, its
# bytecode compiled as in the artifact. It uses the botocore that is in the artifact.
BOTO3 := $(LOCAL)/boto3

.PHONY: boto3-here
boto3-here: $(BOTO3)/.synced

$(BOTO3)/.synced: locks/dev.txt | python $(UV)
	@rm -rf $(BOTO3) && mkdir -p $(BOTO3)
	@sed -n '/^boto3==/,/^ *#/p; /^s3transfer==/,/^ *#/p' locks/dev.txt > $(BOTO3)/requirements.txt
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --require-hashes --link-mode copy --target $(BOTO3) -r $(BOTO3)/requirements.txt
	@$(PYTHON) -m compileall -q --invalidation-mode unchecked-hash $(BOTO3)
	@touch $@

# make bench BENCH=--quick
.PHONY: bench
bench: setup build-here boto3-here ## Measure CPU, calls and write units against hand-written handlers (BENCH=--quick)
	@$(BIN)/python -m bench $(BENCH)

# make bench-foreground FOREGROUND_MEMBERS=3000
FOREGROUND_MEMBERS ?= 1000
.PHONY: bench-foreground
bench-foreground: local-tools build-here ## Measure tills on a local stack of its own while a campaign of everybody runs
	@$(BIN)/python -m bench.foreground --members $(FOREGROUND_MEMBERS)
