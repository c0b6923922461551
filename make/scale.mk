# --- scale ------------------------------------------------------------------------------------------------------------

# Simulated, not measured: the same figures on every machine. A test fails when docs/scale.md is not what this would write.
.PHONY: scale
scale: setup ## Simulate what cannot be tried here; write the tables of docs/scale.md and draw docs/charts
	@$(BIN)/python -m bench.scale
