# One line per thing that people do here. Everything runs in .venv, which scripts/bootstrap makes and keeps current;
# it needs Python 3.11-3.13 with venv and nothing else, and says so where that is missing.

.DEFAULT_GOAL := help
.PHONY: help .venv demo test dev check format e2e bench lock clean

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

help: ## This list
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

.venv:
	@sh scripts/bootstrap

demo: .venv ## The whole nightly chain on this machine (CATALOGUE=file.csv for real albums)
	@$(BIN)/spotify-pipelines demo $(if $(CATALOGUE),--catalogue "$(CATALOGUE)")

test: .venv ## All tests but those that drive a browser (ARGS="-k word" for some)
	@$(PYTEST) -n 2 --dist loadscope $(ARGS)

dev: .venv ## Dagster's UI and daemon on the embedded services
	@$(BIN)/spotify-pipelines up
	@$(BIN)/dagster dev

check: .venv ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv ## Format, and mend what lint can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

e2e: .venv ## The running product in a real browser
	@$(PYTEST) -m e2e $(ARGS)

bench: .venv ## The figures in bench/, measured on this machine
	@$(BIN)/python -m bench $(ARGS)

lock: ## Pin the dependencies of pyproject.toml anew (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv (pipx install uv)" >&2; exit 1; }
	uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras --no-header --upgrade \
		--output-file requirements.lock pyproject.toml

clean: ## Stop the services; remove their data, .venv and caches (your lines in .env stay)
	@sh scripts/clean
