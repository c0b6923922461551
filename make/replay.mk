HOUSEHOLDS ?= 100

.PHONY: replay
replay: $(VENV)/.synced ## Send a year of real baskets to the running stack and audit every balance (HOUSEHOLDS=100)
	@$(BIN)/regulars replay completejourney --households $(HOUSEHOLDS)
