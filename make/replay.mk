HOUSEHOLDS ?= 100

.PHONY: replay
replay: setup ## Send a year of real baskets to the running stack and audit every balance (HOUSEHOLDS=100)
	@$(BIN)/regulars replay completejourney --households $(HOUSEHOLDS)
