HOUSEHOLDS ?= 100

.PHONY: replay
replay: setup ## Send a year of real baskets to the running stack and audit every balance (HOUSEHOLDS=100)
	@$(BIN)/regulars replay completejourney --households $(HOUSEHOLDS)

.PHONY: replay-campaigns
replay-campaigns: setup ## Let the year pass in memory with its 27 real campaigns and audit every bonus
	@$(BIN)/regulars replay campaigns
