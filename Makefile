# make demo     JupyterLab with live Bokeh apps, in a .venv of its own
# make test     everything CI runs: lint, all tests with a real browser, a real JupyterHub and a real nginx, some of them
#               again with the oldest versions of what we build on and with the newest, and a short look whether each
#               benchmark runs
# make lint     ruff, mypy, tsc and prettier
# make format   mend what they can
# make bench    all benchmarks, side by side with the rivals (make bench-smoke: only whether they run)
# make clean    remove all that was made
# Both can be run again at once: what is up to date is left alone.

PYTHON ?= python3
BIN := .venv/bin
LAB := labextension
LAB_SOURCES := $(wildcard $(LAB)/src/* $(LAB)/style/*) $(LAB)/tsconfig.json $(LAB)/install.json

## Browser and nginx are looked for first and apart, so that the command stops where there is none.
WITH_BROWSER = chromium="$$(tools/chromium)" && \
	export CHROMIUM="$$chromium" PATH="$(CURDIR)/$(BIN):$(CURDIR)/.tools/node_modules/.bin:$$PATH" &&

## What depends most on other packages' versions.
WITH_OLDEST := tests/live tests/bokehmount/test_streaming.py tests/browser/test_views.py tests/browser/test_trouble.py
WITH_NEWEST := tests/live tests/bokehmount tests/bokehmount_server tests/nbclient tests/server_apps tests/browser/test_views.py

WITH_NGINX = nginx="$$(tools/nginx)" && export NGINX="$$nginx" &&

.PHONY: help demo test lint format bench bench-smoke clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# //p' Makefile

demo: .venv/.demo
	tools/demo

test: lint .tools/node_modules/.bin/configurable-http-proxy .tools/oldest/.made .tools/.newest
	$(WITH_NGINX) $(WITH_BROWSER) $(BIN)/python -m pytest
	$(WITH_BROWSER) PYTHONPATH="$(CURDIR)/.tools/oldest" $(BIN)/python -m pytest $(WITH_OLDEST)
	[ .tools/newest -ef .venv ] || { $(WITH_BROWSER) \
		PATH="$(CURDIR)/.tools/newest/bin:$$PATH" .tools/newest/bin/python -m pytest $(WITH_NEWEST); }
	$(BIN)/python -m benchmarks --smoke

lint: .venv/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	tools/labextension lint

format: .venv/.test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	tools/labextension format

bench: .venv/.bench
	$(BIN)/python -m benchmarks

bench-smoke: .venv/.test
	$(BIN)/python -m benchmarks --smoke

clean:
	rm -rf .venv .tools dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf $(LAB)/dist $(LAB)/lib $(LAB)/node_modules $(LAB)/.yarn $(LAB)/tsconfig.tsbuildinfo

.venv/.made:
	tools/venv $(PYTHON)
	touch $@

.venv/.demo .venv/.test .venv/.bench: .venv/.%: .venv/.made pyproject.toml $(LAB)/dist/package.json
	tools/install $*
	touch $@

$(LAB)/node_modules/.yarn-state.yml: $(LAB)/package.json $(LAB)/yarn.lock | .venv/.made
	tools/labextension install
	touch $@

$(LAB)/dist/package.json: $(LAB)/node_modules/.yarn-state.yml $(LAB_SOURCES)
	tools/labextension build:prod

.tools/oldest/.made: tests/oldest.txt | .venv/.test
	tools/oldest
	touch $@

.tools/.newest: pyproject.toml | .venv/.test
	tools/newest
	touch $@

.tools/node_modules/.bin/configurable-http-proxy:
	mkdir -p .tools
	npm install --prefix .tools --no-audit --no-fund configurable-http-proxy
