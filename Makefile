# The two commands: `make train` and `make test`. Each installs what it needs, where the lock files say.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Some machines export this; imports of the training stack take 30 s without bytecode, 11 s with.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

moxi := node bin/moxi.cjs
python := trainer test bench
dataset := data/sft/training_dataset.json
# More flags for the command, e.g. make train ARGS="--epochs 2"
ARGS ?=

.PHONY: train train-aws test check format bench soak cloud help clean

train: $(dataset) ## Fine-tune the example on this machine (ARGS="--epochs 2" adds flags)
	@$(moxi) train $(ARGS)

train-aws: $(dataset) ## Fine-tune the example on SageMaker, in your own account
	@$(moxi) train --target sagemaker $(ARGS)

test: check ## Run every check and test
	@node scripts/test.ts

check: node_modules/.package-lock.json ## Types, lint, layers, formatting, generated files
	@tsc -p .
	@oxlint --type-aware --quiet
	@oxfmt --check >/dev/null || { echo "not formatted (run: make format):"; oxfmt --list-different; exit 1; }
	@node scripts/schemas.ts --check
	@node scripts/kernel.ts --check
	@knip --no-progress
	@node scripts/python.ts -m ruff check --quiet $(python)
	@node scripts/python.ts -m ruff format --check --quiet $(python)

format: node_modules/.package-lock.json ## Format the code
	@oxfmt
	@node scripts/python.ts -m ruff format --quiet $(python)

bench: $(dataset) ## Measure what docs/performance.md claims
	@node bench/startup.ts
	@node bench/quick-start.ts
	@node bench/s3.ts
	@node bench/submit.ts
	@node scripts/python.ts bench/train-cpu/compare.py
	@node bench/dataset.ts
	@node bench/dataset-tokens.ts

cloud: node_modules/.package-lock.json ## Start a cloud on this machine, to try make train-aws without an account
	@node scripts/python.ts -c ""
	@node test/cloud/serve.ts

soak: $(dataset) ## Long randomised runs
	@node test/soak.ts
	@node test/soak-s3.ts
	@node test/soak-spot.ts

clean: ## Remove what the other commands made here (never .moxi: your runs)
	rm -rf node_modules dist build data/sft

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(dataset): node_modules/.package-lock.json examples/readme-writer/build.ts
	@node examples/readme-writer/build.ts --out $@

node_modules/.package-lock.json: package.json package-lock.json
	@command -v npm >/dev/null || { echo "Moxi needs Node.js with npm: https://nodejs.org"; exit 2; }
	@echo "installing the npm packages"
	@npm ci --loglevel=error
	@touch $@
