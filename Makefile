.DEFAULT_GOAL := help
.PHONY: help demo test slow long check format bench constraints

help: ## list these habits
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: ## make a sample organisation, score it, write the report
	crmbridge demo

test: ## the README's test command
	pytest -q -n 2

slow: ## the tests that take longer
	pytest -q -m 'slow and not long'

long: ## the tests that take many minutes: schedulers killed at random, years of outages, a real Odoo
	pytest -q -m long

check: ## ruff, mypy --strict, import-linter
	ruff check .
	ruff format --check .
	mypy
	cd plugins/crmbridge-odoo && MYPYPATH=src mypy --strict --config-file=../../pyproject.toml -p crmbridge_odoo
	cd src/crmbridge/init/crmbridge-acme && MYPYPATH=src:tests mypy --strict --config-file=../../../../pyproject.toml -p crmbridge_acme -m stand_in -m test_acme
	lint-imports

format: ## put the code into shape
	ruff check --fix .
	ruff format .

bench: ## speed and memory of the main job's steps; need beside numpy and scikit-learn, the efficiencies beside polars
	python -m benchmarks.run
	python -m benchmarks.need
	python -m benchmarks.efficiency

constraints: ## write the versions installed now to constraints.txt
	pip freeze --exclude-editable | grep -v ' @ ' > constraints.txt
