.PHONY: help quickstart test bench format lint clean

help:
	@echo "make quickstart  install what is missing, build, train three methods on the bundled digits, report"
	@echo "make test        install what is missing, build, all checks and tests"
	@echo "make bench       cost of the methods relative to joint training"
	@echo "make format      format all C++ files"
	@echo "make lint        clang-tidy on all C++ files"
	@echo "make clean       delete build/"

quickstart:
	@packaging/quickstart.sh

test:
	@packaging/test.sh

bench:
	@packaging/bench.sh

format:
	@packaging/format.sh

lint:
	@packaging/lint.sh --all

clean:
	rm -rf build
