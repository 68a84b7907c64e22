# Short commands over CMake, Ninja and scripts/. `make help` lists them.
BUILD ?= build
MODEL ?= smollm2
PROMPT ?= What is the capital of France?
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc)

# A plain `cmake -B build` may have chosen another generator: an existing build folder is kept as it is.
# WELFORD_FLAGS: more options for CMake, such as -DWELFORD_WERROR=ON; CTEST_FLAGS: for ctest, such as -L unit.
configure = test -f $(1)/CMakeCache.txt || cmake --preset $(2) -B $(1) $(WELFORD_FLAGS)
# Runs the tests of a build folder with the models that they need; tests of gemma-3 are skipped where it cannot be had.
ctest = models=$$(scripts/get-model smollm2 deepseek-header) && { scripts/get-model gemma-3-270m >/dev/null || true; } && \
	WELFORD_MODELS=$$(dirname "$$(echo "$$models" | head -n 1)") ctest --test-dir $(1) --output-on-failure --no-tests=error -j $(JOBS) $(CTEST_FLAGS)

.PHONY: build run serve test test-python asan-test tsan-test fuzz lint format format-check install clean help
.DEFAULT_GOAL := build

build: ## install what is missing and build build/welford
	@scripts/setup build
	@$(call configure,$(BUILD),release)
	@cmake --build $(BUILD) -j $(JOBS) --target programs

run: build ## ask SmolLM2 a question (MODEL=path, PROMPT=text)
	@model=$$(scripts/get-model $(MODEL)) && $(BUILD)/welford run "$$model" --system "" --temp 0 --stats -p "$(PROMPT)"

serve: build ## serve SmolLM2 on http://127.0.0.1:8080 (MODEL=path; WELFORD_PORT=... and the like)
	@model=$$(scripts/get-model $(MODEL)) && exec $(BUILD)/welford serve "$$model"

test: ## all tests
	@scripts/setup build test
	@$(call configure,$(BUILD),release)
	@cmake $(BUILD) -DWELFORD_TESTS=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)
	@$(call ctest,$(BUILD))

asan-test: ## all tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/setup build test
	@$(call configure,$(BUILD)-asan,asan)
	@cmake --build $(BUILD)-asan -j $(JOBS)
	@$(call ctest,$(BUILD)-asan)

tsan-test: ## what threads share, under ThreadSanitizer
	@scripts/setup build test
	@$(call configure,$(BUILD)-tsan,tsan)
	@cmake --build $(BUILD)-tsan -j $(JOBS) --target thread_tests
	@ctest --test-dir $(BUILD)-tsan --output-on-failure --no-tests=error -L threads $(CTEST_FLAGS)

test-python: ## the Python package, in an environment of its own with PyTorch: several GB, kept in the cache folder
	@scripts/setup build python
	@scripts/test-python $(PYTEST_FLAGS)

fuzz: ## every fuzzer, FUZZ_SECONDS (60) in all
	@scripts/setup build dev
	@$(call configure,$(BUILD)-fuzz,fuzz)
	@cmake --build $(BUILD)-fuzz -j $(JOBS)
	@scripts/fuzz $(BUILD)-fuzz $(FUZZ_SECONDS)

lint: build ## clang-tidy over all sources but tests
	@scripts/setup dev
	@scripts/lint $(BUILD)

format: ## clang-format over all sources
	@scripts/setup dev
	@scripts/format

format-check: ## fail when a source is not formatted
	@scripts/setup dev
	@scripts/format-check

install: build ## install to PREFIX (/usr/local)
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove the build folders
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz build-python

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile
